//go:build roostsim

package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"
)

// World is one run: its actors, its random numbers and what is outside, the
// network. One world runs at a time in a process.
type World struct {
	// Static after New.
	Rand     *rand.Rand
	Outside  Outside
	Check    func()                        // called now and then between two steps; may call Fail
	Tap      func(what string, args []any) // told by the functions that package rewrite taps
	Trace    *[]string                     // nil when nobody will read it
	switches uint64                        // of 1<<32, how often a step is followed by another actor's
	naps     uint64                        // of 1<<32, how often an actor that is interrupted sleeps
	outside  float64                       // how often it is the network's turn
	limit    int

	Steps   int // visible operations so far
	clock   time.Duration
	turns   int
	current *Actor
	ready   []*Actor
	napping []*Actor
	polling []*Actor
	alive   []*Actor
	failure string
}

// Outside is what moves without an actor.
type Outside interface {
	Pending() bool // something is on its way
	Advance()      // by a random step
}

var world *World

// New makes the world of this process. A run that has not come to rest after limit
// visible operations fails.
func New(seed uint64, limit int) *World {
	r := rand.New(rand.NewPCG(seed, 0x726f6f7374))
	w := &World{Rand: r, limit: limit}
	// Rare and frequent switches find different mistakes.
	w.switches = uint64(float64(1<<32) * []float64{0.003, 0.02, 0.1, 0.3, 0.7}[r.IntN(5)])
	w.naps = uint64(float64(1<<32) * []float64{0, 0.002, 0.01, 0.05}[r.IntN(4)])
	w.outside = []float64{0.02, 0.1, 0.3, 0.6}[r.IntN(4)]
	world = w
	clear(inside)
	return w
}

// Failure is the first one, "" for none.
func (w *World) Failure() string { return w.failure }

// Fail ends the run. It does not return to an actor.
func Fail(format string, args ...any) {
	w := world
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, args...)
		if w.current != nil {
			w.failure = w.current.Name + ": " + w.failure
		}
		Note("FAILED: %s", w.failure)
	}
	if a := w.current; a != nil {
		for {
			a.yield(struct{}{})
		}
	}
}

// Chance is true once in n times.
func Chance(n int) bool { return n > 0 && world.Rand.IntN(n) == 0 }

// Note adds a line to the trace: who, where in the code, what.
func Note(format string, args ...any) {
	w := world
	if w.Trace == nil {
		return
	}
	who := "outside"
	if w.current != nil {
		who = w.current.Name
	} else if w.turns == 0 {
		who = "test"
	}
	*w.Trace = append(*w.Trace, fmt.Sprintf("%6d %-12s %-28s %s", w.Steps, who, where(), fmt.Sprintf(format, args...)))
}

// where is the first caller outside of the simulator.
func where() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.Contains(f.File, "/poller/sim/") && strings.Contains(f.Function, "roost/") {
			short := f.File[strings.LastIndex(f.File[:strings.LastIndex(f.File, "/")], "/")+1:]
			return fmt.Sprintf("%s:%d", short, f.Line)
		}
		if !more {
			return ""
		}
	}
}

// Rest runs the world until nobody can go on and nothing is on its way, or it has failed.
func (w *World) Rest() {
	for w.failure == "" {
		w.turns++
		w.wakePolling()
		w.wakeNapping()
		pending := w.Outside.Pending()
		switch {
		case pending && (len(w.ready) == 0 && !(len(w.napping) > 0 && Chance(4)) || w.Rand.Float64() < w.outside):
			w.Outside.Advance()
		case len(w.ready) > 0:
			w.turn(w.ready[w.Rand.IntN(len(w.ready))])
		case len(w.napping) > 0:
			w.awake(w.Rand.IntN(len(w.napping)))
		default:
			w.deadlock()
			return
		}
		if w.Check != nil && w.turns%16 == 0 && w.failure == "" {
			w.Check()
		}
		if w.Steps > w.limit && w.failure == "" {
			Fail("no rest after %d steps: somebody runs without end", w.Steps)
		}
	}
}

func (w *World) wakePolling() {
	for i := 0; i < len(w.polling); i++ {
		if a := w.polling[i]; a.test() {
			w.polling = append(w.polling[:i], w.polling[i+1:]...)
			w.ready = append(w.ready, a)
			a.waits, a.test = "", nil
			i--
		}
	}
}

func (w *World) wakeNapping() {
	for i := 0; i < len(w.napping); i++ {
		if w.napping[i].until <= w.turns {
			w.awake(i)
			i--
		}
	}
}

func (w *World) awake(i int) {
	a := w.napping[i]
	w.napping = append(w.napping[:i], w.napping[i+1:]...)
	w.ready = append(w.ready, a)
}

func (w *World) deadlock() {
	for _, a := range w.alive {
		if strings.HasPrefix(a.waits, "mutex") {
			Fail("deadlock: %s waits for a %s for ever; %s", a.Name, a.waits, w.Waiting())
		}
	}
}

// Alive is the number of actors that have not ended.
func (w *World) Alive() int { return len(w.alive) }

// Waiting tells who is there and what for.
func (w *World) Waiting() string {
	var b strings.Builder
	for _, a := range w.alive {
		fmt.Fprintf(&b, "%s: %s; ", a.Name, a.waits)
	}
	return b.String()
}

// Tap tells the test that a function begins, see [World.Tap]. It is no step.
func Tap(what string, args ...any) {
	if world.Tap != nil {
		world.Tap(what, args)
	}
}

// Clock is poller's clock: some time has passed since the last call, or a lot.
func Clock() time.Duration {
	world.clock += []time.Duration{0, time.Nanosecond, time.Microsecond, 10 * time.Microsecond, time.Millisecond}[Pick(5)]
	return world.clock
}

// Pick is a random number below n.
func Pick(n int) int { return world.Rand.IntN(n) }
