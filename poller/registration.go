//go:build linux

package poller

import (
	"sync/atomic"

	"roost/poller/socket"
)

// Events is what happened to a registration since its handler ran last.
type Events uint32

const (
	// Readable: there may be bytes to read, or the end of the stream.
	Readable Events = 1 << iota
	// Writable: the send buffer has room again after [Registration.WantWrite].
	Writable
	// Hangup: the peer closed its sending side or the connection failed. Bytes may
	// still be waiting, and no further edge will announce the end of the stream:
	// read until the kernel says so.
	Hangup
	// Called: [Registration.Call] was called, or the handler answered [Again].
	Called

	scheduled // in the queue, or its handler is running
	wantWrite // the owner waits for Writable
	gone      // terminal: the registration has given up its descriptor
)

// Next is a handler's answer: what the registration needs after this call.
type Next uint8

const (
	// Wait for the next event.
	Wait Next = iota
	// Again: work is left, run the handler once more after the others that wait.
	Again
	// Closed: the handler has called Close or Detach. The registration is not touched again.
	Closed
)

// Handler is what a connection does when it is ready.
//
// Ready is called by one goroutine at a time per registration, which holds the
// registration for the length of the call. The worker and all it carries are the
// handler's own until Ready returns. Unless the poller was built with
// [Config.Blocking], Ready must not wait for anything: not for the socket, a
// channel, or a lock that is held for long.
type Handler interface {
	Ready(w *Worker, ev Events) Next
}

// Registration is one descriptor's place in the poller, to be embedded in what
// it serves. It owns the descriptor from a successful Register until Close or
// Detach. It must not be copied.
type Registration struct {
	// Static after Register, but for SetHandler.
	handler Handler
	reactor *reactor

	// Guarded by the pool's mutex.
	next *Registration

	// Events, and the bits scheduled, wantWrite and gone.
	state atomic.Uint32

	// Written by the goroutine that holds the registration, under the lock its
	// owner writes under, so that whoever holds either may read it. -1 when gone.
	fd int32
}

// FD returns the descriptor, or -1 when the registration has none. The caller
// must hold the registration or the owner's write lock, else the number may
// belong to somebody else when it is used.
func (r *Registration) FD() int { return int(r.fd) }

// Handler is the one given to Register or SetHandler, nil before. Whoever calls it while
// the other may be called holds the registration or the owner's write lock.
func (r *Registration) Handler() Handler { return r.handler }

// SetHandler has another handler called from the next event on. The caller holds the
// registration and the owner's write lock.
func (r *Registration) SetHandler(h Handler) { r.handler = h }

// Call makes the handler run soon with [Called], whatever the socket does. Any
// goroutine may call it once Register has returned; after Close it does nothing.
func (r *Registration) Call() { r.mark(uint32(Called)) }

// BeforeWrite must be called before an attempt to write that may end in a call
// of WantWrite. The caller holds the owner's write lock.
func (r *Registration) BeforeWrite() {
	// Forget edges from before the attempt. The load keeps the common case, no
	// edge since the last write, free of a locked instruction.
	if r.state.Load()&uint32(Writable) != 0 {
		r.state.And(^uint32(Writable))
	}
}

// WantWrite asks for [Writable] after a write has met [socket.Again] or was cut
// short, which tells the kernel as well that somebody waits for room. An edge
// that came between that and this call is not lost: BeforeWrite cleared older
// ones, so a set bit means room. The caller holds the owner's write lock.
func (r *Registration) WantWrite() { r.mark(uint32(wantWrite)) }

// Close takes the descriptor out of epoll and closes it. Only the goroutine that
// holds the registration may call it, once, while holding the owner's write lock;
// the handler then returns [Closed].
func (r *Registration) Close() {
	if fd := r.Detach(); fd >= 0 {
		socket.Close(fd)
	}
}

// Detach is Close without the last step: the descriptor becomes the caller's.
// It returns -1 when the registration had given it up before.
func (r *Registration) Detach() int {
	fd := int(r.fd)
	if fd < 0 {
		return -1
	}
	r.state.Or(uint32(gone))
	r.reactor.del(fd)
	r.fd = -1
	return fd
}

// mark sets bits and queues the registration when that gives its handler
// something to do and it is not queued or running.
func (r *Registration) mark(bits uint32) {
	if r.raise(bits) {
		r.reactor.poller.pool.push(r)
	}
}

// raise sets bits. It reports whether the caller now holds the registration and has
// to queue or run it.
func (r *Registration) raise(bits uint32) bool {
	for {
		old := r.state.Load()
		if old&uint32(gone) != 0 {
			return false
		}
		set := old | bits
		hold := old&uint32(scheduled) == 0 && runnable(set)
		if hold {
			set |= uint32(scheduled)
		}
		if set == old || r.state.CompareAndSwap(old, set) {
			return hold
		}
	}
}

// runnable reports whether a handler has to run. Room to write matters only to
// one who waits for it: a socket is writable nearly always.
func runnable(state uint32) bool {
	return state&uint32(Readable|Hangup|Called) != 0 ||
		state&uint32(Writable|wantWrite) == uint32(Writable|wantWrite)
}

// take returns the events to handle and clears them. Called by the holder.
func (r *Registration) take() Events {
	for {
		old := r.state.Load()
		clr := uint32(Readable | Hangup | Called)
		ev := Events(old) & Events(clr)
		if old&uint32(Writable|wantWrite) == uint32(Writable|wantWrite) {
			clr |= uint32(Writable | wantWrite)
			ev |= Writable
		}
		if r.state.CompareAndSwap(old, old&^clr) {
			return ev
		}
	}
}

// release ends the holding. It reports false when events have come in the
// meantime; then the caller still holds the registration and must queue it.
func (r *Registration) release() bool {
	for {
		old := r.state.Load()
		if runnable(old) {
			return false
		}
		if r.state.CompareAndSwap(old, old&^uint32(scheduled)) {
			return true
		}
	}
}
