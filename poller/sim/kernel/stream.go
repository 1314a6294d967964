//go:build roostsim

package kernel

import (
	"golang.org/x/sys/unix"

	"roost/poller/sim"
)

// stream is one direction of a connection.
type stream struct {
	from, to *Endpoint
	sent     []byte // in the send buffer or on its way
	fin      bool   // FIN follows sent
	rst      bool   // RST follows sent, or overtakes it
	arrived  []byte // in the receive buffer
	eof      bool   // FIN has arrived
	over     bool   // nothing will move any more
}

func (s *stream) room() int { return s.from.k.RecvCap - len(s.arrived) }

func (s *stream) movable() bool {
	if s.over {
		return false
	}
	return s.rst || len(s.sent) > 0 && (s.room() > 0 || s.to.closed) || len(s.sent) == 0 && s.fin
}

// move lets a piece arrive.
func (s *stream) move() {
	k := s.from.k
	n := min(len(s.sent), s.room())
	switch {
	case s.rst && (n == 0 || sim.Chance(2)):
		s.over = true
		s.to.die("RST arrives")
		return
	case s.to.closed:
		// Nobody reads there any more: it answers with RST (RFC 9293 section 3.10.7).
		if len(s.sent) > 0 {
			s.from.die("the peer is gone")
		}
		s.over = true
		return
	case len(s.sent) == 0:
		s.eof, s.over = true, true
		sim.Note("FIN arrives at %v", s.to)
		s.to.changed(unix.EPOLLIN | unix.EPOLLRDHUP)
		return
	}
	if sim.Chance(k.Faults.Reset) {
		s.from.die("reset by the network")
		s.to.die("reset by the network")
		return
	}
	if n > 1 && !sim.Chance(2) {
		n = 1 + sim.Pick(n)
	}
	s.arrived = append(s.arrived, s.sent[:n]...)
	s.sent = append(s.sent[:0], s.sent[n:]...)
	sim.Note("%d bytes arrive at %v", n, s.to)
	s.to.changed(unix.EPOLLIN)
	s.from.drained()
}

// Endpoint is one end of a connection. The server's is reached by its descriptor,
// the client's by the methods with capitals that are no system call.
type Endpoint struct {
	k       *Kernel
	name    string
	in, out *stream
	peer    *Endpoint

	errno   unix.Errno // reported once
	dead    bool       // reset: nothing goes in or out any more
	shutW   bool
	closed  bool
	nospace bool // a write was refused or cut short: room will be announced
	owed    bool // room is announced although there was some all the time
	watch   *watch
	waiting sim.Queue

	unwatched bool // epoll_ctl has failed for it
}

func (e *Endpoint) String() string { return e.name }

// Peer is the name of the other end.
func (e *Endpoint) Peer() string { return e.peer.name }

// writable is Linux's: a third of the buffer is free.
func (e *Endpoint) writable() bool { return 3*len(e.out.sent) <= 2*e.k.SendCap && !e.owed }

func (e *Endpoint) poll() uint32 {
	var ev uint32
	if len(e.in.arrived) > 0 || e.in.eof || e.dead {
		ev |= unix.EPOLLIN
	}
	if e.in.eof || e.dead {
		ev |= unix.EPOLLRDHUP
	}
	if e.dead || e.in.eof && e.shutW {
		ev |= unix.EPOLLHUP
	}
	if e.errno != 0 {
		ev |= unix.EPOLLERR
	}
	if e.dead || e.shutW || e.writable() {
		ev |= unix.EPOLLOUT
	} else {
		e.nospace = true
	}
	return ev
}

// changed tells whoever waits for e.
func (e *Endpoint) changed(ev uint32) {
	e.watch.raise(ev)
	e.waiting.Wake(e.waiting.Len())
}

// drained announces room to one who wants to know.
func (e *Endpoint) drained() {
	e.owed = false
	if e.nospace && e.writable() && !e.dead {
		e.nospace = false
		e.changed(unix.EPOLLOUT)
	}
	e.waiting.Wake(e.waiting.Len())
}

func (e *Endpoint) die(why string) {
	if e.dead || e.closed {
		return
	}
	sim.Note("%v: %s", e, why)
	e.dead, e.errno = true, unix.ECONNRESET
	e.out.sent, e.out.fin, e.out.over = nil, false, true
	e.changed(unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR)
}

// abort closes at once and lets the peer know by RST.
func (e *Endpoint) abort() {
	e.closed = true
	if !e.dead && !e.out.over {
		e.out.sent = e.out.sent[:sim.Pick(len(e.out.sent)+1)]
		e.out.rst, e.out.fin = true, false
	}
	e.in.over = e.in.over || e.dead
}

// shut is the last close of the descriptor. With unread input it becomes a reset
// (RFC 2525 section 2.17).
func (e *Endpoint) shut() {
	if len(e.in.arrived) > 0 {
		e.abort()
		return
	}
	e.closed, e.out.fin = true, true
}

// recv is recv(2).
func (e *Endpoint) recv(p []byte) (int, unix.Errno) {
	switch {
	case len(p) == 0:
		sim.Fail("recv into an empty buffer")
		return 0, 0
	case len(e.in.arrived) > 0:
		n := copy(p, e.in.arrived)
		e.in.arrived = append(e.in.arrived[:0], e.in.arrived[n:]...)
		return n, 0
	case e.errno != 0:
		errno := e.errno
		e.errno = 0
		return 0, errno
	case e.in.eof || e.dead:
		return 0, 0
	}
	return 0, unix.EAGAIN
}

// send is send(2).
func (e *Endpoint) send(p []byte) (int, unix.Errno) {
	switch {
	case e.errno != 0:
		errno := e.errno
		e.errno = 0
		return 0, errno
	case e.dead || e.shutW:
		return 0, unix.EPIPE
	case len(p) == 0:
		return 0, 0
	}
	n := min(len(p), e.k.SendCap-len(e.out.sent))
	switch {
	case n > 1 && sim.Chance(e.k.Faults.ShortSend):
		n = 1 + sim.Pick(n-1)
		e.owed = true
	case n > 0 && sim.Chance(e.k.Faults.NoSend) && e.owe():
		n = 0
	}
	if n < len(p) {
		e.nospace = true
	}
	if n <= 0 {
		return 0, unix.EAGAIN
	}
	e.out.sent = append(e.out.sent, p[:n]...)
	return n, 0
}

// owe has room announced with the next piece that leaves, as after a refusal for
// want of memory; without a piece on its way the kernel would not refuse.
func (e *Endpoint) owe() bool {
	if len(e.out.sent) > 0 {
		e.owed = true
	}
	return e.owed
}
