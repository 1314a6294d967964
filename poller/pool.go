//go:build linux

package poller

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// pool is the bounded set of workers and the FIFO of registrations they serve.
// The queue is linked through the registrations and allocates nothing; its bound
// is the number of registrations.
type pool struct {
	// Static after New.
	batch int   // most registrations a worker takes at once
	help  int   // a reactor takes from the queue when more than this many wait; < 0 never
	most  int64 // a reactor adds no more to a queue of this length

	onWait func(time.Duration) // see Config.OnWait; nil if nobody wants to know

	mu         sync.Mutex
	wake       *sync.Cond
	head, tail *Registration
	idle       int // workers in wake.Wait
	closed     bool
	timed      *Registration // whose wait is measured; nil while none is
	since      time.Duration // clock when it was queued

	waiting atomic.Int64  // length of the queue; changed under mu, readable without
	ran     atomic.Uint64 // runs by reactors
	done    sync.WaitGroup
}

// Worker is one goroutine that runs handlers, with the memory it lends them.
type Worker struct {
	// Buffer is for reading; its contents mean nothing between calls of Ready.
	Buffer []byte
	// Scratch is what Config.NewScratch returned for this worker.
	Scratch any
}

const (
	// batchMost is how many registrations a worker takes out of the queue at once
	// when handlers do not block.
	batchMost = 16
	// wakeSecond is the queue length at which one awake worker is no longer enough.
	wakeSecond = 2 * batchMost
)

// push appends r, which the caller has marked scheduled.
func (p *pool) push(r *Registration) {
	p.mu.Lock()
	r.next = nil
	if p.tail == nil {
		p.head = r
	} else {
		p.tail.next = r
	}
	p.tail = r
	if p.onWait != nil && p.timed == nil {
		p.timed, p.since = r, clock()
	}
	queued := p.waiting.Add(1)
	// Waking a worker costs a futex call and the reactor's cache. The first in the
	// queue needs one; the next few are taken by the same worker in one batch.
	wake := p.idle > 0 && (p.batch == 1 || queued == 1 || queued > wakeSecond)
	p.mu.Unlock()
	if wake {
		p.wake.Signal()
	}
}

func (p *pool) pop() *Registration {
	r := p.head
	if r == nil {
		return nil
	}
	p.head = r.next
	if p.head == nil {
		p.tail = nil
	}
	r.next = nil
	if r == p.timed {
		p.timed = nil
		p.onWait(clock() - p.since)
	}
	p.waiting.Add(-1)
	return r
}

// surplus takes one registration if the pool is behind.
func (p *pool) surplus() *Registration {
	if p.help < 0 || p.waiting.Load() <= int64(p.help) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting.Load() <= int64(p.help) {
		return nil
	}
	return p.pop()
}

// work is a worker's life. After close it empties the queue and ends.
func (p *pool) work(w *Worker) {
	defer p.done.Done()
	var batch [batchMost]*Registration
	for ran := 0; ; {
		n := 0
		p.mu.Lock()
		for p.head == nil && !p.closed {
			p.idle++
			p.wake.Wait()
			p.idle--
		}
		if p.head == nil {
			p.mu.Unlock()
			return
		}
		for n < p.batch && p.head != nil {
			batch[n] = p.pop()
			n++
		}
		more := p.waiting.Load() > wakeSecond && p.idle > 0
		p.mu.Unlock()
		if more {
			p.wake.Signal()
		}
		for i := range n {
			p.run(w, batch[i])
			batch[i] = nil
		}
		if ran += n; ran >= batchMost {
			// Raw system calls have kept this processor for a while, and a reactor back
			// from epoll_wait may be waiting for one.
			ran = 0
			runtime.Gosched()
		}
	}
}

// run calls the handler once. The registration is scheduled, and the caller holds it.
func (p *pool) run(w *Worker, r *Registration) {
	switch r.handler.Ready(w, r.take()) {
	case Closed:
	case Again:
		// Called, so that the next run is not mistaken for one with nothing to do.
		r.state.Or(uint32(Called))
		p.push(r)
	case Wait:
		if !r.release() {
			p.push(r)
		}
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.wake.Broadcast()
	p.done.Wait()
}
