//go:build roostsim

// Package kernel is the part of Linux that a simulation needs: descriptors,
// stream sockets, a listener, event counters and edge-triggered epoll.
//
// A descriptor's number is the lowest that is free, so it is reused at once. A
// stream has a bounded send and a bounded receive buffer, and what is between
// them arrives in pieces, whenever the world decides. As in Linux a socket is writable when
// a part of its send buffer is free, room is announced only after a write was
// refused or cut short, an edge is an entry in epoll's ready list, and what
// epoll_wait reports is the state at that time, not at the time of the edge. Recv is
// never cut short while more has arrived: epoll(7) promises as much.
//
// A call that no correct program makes is no error here but ends the run: on a
// number that is closed or changes hands during the call, a second close, a close
// before the number has left epoll.
package kernel

import (
	"fmt"

	"golang.org/x/sys/unix"

	"roost/poller/sim"
)

// Faults are drawn once per run. Each is "once in so many calls", 0 for never.
type Faults struct {
	Interrupt int // a call or epoll_wait fails with EINTR
	ShortSend int // less is taken than there is room for
	NoSend    int // EAGAIN in spite of room
	Accept    int // accept fails
	AddFails  int // a socket cannot be added to epoll
	Spurious  int // an event that is not true
	Late      int // the thread sleeps between epoll_wait and what it does about it
	Reset     int // with each piece that arrives: the connection is reset
}

// Kernel is all processes share. It is the world's outside.
type Kernel struct {
	// Static after New.
	Faults  Faults
	SendCap int // bytes in a send buffer
	RecvCap int // bytes in a receive buffer
	Most    int // descriptors: with more open accept fails with EMFILE

	files     []file // by number, nil for free
	streams   []*stream
	listening *listener
	sockets   []*Endpoint // all that were accepted
	Excuse    bool        // the last accept failed for no reason
	Opened    int         // epoll instances: 0 when the code under test is not simulated
}

type file interface{ String() string }

// first is the lowest number given out.
const first = 3

// K is the kernel of this process.
var K *Kernel

// New makes the kernel of the world w.
func New(w *sim.World) *Kernel {
	rare := func() int { return []int{0, 0, 200, 40, 10, 3}[sim.Pick(6)] }
	size := func() int { return []int{1, 7, 64, 300, 2000}[sim.Pick(5)] + sim.Pick(50) }
	K = &Kernel{
		Faults: Faults{Interrupt: rare(), ShortSend: rare(), NoSend: rare(), Accept: rare(),
			AddFails: rare(), Spurious: rare(), Late: rare(),
			Reset: []int{0, 0, 0, 500, 100}[sim.Pick(5)]},
		SendCap: size(), RecvCap: size(), Most: []int{200, 200, 7 + sim.Pick(8)}[sim.Pick(3)],
		files: make([]file, first),
	}
	w.Outside = K
	return K
}

// install gives f the lowest free number.
func (k *Kernel) install(f file) int {
	for fd := first; fd < len(k.files); fd++ {
		if k.files[fd] == nil {
			k.files[fd] = f
			return fd
		}
	}
	k.files = append(k.files, f)
	return len(k.files) - 1
}

// enter looks fd up, lets others come between, and looks again: who owned the
// number when the call began must still own it.
func enter[F file](k *Kernel, fd int, call string) F {
	get := func() file {
		if fd < 0 || fd >= len(k.files) {
			return nil
		}
		return k.files[fd]
	}
	before := get()
	sim.Step(call)
	f, ok := get().(F)
	if !ok || before != get() {
		sim.Fail("%s on descriptor %d, which is not the caller's any more: was %v, is %v", call, fd, before, get())
	}
	return f
}

// Open lists the descriptors that are open.
func (k *Kernel) Open() (open []string) {
	for fd, f := range k.files {
		if f != nil {
			open = append(open, fmt.Sprintf("%d: %v", fd, f))
		}
	}
	return open
}

// Accepted are all sockets that have been accepted, in order.
func (k *Kernel) Accepted() []*Endpoint { return k.sockets }

