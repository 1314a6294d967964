//go:build linux

package server

import (
	"log/slog"
	"sync/atomic"
	"time"

	"roost/conn"
)

// summary tells the log, now and then, what has been cut off and why: one line for
// each reason however many connections it was, with the address of one of them. Ends
// that clients chose are not news. It works in the sweeper's goroutine.
type summary struct {
	server  *Server
	every   time.Duration // static after Start
	last    time.Time
	ended   [conn.Reasons]uint64
	drops   uint64
	refused uint64
	pauses  uint64
	waits   uint64
	unknown uint64

	slow  chan conn.Slow // what happens to single slow consumers
	lines atomic.Int32   // of these, in this period
}

const (
	summaryEvery = 10 * time.Second
	// slowLines is how many lines about single slow consumers the log gets in a period.
	slowLines = 20
)

func newSummary(s *Server) *summary {
	return &summary{server: s, every: summaryEvery, last: time.Now(), slow: make(chan conn.Slow, slowLines)}
}

// slowConsumer is conn.Config.Slow. It is called on the way of a message, so the
// line is written by somebody else.
func (m *summary) slowConsumer(s conn.Slow) bool {
	if s.What != conn.CaughtUp && m.lines.Add(1) > slowLines {
		return false
	}
	select {
	case m.slow <- s:
		return true
	default:
		return false
	}
}

// tell logs one slow consumer.
func (m *summary) tell(s conn.Slow) {
	log, peer := m.server.config.Log, m.server.Client(s.Conn)
	if !peer.IsValid() {
		peer = s.Peer
	}
	attrs := []any{"peer", conn.Address(peer), "queued-frames", s.Frames, "queued-bytes", s.Bytes}
	switch s.What {
	case conn.Lagging:
		log.Warn("slow consumer: its queue is full, the newest frames are dropped", attrs...)
	case conn.CutOff:
		log.Warn("slow consumer: its queue is full, it is closed", attrs...)
	case conn.CaughtUp:
		log.Info("slow consumer has caught up", "peer", conn.Address(peer), "dropped", s.Dropped)
	}
}

func (m *summary) log(now time.Time) {
	if now.Sub(m.last) < m.every {
		return
	}
	m.last = now
	m.lines.Store(0)
	log, g := m.server.config.Log, m.server.group
	for r := range conn.Reasons {
		switch r {
		case conn.ReasonPeerClosed, conn.ReasonPeerGone, conn.ReasonPeerReset, conn.ReasonHandedOff,
			conn.ReasonApplication, conn.ReasonOperator, conn.ReasonShutdown, conn.ReasonHandshakeAbandoned, conn.ReasonTokenExpired:
			continue
		}
		n := g.Stats.Ended[r].Load()
		if n > m.ended[r] {
			attrs := []any{"reason", r.String(), "connections", n - m.ended[r]}
			if peer := g.Sample(r); peer.IsValid() {
				attrs = append(attrs, "one-of-them", conn.Address(peer))
			}
			log.Warn("connections were ended in the last seconds", attrs...)
			m.ended[r] = n
		}
	}
	var attrs []any
	add := func(name string, now uint64, before *uint64) {
		if now > *before {
			attrs = append(attrs, slog.Uint64(name, now-*before))
			*before = now
		}
	}
	add("frames-dropped", g.Stats.Dropped.Load(), &m.drops)
	if attrs != nil {
		for _, slow := range m.server.Inspect(ByDrops, 1) {
			attrs = append(attrs, "worst", slow.Peer.String(), "worst-dropped", slow.Backlog.Dropped)
		}
	}
	add("untracked-connections", m.server.clients.visitors.unknown.Load(), &m.unknown)
	add("accept-waits", m.server.admission.waits.Load(), &m.waits)
	add("accept-pauses", m.server.admission.pauses.Load(), &m.pauses)
	add("broadcasts-refused", m.server.hub.Stats().Refused, &m.refused)
	if attrs != nil {
		log.Warn("frames were dropped, or work was held back, in the last seconds", attrs...)
	}
}
