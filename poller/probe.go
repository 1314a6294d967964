//go:build linux

package poller

import (
	"context"
	"encoding/binary"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// Probe finds out whether a poller works. It has one descriptor for each reactor, so
// that it works when no further can be opened.
type Probe struct {
	taps []*tap // static after NewProbe

	mu    sync.Mutex
	moved *sync.Cond // signalled when passed or ended has become true, and at the end of a ctx
	ended bool       // guarded by mu; descriptors may be closed
}

// tap is an event counter (eventfd(2)) at one reactor.
type tap struct {
	Registration
	probe  *Probe
	passed bool // guarded by the probe's mu
	closed chan struct{}
}

// NewProbe opens a probe. It must be closed before the poller.
func (p *Poller) NewProbe() (*Probe, error) {
	pr := new(Probe)
	pr.moved = sync.NewCond(&pr.mu)
	for _, re := range p.reactors {
		fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			pr.Close()
			return nil, os.NewSyscallError("eventfd", err)
		}
		t := &tap{probe: pr, closed: make(chan struct{})}
		if err := p.register(&t.Registration, fd, t, re); err != nil {
			socket.Close(fd)
			pr.Close()
			return nil, err
		}
		pr.taps = append(pr.taps, t)
	}
	return pr, nil
}

// Run returns nil when every reactor has fetched an event and the workers' queue has
// been worked off up to where it stood then. Otherwise it returns ctx's error, or ErrClosed
// after Close. It is for one goroutine at a time, and not for handlers.
func (pr *Probe) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, pr.wake)
	defer stop()
	pr.mu.Lock()
	defer pr.mu.Unlock()
	for _, t := range pr.taps {
		if pr.ended {
			return ErrClosed
		}
		t.passed = false
		// Edge-triggered, each write is an event, whether or not the last was read. The
		// number is t's until ended is set.
		if _, err := unix.Write(t.FD(), binary.NativeEndian.AppendUint64(nil, 1)); err != nil {
			return os.NewSyscallError("write", err)
		}
		for !t.passed {
			if pr.ended {
				return ErrClosed
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			pr.moved.Wait()
		}
	}
	return nil
}

func (pr *Probe) wake() {
	pr.mu.Lock()
	pr.moved.Broadcast()
	pr.mu.Unlock()
}

// Close closes the descriptors. A Run that is going on ends. It must not be
// called from a handler.
func (pr *Probe) Close() {
	pr.mu.Lock()
	pr.ended = true
	pr.moved.Broadcast()
	pr.mu.Unlock()
	for _, t := range pr.taps {
		t.Call()
		<-t.closed
	}
}

// Ready passes each event on to the workers. It is called by the poller.
func (t *tap) Ready(_ *Worker, ev Events) Next {
	pr := t.probe
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.ended {
		t.Registration.Close()
		close(t.closed)
		return Closed
	}
	if ev&Readable != 0 {
		return Again // behind all that waits for a worker
	}
	t.passed = true
	pr.moved.Broadcast()
	return Wait
}