// Socket is what fd refers to.
func (k *Kernel) Socket(fd int) *Endpoint {
	e, _ := k.files[fd].(*Endpoint)
	return e
}

// Backlog is how many connections wait to be accepted, and whether accept would
// find a number for one.
func (k *Kernel) Backlog() (n int, room bool) {
	if k.listening != nil {
		n = len(k.listening.backlog)
	}
	return n, len(k.Open()) < k.Most
}

func (k *Kernel) interrupted() bool { return sim.Chance(k.Faults.Interrupt) }

// Close gives the number back (close(2)).
func (k *Kernel) Close(fd int) error {
	switch f := enter[file](k, fd, fmt.Sprintf("close %d", fd)).(type) {
	case *Endpoint:
		if f.watch != nil {
			sim.Fail("descriptor %d is closed before it has left epoll", fd)
		}
		f.shut()
	case *listener:
		if f.watch != nil {
			sim.Fail("descriptor %d is closed before it has left epoll", fd)
		}
		f.close()
	}
	k.files[fd] = nil
	sim.Step("closed")
	return nil
}

// Pending reports whether something is on its way.
func (k *Kernel) Pending() bool {
	for _, s := range k.streams {
		if s.movable() {
			return true
		}
	}
	return false
}

// Advance moves a piece of a random stream.
func (k *Kernel) Advance() {
	var some []*stream
	live := k.streams[:0]
	for _, s := range k.streams {
		if s.movable() {
			some = append(some, s)
		}
		if !s.over {
			live = append(live, s)
		}
	}
	k.streams = live
	if len(some) > 0 {
		some[sim.Pick(len(some))].move()
	}
}

type listener struct {
	backlog []*Endpoint
	watch   *watch
	bound   bool
}

func (l *listener) String() string { return "listener" }

func (l *listener) poll() uint32 {
	if len(l.backlog) > 0 {
		return unix.EPOLLIN
	}
	return 0
}

func (l *listener) close() {
	for _, e := range l.backlog {
		e.abort()
	}
	l.backlog = nil
	K.listening = nil
}

// NewListener is socket(2); it listens from its first use on.
func (k *Kernel) NewListener() int { return k.install(&listener{}) }

// Listen is listen(2).
func (k *Kernel) Listen(fd int) { k.listening = enter[*listener](k, fd, "listen") }

// Accept is accept4(2).
func (k *Kernel) Accept(fd int) (int, unix.Errno) {
	l := enter[*listener](k, fd, "accept")
	k.Excuse = false
	switch {
	case len(k.Open()) >= k.Most: // Linux reserves the number first, also when nobody waits
		return -1, unix.EMFILE
	case k.interrupted():
		return -1, unix.EINTR
	case len(l.backlog) == 0:
		return -1, unix.EAGAIN
	case sim.Chance(k.Faults.Accept):
		k.Excuse = true
		errno := []unix.Errno{unix.EMFILE, unix.ENOBUFS, unix.ECONNABORTED}[sim.Pick(3)]
		if errno == unix.ECONNABORTED {
			l.backlog[0].abort()
			l.backlog = l.backlog[1:]
		}
		return -1, errno
	}
	e := l.backlog[0]
	l.backlog = l.backlog[1:]
	n := k.install(e)
	k.sockets = append(k.sockets, e)
	sim.Note("accepts %v as descriptor %d", e, n)
	sim.Step("accepted")
	return n, 0
}

// Connect is the other process: it returns the client's end of a connection that
// waits in the backlog, nil when nobody listens.
func (k *Kernel) Connect(name string) *Endpoint {
	if k.listening == nil {
		return nil
	}
	client, server := &Endpoint{k: k, name: name}, &Endpoint{k: k, name: "server of " + name}
	client.peer, server.peer = server, client
	up, down := &stream{from: client, to: server}, &stream{from: server, to: client}
	client.out, server.in, server.out, client.in = up, up, down, down
	k.streams = append(k.streams, up, down)
	k.listening.backlog = append(k.listening.backlog, server)
	k.listening.watch.raise(unix.EPOLLIN)
	return client
}
