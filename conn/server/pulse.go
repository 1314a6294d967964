//go:build linux

package server

import (
	"context"
	"sync"

	"roost/poller"
)

// pulse shows whether the server works, to those who ask.
type pulse struct {
	mu     sync.Mutex
	probe  *poller.Probe // guarded by mu; nil before the first question
	closed bool          // guarded by mu
}

// Progress returns nil when the server has shown that it works: every reactor has
// fetched an event, the workers have gone on with what waits, and the sweeper has come round. It waits
// for that until ctx ends, and returns ErrStopping when the server has stopped.
// The first call opens a descriptor for each reactor; later ones need none. It is
// for one goroutine at a time.
func (s *Server) Progress(ctx context.Context) error {
	probe, err := s.pulse.get(s)
	if err != nil {
		return err
	}
	if err := probe.Run(ctx); err != nil {
		return err
	}
	select {
	case s.sweeper.beat <- struct{}{}:
		return nil
	case <-s.sweeper.done:
		return ErrStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pulse) get(s *Server) (*poller.Probe, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !s.running.Load() {
		return nil, ErrStopping
	}
	if p.probe == nil {
		var err error
		if p.probe, err = s.poller.NewProbe(); err != nil {
			return nil, err
		}
	}
	return p.probe, nil
}

func (p *pulse) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.probe != nil {
		p.probe.Close()
		p.probe = nil
	}
}
