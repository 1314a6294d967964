//go:build linux

package server

import (
	"context"
	"time"

	"roost/conn/cluster"
	"roost/conn/hub"
)

// slowestLeave is how long a server that stops waits for NATS to have what was published.
const slowestLeave = 2 * time.Second

// newBus prepares the server's part of a fleet; nil when there is none.
func (s *Server) newBus() (*cluster.Bus, error) {
	if s.config.Cluster == nil {
		return nil, nil //nolint:nilnil // most servers have none
	}
	return cluster.New(*s.config.cluster())
}

// cluster fills in what a fleet takes from the server's own configuration.
func (c *Config) cluster() *cluster.Config {
	bus := *c.Cluster
	def(&bus.DefaultTopic, c.DefaultTopic)
	def(&bus.MaxMessage, c.MaxMessage)
	if bus.Log == nil {
		bus.Log = c.Log
	}
	return &bus
}

// relay has a hub tell the bus what is published and which topics have members.
func (s *Server) relay(h *hub.Config) {
	if s.bus != nil {
		h.Relay, h.OnInterest = s.bus.Publish, s.bus.Interest
	}
}

// local is the server as a fleet sees it.
type local struct{ hub *hub.Hub }

func (l local) Deliver(ctx context.Context, m cluster.Message) error {
	_, err := l.hub.PublishWait(ctx, hub.Message{Topics: m.Topics, Frame: m.Frame, Key: m.Key, Remote: true})
	return err
}

func (l local) Members(topic string) int { return l.hub.Members(topic) }

func (l local) Topics(visit func(topic string, members int) bool) { l.hub.Topics()(visit) }

// leave ends the part in the fleet. What has been published is sent to NATS before, while ctx lasts, for
// two seconds at most.
func (s *Server) leave(ctx context.Context) {
	if s.bus != nil {
		ctx, cancel := context.WithTimeout(ctx, slowestLeave)
		defer cancel()
		s.bus.Close(ctx)
	}
}

// Presence says how many members topics have, on all nodes of the fleet that answer within a second; without a fleet,
// here. The error is that of ctx, or [ErrNotStarted].
func (s *Server) Presence(ctx context.Context, q cluster.Query) (cluster.Presence, error) {
	switch {
	case !s.running.Load():
		return cluster.Presence{}, ErrNotStarted
	case s.bus != nil:
		return s.bus.Presence(ctx, q)
	}
	return cluster.Presence{Topics: cluster.Count(local{s.hub}, q), Nodes: 1, Answered: 1}, nil
}
