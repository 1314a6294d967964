package scenario

import (
	"time"

	"roost/bench"
)

// leastCPU is the processor time from which on a cost per unit is given: ten steps of the kernel's clock.
const leastCPU = 100 * time.Millisecond

// Usage is what the server used up to the points of a run. The zero value knows
// nothing.
type Usage struct {
	PID     int
	Command string // that the run started; empty: somebody else did
	// Before the first connection, with all open, when the measured part begins
	// and ends.
	Before, Open, Begin, End Sample
	Err                      error // the first sample that could not be taken
}

// Sample is what is read of a server at one moment.
type Sample struct {
	At      time.Time
	Process bench.ProcessUsage
	Slab    int64 // bytes; 0: not known
	Metrics map[string]float64
}

// report works out the server's share; nil when nothing is known.
func (u *Usage) report(spec *Spec, r *bench.Result) *bench.ServerReport {
	if u.PID == 0 && u.End.Metrics == nil {
		return nil
	}
	report := &bench.ServerReport{PID: u.PID, Command: u.Command, Metrics: changes(u.Begin.Metrics, u.End.Metrics)}
	opened := r.Opening.Opened
	if u.Before.Slab > 0 && u.Open.Slab > 0 && opened > 0 {
		report.SlabPerConn = float64(u.Open.Slab-u.Before.Slab) / float64(opened)
	}
	if u.PID == 0 {
		return report
	}
	before, open, begin, end := u.Before.Process, u.Open.Process, u.Begin.Process, u.End.Process
	report.RSSBeforeBytes, report.RSSEndBytes = before.RSSBytes, end.RSSBytes
	report.RSSOpenBytes, report.PSSBytes, report.AnonymousBytes = begin.RSSBytes, begin.PSSBytes, begin.AnonymousBytes
	if h := r.Parts[0].Hold; len(r.Parts) == 1 && h != nil && h.Dropped == 0 && end.RSSBytes > 0 {
		// Nothing has happened since, so the later sample is the quieter one.
		report.RSSOpenBytes, report.PSSBytes, report.AnonymousBytes = end.RSSBytes, end.PSSBytes, end.AnonymousBytes
	}
	if opened > 0 && report.RSSOpenBytes > 0 {
		report.RSSPerConn = float64(report.RSSOpenBytes-before.RSSBytes) / float64(opened)
	}
	if end.RSSBytes == 0 {
		return report // the server ended, or the measured part was never reached
	}
	user, system := end.User-begin.User, end.System-begin.System
	report.UserSeconds, report.SystemSeconds = user.Seconds(), system.Seconds()
	if elapsed := u.End.At.Sub(u.Begin.At); elapsed > 0 {
		report.Cores = (user + system).Seconds() / elapsed.Seconds()
	}
	report.PerHandshakeUS = costPerUnit(open.User+open.System-before.User-before.System, opened)
	if len(r.Parts) > 1 {
		return report // what of it each part took cannot be told apart
	}
	switch p := r.Parts[0]; {
	case p.Churn != nil:
		report.PerHandshakeUS = costPerUnit(user+system, p.Churn.Handshakes)
	case p.Storm != nil:
		report.PerHandshakeUS = costPerUnit(user+system, p.Storm.Back)
	case p.Messages != nil && p.Role == string(Echo):
		report.PerEchoUS = costPerUnit(user+system, counted(spec, p.Messages))
	case p.Messages != nil:
		report.PerDeliveryUS = costPerUnit(user+system, counted(spec, p.Messages))
	}
	return report
}

// counted is how many deliveries came between the two samples: the first is taken
// after a warm-up by time, but before one by number.
func counted(spec *Spec, m *bench.Messages) int64 {
	if spec.WarmUp == 0 || m.Latency == nil {
		return m.Received
	}
	return m.Latency.Count
}

func costPerUnit(cpu time.Duration, units int64) *float64 {
	if units == 0 || cpu < leastCPU {
		return nil
	}
	us := float64(cpu) / float64(time.Microsecond) / float64(units)
	return &us
}

// changes pairs up the series that are there before and after.
func changes(before, after map[string]float64) map[string]bench.MetricChange {
	if len(after) == 0 {
		return nil
	}
	pairs := map[string]bench.MetricChange{}
	for name, value := range after {
		pairs[name] = bench.MetricChange{Before: before[name], After: value}
	}
	return pairs
}
