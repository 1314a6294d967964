//go:build linux

package server

import (
	"errors"
	"fmt"
)

// Reasons for which Ready refuses.
var (
	ErrNotStarted = errors.New("server has not been started")
	ErrDraining   = errors.New("server is draining")
)

// Ready is nil when new clients may be sent here, and else says why not. It is for
// load balancers, and may be called at any time.
func (s *Server) Ready() error {
	switch {
	case s.draining.Load():
		return ErrDraining
	case !s.running.Load():
		return ErrNotStarted
	}
	l := s.limits.Load()
	switch {
	case l.MaxConns > 0 && s.admission.seats.Load() >= int64(l.MaxConns):
		return fmt.Errorf("server is full: --max-conns is %d", l.MaxConns)
	case s.memory.full.Load():
		return fmt.Errorf("server is short of memory: --max-memory is %d bytes", l.MaxMemory)
	case s.bus != nil:
		return s.bus.Ready()
	}
	return nil
}
