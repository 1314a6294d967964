//go:build roostsim

package sim

import (
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
)

// Actor is one goroutine of the code under test, or of the test itself.
type Actor struct {
	Name  string
	waits string // reason for being parked, "" when ready
	until int    // end of a nap, in turns
	test  func() bool
	next  func() (struct{}, bool)
	yield func(struct{}) bool
}

// Go starts an actor. Its first step comes when it is chosen.
func Go(name string, f func()) {
	w := world
	a := &Actor{Name: fmt.Sprintf("%s#%d", name, len(w.alive))}
	a.next, _ = iter.Pull(func(yield func(struct{}) bool) {
		a.yield = yield
		defer func() {
			if v := recover(); v != nil {
				Fail("panic: %v\n%s", v, debug.Stack())
			}
		}()
		f()
	})
	w.alive = append(w.alive, a)
	w.ready = append(w.ready, a)
}

// turn lets a go on until it yields, parks or ends.
func (w *World) turn(a *Actor) {
	w.current = a
	_, going := a.next()
	w.current = nil
	if !going {
		w.ready = remove(w.ready, a)
		w.alive = remove(w.alive, a)
	}
}

func remove(from []*Actor, a *Actor) []*Actor {
	i := slices.Index(from, a)
	return slices.Delete(from, i, i+1)
}

// Step is a place where others may come between. Outside of actors it does nothing.
func Step(what string) {
	w := world
	if w == nil || w.current == nil {
		return
	}
	w.Steps++
	if w.Trace != nil {
		Note("%s", what)
	}
	r := w.Rand.Uint64()
	if r&(1<<32-1) >= w.switches {
		return
	}
	if r>>32 < w.naps {
		Nap()
		return
	}
	w.current.yield(struct{}{})
}

// Nap lets others do a lot in between.
func Nap() {
	w := world
	if w == nil || w.current == nil {
		return
	}
	a := w.current
	a.until = w.turns + 1 + w.Rand.IntN(2000)
	w.ready = remove(w.ready, a)
	w.napping = append(w.napping, a)
	a.yield(struct{}{})
}

// Queue holds those who wait for the same thing. The zero value is empty.
type Queue struct{ parked []*Actor }

// Len is how many wait.
func (q *Queue) Len() int { return len(q.parked) }

// Park waits in q for somebody to call Wake. The caller tests its condition again.
func (q *Queue) Park(why string) {
	w := world
	a := w.current
	if a == nil {
		Fail("the test itself waits for a %s: %s", why, w.Waiting())
		panic(w.failure)
	}
	if w.Trace != nil {
		Note("waits for a %s", why)
	}
	a.waits = why
	w.ready = remove(w.ready, a)
	q.parked = append(q.parked, a)
	a.yield(struct{}{})
}

// Wake lets up to n of those in q go on, chosen at random.
func (q *Queue) Wake(n int) {
	w := world
	for ; n > 0 && len(q.parked) > 0; n-- {
		i := 0
		if len(q.parked) > 1 {
			i = w.Rand.IntN(len(q.parked))
		}
		a := q.parked[i]
		q.parked = slices.Delete(q.parked, i, i+1)
		a.waits = ""
		w.ready = append(w.ready, a)
	}
}

// Receive is <-c for a channel that is only ever closed.
func Receive[T any](c <-chan T) {
	Step("receive")
	closed := func() bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	if closed() {
		return
	}
	w := world
	a := w.current
	if a == nil {
		Fail("the test itself waits for a channel: %s", w.Waiting())
		panic(w.failure)
	}
	a.waits, a.test = "channel", closed
	w.ready = remove(w.ready, a)
	w.polling = append(w.polling, a)
	a.yield(struct{}{})
}

var inside = map[any]string{}

// Exclusive fails the run when two actors are between a call of Exclusive for the
// same x and of the function it returns.
func Exclusive(x any) (leave func()) {
	w := world
	if w.current == nil {
		return func() {}
	}
	if other, busy := inside[x]; busy {
		Fail("two workers in one %T: %s is there already", x, other)
	}
	inside[x] = w.current.Name
	return func() { delete(inside, x) }
}
