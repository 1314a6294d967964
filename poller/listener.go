//go:build linux

package poller

import (
	"io/fs"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"roost/poller/socket"
)

// acceptBudget is how many connections one run of a listener accepts before
// others that wait get their turn.
const acceptBudget = 64

const (
	// backlogMost bounds what Drain accepts at the end: no backlog is longer than
	// net.core.somaxconn, which is 4,096 on most machines and 65,535 at the most here.
	backlogMost = 1 << 16
	// roundTrip is how long Drain leaves clients to complete their TCP handshake.
	roundTrip = 100 * time.Millisecond
)

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
	// ReusePort lets others listen on a TCP port as well, see [socket.Listen].
	ReusePort bool
}

// Listener accepts connections on one descriptor of its own. It goes through the
// same reactors and workers as connections do.
type Listener struct {
	reg Registration

	// Static after Listen.
	config ListenerConfig
	addr   net.Addr
	file   *socket.UnixFile // nil unless we made it

	// Owned by the goroutine that holds reg.
	short  bool // OnPause was called and OnResume not yet
	closed chan struct{}

	paused   atomic.Bool
	draining atomic.Bool
	stopping atomic.Bool
}

// Listen opens addr, "host:port" as for [socket.Listen] or "unix:PATH" as for
// [socket.ListenUnix], and accepts from now on.
func (p *Poller) Listen(addr string, config ListenerConfig) (*Listener, error) {
	path, isUnix, err := socket.UnixPath(addr)
	if err != nil {
		return nil, err
	}
	var fd int
	var file *socket.UnixFile
	if isUnix {
		fd, file, err = socket.ListenUnix(path, fs.ModePerm)
	} else {
		fd, err = socket.Listen(addr, config.ReusePort)
	}
	if err != nil {
		return nil, err
	}
	return p.listen(fd, file, config)
}

// ListenOn accepts from fd from now on, a listening socket as [socket.Inherit]
// returns it. The Listener owns fd, also after an error. The file of a unix socket
// stays when it is closed.
func (p *Poller) ListenOn(fd int, config ListenerConfig) (*Listener, error) {
	config.ReusePort = false // the socket lives on elsewhere and must not turn clients away
	return p.listen(fd, nil, config)
}

func (p *Poller) listen(fd int, file *socket.UnixFile, config ListenerConfig) (*Listener, error) {
	l := &Listener{config: config, addr: socket.ListenAddr(fd), file: file, closed: make(chan struct{})}
	if err := p.Register(&l.reg, fd, l); err != nil {
		l.forget()
		socket.Close(fd)
		return nil, err
	}
	return l, nil
}

// Addr is the address the listener is bound to, with the port the kernel chose: a
// *net.TCPAddr or *net.UnixAddr.
func (l *Listener) Addr() net.Addr { return l.addr }

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

// Drain is Close for clients that can go elsewhere: it accepts what is in the
// backlog, whatever Admit says, right before the descriptor is closed. With ReusePort nobody
// is reset who has another listener to go to: what comes too late for the backlog is
// the other's, by the kernel's doing ([socket.Migrates]) or because it is told nothing and tries
// again a second later ([socket.TurnAway]). Handshakes that take longer than 100 ms
// from then on are lost. It must not be called from a handler, nor at the same time as Close.
func (l *Listener) Drain() {
	if l.config.ReusePort && l.file == nil && !socket.Migrates() {
		if socket.TurnAway(l.reg.FD()) == nil {
			time.Sleep(roundTrip)
		}
	}
	l.draining.Store(true)
	l.Close()
}

// Ready accepts what waits. It is called by the poller.
func (l *Listener) Ready(_ *Worker, _ Events) Next {
	if l.stopping.Load() {
		l.forget()
		if l.draining.Load() {
			l.empty()
		}
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

// forget removes the file of a unix socket, while the descriptor is open.
func (l *Listener) forget() {
	if l.file != nil {
		_ = l.file.Remove() // a file that cannot be removed is replaced at the next start
	}
}

// empty accepts all that waits, until there is none or no descriptor for it.
func (l *Listener) empty() {
	for range backlogMost {
		fd, errno := socket.Accept(l.reg.FD())
		switch {
		case errno == 0:
			l.config.OnAccept(fd)
		case !socket.PassingAcceptError(errno):
			return
		}
	}
}
