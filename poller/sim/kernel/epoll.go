//go:build roostsim

package kernel

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"roost/poller/sim"
)

type pollable interface {
	file
	poll() uint32
}

type epoll struct {
	watches []*watch
	ready   []*watch
	waiting sim.Queue
}

func (ep *epoll) String() string { return "epoll" }

// watch is a descriptor in an epoll instance.
type watch struct {
	ep       *epoll
	file     pollable
	fd       int32
	interest uint32
	listed   bool
}

// raise is an edge: it enters the ready list when somebody is interested.
func (w *watch) raise(ev uint32) {
	if w == nil || ev&(w.interest|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return
	}
	if !w.listed {
		w.listed = true
		w.ep.ready = append(w.ep.ready, w)
	}
	w.ep.waiting.Wake(1)
}

type counter struct {
	n     uint64
	watch *watch
}

func (c *counter) String() string { return "eventfd" }

func (c *counter) poll() uint32 {
	if c.n > 0 {
		return unix.EPOLLIN
	}
	return 0
}

// NewEpoll is epoll_create1(2).
func (k *Kernel) NewEpoll() int {
	k.Opened++
	return k.install(&epoll{})
}

// NewCounter is eventfd2(2).
func (k *Kernel) NewCounter() int { return k.install(&counter{}) }

// Count is write(2) on an event counter.
func (k *Kernel) Count(fd int) {
	c := enter[*counter](k, fd, "write to eventfd")
	c.n++
	c.watch.raise(unix.EPOLLIN)
}

// Control is epoll_ctl(2).
func (k *Kernel) Control(epfd, op, fd int, ev *unix.EpollEvent) error {
	ep := enter[*epoll](k, epfd, fmt.Sprintf("epoll_ctl op %d of %d", op, fd))
	if fd < 0 || fd >= len(k.files) {
		return unix.EBADF
	}
	f, ok := k.files[fd].(pollable)
	if !ok {
		sim.Fail("epoll_ctl of descriptor %d, which is %v", fd, k.files[fd])
	}
	at := slices.IndexFunc(ep.watches, func(w *watch) bool { return w.file == f })
	switch op {
	case unix.EPOLL_CTL_ADD:
		if at >= 0 {
			return unix.EEXIST
		}
		if e, socket := f.(*Endpoint); socket && sim.Chance(k.Faults.AddFails) {
			sim.Note("epoll_ctl fails for %d", fd)
			e.unwatched = true
			if sim.Chance(2) {
				sim.Nap() // whoever waits for a lock of the caller comes next
			}
			return unix.ENOSPC
		}
		w := &watch{ep: ep, file: f, fd: ev.Fd, interest: ev.Events}
		ep.watches = append(ep.watches, w)
		*watchOf(f) = w
		w.raise(f.poll())
		sim.Step("added to epoll")
	case unix.EPOLL_CTL_DEL:
		if at < 0 {
			return unix.ENOENT
		}
		w := ep.watches[at]
		ep.watches = slices.Delete(ep.watches, at, at+1)
		*watchOf(f) = nil
		if i := slices.Index(ep.ready, w); i >= 0 {
			ep.ready = slices.Delete(ep.ready, i, i+1)
		}
		sim.Step("left epoll")
	default:
		sim.Fail("epoll_ctl op %d is not simulated", op)
	}
	return nil
}

func watchOf(f pollable) **watch {
	switch f := f.(type) {
	case *Endpoint:
		return &f.watch
	case *listener:
		return &f.watch
	case *counter:
		return &f.watch
	}
	panic("no watch")
}

// Wait is epoll_wait(2) without a timeout.
func (k *Kernel) Wait(epfd int, events []unix.EpollEvent) (int, error) {
	for {
		ep := enter[*epoll](k, epfd, "epoll_wait")
		if k.interrupted() {
			return 0, unix.EINTR
		}
		n := 0
		most := len(events) - 1
		if sim.Chance(2) {
			most = 1 + sim.Pick(4)
		}
		for n < most && len(ep.ready) > 0 {
			w := ep.ready[0]
			ep.ready = ep.ready[1:]
			w.listed = false
			if ev := w.file.poll() & (w.interest | unix.EPOLLHUP | unix.EPOLLERR); ev != 0 {
				events[n] = unix.EpollEvent{Events: ev, Fd: w.fd}
				n++
			}
		}
		if len(ep.watches) > 1 && sim.Chance(k.Faults.Spurious) && n > 0 {
			// Anything may be said of a socket: a hint is all it is.
			w := ep.watches[1+sim.Pick(len(ep.watches)-1)]
			lies := []uint32{unix.EPOLLIN, unix.EPOLLOUT, unix.EPOLLIN | unix.EPOLLOUT, unix.EPOLLHUP | unix.EPOLLERR | unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP}
			events[n] = unix.EpollEvent{Events: lies[sim.Pick(len(lies))], Fd: w.fd}
			n++
		}
		if n == 0 {
			ep.waiting.Park("event")
			continue
		}
		for _, ev := range events[:n] {
			sim.Note("event %#x for %d", ev.Events, ev.Fd)
		}
		sim.Step("events")
		if sim.Chance(k.Faults.Late) {
			sim.Nap()
		}
		return n, nil
	}
}
