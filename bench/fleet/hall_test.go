package fleet

import (
	"slices"
	"sync"
	"testing"

	"roost/bench/scenario"
)

// TestHall has agents come to every meeting in every order, each from a
// goroutine of its own.
func TestHall(t *testing.T) {
	const seats = 5
	var mu sync.Mutex
	var met []scenario.Stage
	released := map[scenario.Stage][]scenario.Meeting{}
	h := newHall(seats, 0, func(stage scenario.Stage) {
		mu.Lock()
		defer mu.Unlock()
		met = append(met, stage)
		if len(released[stage]) > 0 {
			t.Errorf("%s: released before all were there", stage)
		}
	})
	stages := []scenario.Stage{scenario.Opened, scenario.Settled, scenario.Sent, scenario.Drained}
	var agents sync.WaitGroup
	for i := range seats {
		agents.Go(func() {
			s := h.seat(i)
			for _, stage := range stages {
				done := make(chan struct{})
				s.Meet(stage, scenario.Share{Open: int64(i)}, func(m scenario.Meeting) {
					mu.Lock()
					released[stage] = append(released[stage], m)
					mu.Unlock()
					if m.Own != i {
						t.Errorf("agent %d is told that it is %d", i, m.Own)
					}
					close(done) // panics when called again
				})
				<-done
			}
		})
	}
	agents.Wait()
	if !slices.Equal(met, stages) {
		t.Errorf("met at %v, want %v", met, stages)
	}
	for _, stage := range stages {
		if len(released[stage]) != seats {
			t.Errorf("%s: %d released, want %d", stage, len(released[stage]), seats)
		}
		for _, m := range released[stage] {
			for i, share := range m.Shares {
				if share.Open != int64(i) || len(m.Shares) != seats || m.At != released[stage][0].At || m.At <= 0 {
					t.Errorf("%s: meeting %+v, want the shares in the order of the agents, and one time", stage, m)
				}
			}
		}
	}
}
