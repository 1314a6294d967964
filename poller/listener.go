//go:build linux

package poller

import (
	"net/netip"
	"sync/atomic"
	"syscall"

	"roost/poller/socket"
)

// acceptBudget is how many connections one run of a listener accepts before
// others that wait get their turn.
const acceptBudget = 64

// ListenerConfig says what happens to what a listener accepts. The callbacks run
// on the poller's workers, one at a time per listener, and must not block.
type ListenerConfig struct {
	// OnAccept owns fd from now on. Required.
	OnAccept func(fd int)
	// Admit is asked before each accept. When it says no the listener pauses until
	// Resume; clients wait in the kernel's backlog. Nil means always yes.
	Admit func() bool
	// OnPause is told the errno that made accepting pause, once until it has caught
	// up again: EMFILE, ENFILE, ENOBUFS or ENOMEM (out of descriptors or memory),
	// or an unexpected one. Required.
	OnPause func(errno syscall.Errno)
	// OnResume is told when the backlog is empty again after OnPause. Required.
	OnResume func()
}

// Listener accepts connections on one descriptor of its own. It goes through the
// same reactors and workers as connections do.
type Listener struct {
	reg Registration

	// Static after Listen.
	config ListenerConfig
	addr   netip.AddrPort

	// Owned by the goroutine that holds reg.
	short  bool // OnPause was called and OnResume not yet
	closed chan struct{}

	paused   atomic.Bool
	stopping atomic.Bool
}

// Listen opens addr, "host:port" as for [socket.Listen], and accepts from now on.
func (p *Poller) Listen(addr string, config ListenerConfig) (*Listener, error) {
	fd, err := socket.Listen(addr)
	if err != nil {
		return nil, err
	}
	l := &Listener{config: config, addr: socket.LocalAddr(fd), closed: make(chan struct{})}
	if err := p.Register(&l.reg, fd, l); err != nil {
		socket.Close(fd)
		return nil, err
	}
	return l, nil
}

// Addr is the address the listener is bound to, with the port the kernel chose.
func (l *Listener) Addr() netip.AddrPort { return l.addr }

// Resume makes a paused listener try again. It costs an atomic load when the
// listener is not paused, so it may be called whenever a descriptor came free.
func (l *Listener) Resume() {
	if l.paused.Load() && l.paused.CompareAndSwap(true, false) {
		l.reg.Call()
	}
}

// Close stops accepting and waits until the descriptor is closed. Connections in
// the backlog are reset by the kernel. It must not be called from a handler.
func (l *Listener) Close() {
	l.stopping.Store(true)
	l.reg.Call()
	<-l.closed
}

// Ready accepts what waits. It is called by the poller.
func (l *Listener) Ready(_ *Worker, _ Events) Next {
	if l.stopping.Load() {
		l.reg.Close()
		close(l.closed)
		return Closed
	}
	if l.paused.Load() {
		return Wait
	}
	for range acceptBudget {
		if l.config.Admit != nil && !l.config.Admit() {
			if l.pause() {
				return Wait
			}
			continue
		}
		fd, errno := socket.Accept(l.reg.FD())
		switch {
		case errno == 0:
			l.paused.Store(false)
			l.config.OnAccept(fd)
		case errno == socket.Again:
			l.paused.Store(false)
			if l.short {
				l.short = false
				l.config.OnResume()
			}
			return Wait
		case socket.PassingAcceptError(errno):
		case l.pause():
			if !l.short {
				l.short = true
				l.config.OnPause(errno)
			}
			return Wait
		}
	}
	l.paused.Store(false)
	return Again
}

// pause makes the listener wait for Resume rather than for an edge: the backlog
// is not empty, and trying on every new arrival would spin. It reports false when
// the caller must try once more before it waits: what Resume announces may have
// come after the refusal, when Resume found nothing to resume.
func (l *Listener) pause() bool { return l.paused.Swap(true) }
