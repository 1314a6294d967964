//go:build linux

package poller

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/mailru/easygo/netpoll"
)

// reactor is one epoll instance with the goroutine that waits on it.
type reactor struct {
	// Static after New.
	poller  *Poller
	epoll   epoll
	between time.Duration // longest pause within a batch

	// Owned by the goroutine in epoll_wait. Times are of clock.
	worker *Worker
	since  int           // handlers run since others had their turn
	began  time.Duration // start of this batch
	left   time.Duration // end of the last event

	busy atomic.Int64 // nanoseconds in batches; see Stats.Busy
}

const (
	// lead is how long a reactor runs the handlers of one batch of events itself before
	// workers get some.
	lead = 400 * time.Microsecond
	// pause is the longest time from one event of a batch to the next. A longer one
	// tells that epoll_wait(2) was called in between: netpoll does not.
	pause = 200 * time.Nanosecond
	// yieldAfter is how many handlers a reactor runs before it lets other goroutines
	// have its processor.
	yieldAfter = 32
	// helpMost bounds how many registrations of others a reactor runs after one event,
	// so that it gets back to the events behind it.
	helpMost = 4
)

var epoch = time.Now()

func clock() time.Duration { return time.Since(epoch) }

func (re *reactor) add(r *Registration, fd int) error {
	return re.epoll.add(fd, r.dispatch)
}

func (re *reactor) del(fd int) {
	// The error says that fd was not registered or the epoll instance is closed:
	// either way no further event will come.
	_ = re.epoll.Del(fd)
}

// dispatch runs in the reactor's goroutine for every event of this registration. It
// is a method of Registration so that the callback netpoll keeps costs one pointer
// (a 16-byte closure).
func (r *Registration) dispatch(ev netpoll.EpollEvent) {
	re := r.reactor
	held, helps := r.raise(events(ev)), re.poller.pool.help >= 0
	if !held && !helps {
		return
	}
	now := clock()
	re.enter(now)
	if helps {
		if held {
			re.serve(r, now)
		}
		re.help()
	} else {
		re.poller.pool.push(r)
	}
	re.leave(clock())
}

// enter begins an event, and a batch if it is the first of one.
func (re *reactor) enter(now time.Duration) {
	if now-re.left > re.between {
		re.began, re.left = now, now
	}
}

// leave ends an event.
func (re *reactor) leave(now time.Duration) {
	re.busy.Add(int64(now - re.left))
	re.left = now
}

// serve runs r, which the caller holds, or hands it to the workers. To wake one costs
// about as much as a handler does, twice: in its thread and in this one. So the
// reactor runs what is ready by itself, and only when a batch takes long does it queue
// what workers can take meanwhile.
func (re *reactor) serve(r *Registration, now time.Duration) {
	pool := &re.poller.pool
	if re.behind(now) && pool.waiting.Load() < pool.most {
		pool.push(r)
		return
	}
	re.run(r)
}

// behind reports that a batch takes long already.
func (re *reactor) behind(now time.Duration) bool { return now-re.began > lead }

// run runs a handler. Raw system calls keep the processor, and a batch may be
// followed by the next at once: others that wait for one get their turn.
func (re *reactor) run(r *Registration) {
	pool := &re.poller.pool
	pool.ran.Add(1)
	pool.run(re.worker, r)
	if re.since++; re.since == yieldAfter {
		re.since = 0
		runtime.Gosched()
	}
}

// help takes work off a pool that has fallen behind.
func (re *reactor) help() {
	pool := &re.poller.pool
	for range helpMost {
		r := pool.surplus()
		if r == nil {
			return
		}
		re.run(r)
	}
}
