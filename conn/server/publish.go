//go:build linux

package server

import (
	"context"

	"roost/conn/hub"
)

// TryPublish hands m to the broadcasters, or returns hub.ErrBusy when they have enough to
// do, hub.ErrClosed after the end of a Shutdown, and ErrNotStarted. It does not block, and leaves
// room for what handlers publish. While the server drains, those clients that are left get m.
func (s *Server) TryPublish(m hub.Message) (hub.Published, error) {
	if !s.running.Load() {
		return hub.Published{}, ErrNotStarted
	}
	return s.hub.TryPublish(m)
}

// PublishWait is TryPublish, but waits for room until ctx ends.
func (s *Server) PublishWait(ctx context.Context, m hub.Message) (hub.Published, error) {
	if !s.running.Load() {
		return hub.Published{}, ErrNotStarted
	}
	return s.hub.PublishWait(ctx, m)
}
