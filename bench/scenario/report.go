package scenario

import (
	"slices"
	"time"

	"roost/bench"
)

// Report is what one agent found, in a form that can be added up.
type Report struct {
	Dialled     bench.Dialled
	Ending      bench.Ending
	Parts       []PartReport
	Phases      []bench.Phase
	Seconds     []bench.Second
	Effort      Effort
	Interrupted bool
}

// Effort is what the agents of a run took.
type Effort struct {
	Processes int
	Elapsed   time.Duration // of the measured part
	CPU       time.Duration
	Busy      float64 // of the busiest agent
	RSSBefore int64   // bytes
	RSSOpen   int64
}

// PartReport is what one kind of traffic came to. Of the pointers, one is set.
type PartReport struct {
	Name  string
	Role  string
	Conns int64

	Hold    *bench.Hold
	Traffic *Traffic
	Churn   *bench.Dialled
	Storm   *StormReport
	Hostile *HostileReport
}

// Traffic is what became of messages. Numbers are those of one agent: only the
// sum of all agents says what was expected.
type Traffic struct {
	Room bool // every member expects every message; else only its sender

	Planned, Sent, WarmUp, Refused                     int64
	Members                                            int64 // that are expected to receive
	Received, Counted                                  int64 // Counted: after the warm-up
	Duplicate, OutOfOrder, Corrupt, Foreign            int64
	Incomplete                                         int64 // members that missed something
	First, Last                                        time.Duration
	Lag                                                time.Duration
	Late                                               bool
	Latency                                            *bench.Recorder
	Before                                             *bench.Recorder // of the warm-up
	FanOut                                             [][]uint32      // by publisher and message: microseconds, 0 where not all members have it
	Orders                                             []uint64        // hashes of the orders that complete members saw
	SlowConns, SlowReceived, SlowClosed, SlowReadBytes int64
}

// StormReport is what became of connections that dropped.
type StormReport struct {
	Dropped int64
	Dialled bench.Dialled
	Back    *bench.Recorder // drop to open again, per connection
}

// maxOrders bounds the different orders that are told apart.
const maxOrders = 1000

// Add adds what another agent of the same run found.
func (r *Report) Add(other *Report) {
	r.Dialled.Add(other.Dialled)
	r.Ending.Add(other.Ending)
	r.Seconds = bench.MergeSeconds(r.Seconds, other.Seconds)
	r.Interrupted = r.Interrupted || other.Interrupted
	for i := range r.Phases {
		if i < len(other.Phases) {
			p, o := &r.Phases[i], other.Phases[i]
			end := max(p.Start+p.Length, o.Start+o.Length)
			p.Start = min(p.Start, o.Start)
			p.Length = end - p.Start
		}
	}
	e, o := &r.Effort, other.Effort
	e.Processes += o.Processes
	e.Elapsed = max(e.Elapsed, o.Elapsed)
	e.CPU += o.CPU
	e.Busy = max(e.Busy, o.Busy)
	e.RSSBefore += o.RSSBefore
	e.RSSOpen += o.RSSOpen
	for i := range r.Parts {
		r.Parts[i].add(&other.Parts[i])
	}
}

func (p *PartReport) add(o *PartReport) {
	p.Conns += o.Conns
	switch {
	case p.Hold != nil && o.Hold != nil:
		h := o.Hold
		p.Hold.Seconds = max(p.Hold.Seconds, h.Seconds)
		p.Hold.Open += h.Open
		p.Hold.Dropped += h.Dropped
		p.Hold.Messages += h.Messages
		p.Hold.Pinged += h.Pinged
		p.Hold.Ponged += h.Ponged
	case p.Traffic != nil && o.Traffic != nil:
		p.Traffic.add(o.Traffic)
	case p.Churn != nil && o.Churn != nil:
		p.Churn.Add(*o.Churn)
	case p.Storm != nil && o.Storm != nil:
		p.Storm.Dropped += o.Storm.Dropped
		p.Storm.Dialled.Add(o.Storm.Dialled)
		p.Storm.Back.Merge(o.Storm.Back)
	case p.Hostile != nil && o.Hostile != nil:
		p.Hostile.add(o.Hostile)
	}
}

func (t *Traffic) add(o *Traffic) {
	t.Planned += o.Planned
	t.Sent += o.Sent
	t.WarmUp += o.WarmUp
	t.Refused += o.Refused
	t.Members += o.Members
	t.Received += o.Received
	t.Counted += o.Counted
	t.Duplicate += o.Duplicate
	t.OutOfOrder += o.OutOfOrder
	t.Corrupt += o.Corrupt
	t.Foreign += o.Foreign
	t.Incomplete += o.Incomplete
	if o.First >= 0 && (t.First < 0 || o.First < t.First) {
		t.First = o.First
	}
	t.Last = max(t.Last, o.Last)
	t.Lag = max(t.Lag, o.Lag)
	t.Late = t.Late || o.Late
	t.Latency.Merge(o.Latency)
	t.Before.Merge(o.Before)
	t.addFanOut(o.FanOut, o.Members)
	for _, order := range o.Orders {
		if len(t.Orders) < maxOrders && !slices.Contains(t.Orders, order) {
			t.Orders = append(t.Orders, order)
		}
	}
	t.SlowConns += o.SlowConns
	t.SlowReceived += o.SlowReceived
	t.SlowClosed += o.SlowClosed
	t.SlowReadBytes = max(t.SlowReadBytes, o.SlowReadBytes)
}

// addFanOut takes the later of two agents for each message. An agent without
// members has nothing to say.
func (t *Traffic) addFanOut(other [][]uint32, members int64) {
	switch {
	case members == 0:
		return
	case t.Members == members: // t had none before
		t.FanOut = other
		return
	}
	for p := range min(len(t.FanOut), len(other)) {
		mine, theirs := t.FanOut[p], other[p]
		t.FanOut[p] = mine[:min(len(mine), len(theirs))]
		for i := range t.FanOut[p] {
			if mine[i] == 0 || theirs[i] == 0 {
				mine[i] = 0
				continue
			}
			mine[i] = max(mine[i], theirs[i])
		}
	}
}
