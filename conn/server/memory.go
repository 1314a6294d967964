//go:build linux

package server

import (
	"runtime/debug"
	"sync/atomic"
	"time"

	"roost/conn"
	"roost/conn/machine"
)

// memory keeps the process below Limits.MaxMemory, as far as clients make it grow. Apart
// from full, it belongs to the sweeper's goroutine.
type memory struct {
	// Static after Start. Tests put others in their place.
	measure func() (int64, error) // resident bytes of the process
	collect func()                // returns what is garbage to the system
	every   time.Duration         // between two looks

	server *Server
	queues *bound // whom to close

	collecting chan struct{} // closed when the collection under way has ended; nil when there is none
	patience   time.Time     // before, no collection is worth its time
	vain       bool          // above memoryShed there was nobody to close
	short      notice        // nobody is accepted
	blind      bool          // measure has failed, and the log knows

	full   atomic.Bool   // nobody is accepted
	pauses atomic.Uint64 // times that full was set
}

const (
	// collectEvery is the least time between collections that freed too little, and
	// shedAgain that between those behind which nobody could be closed.
	collectEvery = 10 * time.Second
	shedAgain    = 3 * time.Second

	memoryFull  = 90 // percent of the limit at which nobody is accepted any more
	memoryAgain = 85 // and at which accepting goes on
	memoryShed  = 95 // and at which clients are closed, down to memoryFull
)

func newMemory(s *Server) *memory {
	return &memory{
		measure: machine.This().ResidentSet,
		collect: debug.FreeOSMemory,
		every:   time.Second,
		server:  s,
		queues: &bound{
			flag: "max-memory", sum: &s.group.Stats.WriteQueued, reason: conn.ReasonMaxMemory, held: written,
			limit:  func() int64 { return s.limits.Load().MaxMemory },
			news:   newsOfMemory,
			remedy: "raise the limit if there is memory; lower --write-queue-total and --read-buffer-total; have fewer connections with --max-conns",
		},
	}
}

// look is called every so often, and when a collection has ended: then it is fresh. What a
// client leaves behind costs nobody his connection: garbage is collected first.
func (m *memory) look(now time.Time, fresh bool) {
	limit := m.server.limits.Load().MaxMemory
	if limit == 0 {
		m.accept(0, 0)
		return
	}
	if m.collecting != nil {
		return
	}
	used, err := m.measure()
	if err != nil {
		if !m.blind {
			m.blind = true
			m.server.config.Log.Error("--max-memory has no effect: the memory of the process cannot be measured", "err", err)
		}
		m.accept(0, limit)
		return
	}
	m.blind = false
	percent := func(n int64) bool { return used >= limit/100*n }
	switch {
	case percent(memoryFull):
		m.pause(now, used, limit)
	case !percent(memoryAgain):
		m.accept(used, limit)
	}
	switch over := percent(memoryShed); {
	case !percent(memoryFull):
	case !fresh:
		if !now.Before(m.patience) || over && !m.vain {
			m.startCollection()
		}
	case !over:
		m.patience, m.vain = now.Add(collectEvery), false
	case m.shed(now, used, limit) > 0:
		m.startCollection()
	default:
		m.patience, m.vain = now.Add(shedAgain), true
	}
}

// shed closes clients until as many bytes are free as are too many.
func (m *memory) shed(now time.Time, used, limit int64) int {
	d, b := m.server.shedder, m.queues
	closed := d.relieve(b, max(0, b.sum.Load()-(used-limit/100*memoryFull)))
	d.tell(b, now, used, closed)
	return closed
}

// startCollection has what is garbage returned to the system, beside the sweeper.
func (m *memory) startCollection() {
	done := make(chan struct{})
	m.collecting = done
	go func() {
		defer close(done)
		m.collect()
	}()
}

// collected is called by the sweeper when collecting was closed.
func (m *memory) collected(now time.Time) {
	m.collecting = nil
	m.look(now, true)
}

// pause stops accepting.
func (m *memory) pause(now time.Time, used, limit int64) {
	if m.full.Swap(true) {
		return
	}
	m.pauses.Add(1)
	if m.short.begin(now) {
		m.server.config.Log.Warn("accepting pauses because memory is short; clients wait in the backlog",
			"flag", "--max-memory", "limit", limit, "resident", used, "connections", m.server.hub.Len(), "remedy", m.queues.remedy)
	}
}

// accept goes on accepting.
func (m *memory) accept(used, limit int64) {
	if !m.full.Swap(false) {
		return
	}
	m.server.resumeListeners()
	if m.short.end() {
		m.server.config.Log.Info("accepting again", "flag", "--max-memory", "limit", limit, "resident", used, "connections", m.server.hub.Len())
	}
}
