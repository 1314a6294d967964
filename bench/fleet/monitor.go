package fleet

import (
	"context"
	"sync"
	"time"

	"roost/bench"
	"roost/bench/scenario"
)

// monitor takes the samples of the server at the points that matter.
type monitor struct {
	// Static.
	pid     int
	metrics *bench.Scrape
	spec    scenario.Spec

	mu    sync.Mutex
	usage scenario.Usage
	begin *time.Timer // takes the sample after the warm-up
}

// newMonitor takes the first sample.
func newMonitor(o *Order) (*monitor, error) {
	m := &monitor{pid: o.PID, metrics: o.Metrics, spec: o.Spec}
	m.usage.PID = o.PID
	m.take(&m.usage.Before)
	return m, m.usage.Err
}

// met is called when the agents have met. They wait, so that a sample is of
// this very moment.
func (m *monitor) met(stage scenario.Stage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch stage {
	case scenario.Opened:
		m.take(&m.usage.Open)
	case scenario.Settled:
		m.take(&m.usage.Begin)
		if m.spec.WarmUp > 0 {
			m.begin = time.AfterFunc(m.spec.WarmUp, func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				if m.begin != nil {
					m.take(&m.usage.Begin)
				}
			})
		}
	case scenario.Sent:
		m.stop()
		if !m.spec.HasTraffic() {
			m.take(&m.usage.End)
		}
	case scenario.Drained:
		if m.spec.HasTraffic() {
			m.take(&m.usage.End)
		}
	}
}

// stop keeps the sample after the warm-up from being taken after the end.
func (m *monitor) stop() {
	if m.begin != nil {
		m.begin.Stop()
		m.begin = nil
	}
}

// result is what was seen.
func (m *monitor) result() scenario.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stop()
	return m.usage
}

// take reads the server. The first error is kept: a server that ends in the run
// is a finding, not the end of the run.
func (m *monitor) take(into *scenario.Sample) {
	keep := func(err error) {
		if err != nil && m.usage.Err == nil {
			m.usage.Err = err
		}
	}
	s := scenario.Sample{At: time.Now()}
	s.Slab, _ = bench.ReadSocketSlabs()
	var err error
	if m.pid != 0 {
		s.Process, err = bench.ReadProcess(m.pid)
		keep(err)
	}
	if m.metrics != nil {
		s.Metrics, err = m.metrics.Read(context.Background())
		keep(err)
	}
	*into = s
}
