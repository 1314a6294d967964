package fleet

import (
	"sync"
	"time"

	"roost/bench"
	"roost/bench/scenario"
)

// hall is where the agents of a run meet. It may be used by any goroutine.
type hall struct {
	// Static.
	seats int
	epoch time.Duration
	met   func(scenario.Stage) // called when all are there, before they are released

	mu       sync.Mutex
	meetings map[scenario.Stage]*meeting
}

type meeting struct {
	shares  []scenario.Share
	release []func(scenario.Meeting)
	present int
}

func newHall(seats int, epoch time.Duration, met func(scenario.Stage)) *hall {
	return &hall{seats: seats, epoch: epoch, met: met, meetings: map[scenario.Stage]*meeting{}}
}

// seat is the place of agent i.
func (h *hall) seat(i int) scenario.Seat { return seat{h, i} }

type seat struct {
	hall *hall
	own  int
}

// Meet implements scenario.Seat. The last to come releases the others.
func (s seat) Meet(stage scenario.Stage, share scenario.Share, release func(scenario.Meeting)) {
	h := s.hall
	h.mu.Lock()
	m := h.meetings[stage]
	if m == nil {
		m = &meeting{shares: make([]scenario.Share, h.seats), release: make([]func(scenario.Meeting), h.seats)}
		h.meetings[stage] = m
	}
	m.shares[s.own], m.release[s.own] = share, release
	m.present++
	complete := m.present == h.seats
	h.mu.Unlock()
	if !complete {
		return
	}
	h.met(stage)
	at := bench.Monotonic() - h.epoch
	for i, release := range m.release {
		release(scenario.Meeting{Shares: m.shares, Own: i, At: at})
	}
}
