package scenario

import (
	"strings"
	"time"

	"roost/bench"
)

const (
	// saturatedShare of the time busy means that the loop was the limit: events waited for it.
	saturatedShare = 0.9
	// bottleneckShare is where nothing is left to doubt: what comes back per
	// second is what the client manages, and a latency is its own queue.
	bottleneckShare = 0.95
	// saturatedAfter is the least time for which that says anything.
	saturatedAfter = 200 * time.Millisecond
	// leastForMemory is the number of connections from which on the client's memory
	// is theirs rather than that of buffers and histograms.
	leastForMemory = 5000
)

// Run is what is known of a run beside the agents' reports.
type Run struct {
	Config  bench.Config // of the whole: all connections
	Spec    Spec
	Plan    bench.Plan
	Started time.Time
	Server  Usage
}

// Conclude makes the result of what all agents report together, and judges it.
func Conclude(run Run, sum *Report) *bench.Result {
	run.Spec = run.Spec.withDefaults()
	r := &bench.Result{
		Scenario: run.Spec.Name, URLs: run.Config.URLs, Started: run.Started, Plan: run.Plan, Phases: sum.Phases,
		Opening: sum.Dialled.Opening(), Closes: sum.Ending.Closes, Closing: sum.Ending.Closing,
		Failures: bench.MergeFailures(sum.Ending.Failures), Pings: sum.Ending.Pings,
		Interrupted: sum.Interrupted, Seconds: sum.Seconds, Histograms: map[string]*bench.Recorder{},
		Client: sum.Effort.report(sum.Dialled.Opened), TLS: sum.Ending.TLS,
	}
	if c := sum.Ending.Deflate; c.Offered() {
		r.Compression = &c
	}
	r.AddHistogram(bench.HandshakeLatency, sum.Dialled.Latency)
	for i := range sum.Parts {
		r.Parts = append(r.Parts, run.part(r, i, &sum.Parts[i]))
	}
	r.Server = run.Server.report(&run.Spec, r)
	(&judge{run: run, res: r, sum: sum}).judge()
	return r
}

// part turns what was counted into a part of the result.
func (run *Run) part(r *bench.Result, i int, p *PartReport) bench.Part {
	part := bench.Part{Name: p.Name, Role: p.Role, Conns: p.Conns, Hold: p.Hold}
	add := func(kind string, h *bench.Recorder) { r.AddHistogram(bench.HistogramName(i, p.Name, kind), h) }
	switch {
	case p.Traffic != nil:
		fanOut := p.Traffic.fanOut()
		part.Messages = run.messages(p, fanOut)
		add(bench.MessageLatency, p.Traffic.Latency)
		add(bench.FanOutLatency, fanOut)
	case p.Churn != nil:
		o := p.Churn.Opening()
		part.Churn = &bench.Churn{Handshakes: o.Opened, Failed: o.Failed, Seconds: o.Seconds, PerSecond: o.PerSecond, Handshake: o.Handshake}
		r.Opening.GaveUp = r.Opening.GaveUp || o.GaveUp
		add(bench.HandshakeLatency, p.Churn.Latency)
	case p.Storm != nil:
		part.Storm = p.Storm.storm()
		add(bench.HandshakeLatency, p.Storm.Dialled.Latency)
	case p.Hostile != nil:
		h := p.Hostile
		part.Hostile = &bench.Hostile{
			Attack: string(h.Attack), Attempts: h.Dialled.Attempted, Opened: h.Dialled.Opened, Failed: h.Dialled.Failed,
			Sent: h.Sent, ClosedByServer: h.ByServer,
		}
	}
	return part
}

func (run *Run) messages(p *PartReport, fanOut *bench.Recorder) *bench.Messages {
	t := p.Traffic
	m := &bench.Messages{
		Planned: t.Planned, Sent: t.Sent, WarmUp: t.WarmUp, Refused: t.Refused,
		Expected: t.Sent, Received: t.Received,
		Duplicate: t.Duplicate, OutOfOrder: t.OutOfOrder, Corrupt: t.Corrupt, Foreign: t.Foreign,
		ConnsIncomplete: t.Incomplete, DistinctOrders: len(t.Orders),
		Latency: t.Latency.Quantiles(), FanOut: fanOut.Quantiles(),
		SendLagUS: t.Lag.Microseconds(), InTime: !t.Late,
	}
	if t.Room {
		m.Expected = (t.Sent - t.Refused) * t.Members
	}
	if run.Spec.underAttack() {
		m.Before = t.Before.Quantiles()
	}
	m.Missing = m.Expected - m.Received
	m.Seconds, m.PerSecond = rate(t.First, t.Last, t.Counted)
	for _, g := range run.Spec.Groups {
		if g.Name != p.Name && !(t.Room && g.Role == Publish) {
			continue
		}
		if g.Role != Publish && g.Role != Echo {
			continue
		}
		payload, _ := g.Payload.spec() // it was valid at the start
		m.Payload = join(m.Payload, payload.String())
		m.Load = join(m.Load, g.load())
		m.OpenLoop = m.OpenLoop || g.Rate.Limited()
	}
	if t.SlowConns > 0 {
		m.Slow = &bench.SlowReaders{Conns: t.SlowConns, BytesPerSecond: int(t.SlowReadBytes), Received: t.SlowReceived, Closed: t.SlowClosed}
	}
	return m
}

// fanOut records, for each message, when the last member had it.
func (t *Traffic) fanOut() *bench.Recorder {
	r := bench.NewRecorder()
	for _, messages := range t.FanOut {
		for _, us := range messages {
			if us > 0 {
				r.Record(time.Duration(us) * time.Microsecond)
			}
		}
	}
	return r
}

func (s *StormReport) storm() *bench.Storm {
	storm := &bench.Storm{
		Dropped: s.Dropped, Back: s.Back.Count(), Failed: s.Dialled.Failed,
		Handshake: s.Dialled.Latency.Quantiles(),
	}
	// A share of those that dropped, not of those that came back.
	after := func(share float64) float64 {
		if s.Dropped == 0 || float64(storm.Back) < share*float64(s.Dropped) {
			return 0
		}
		return s.Back.At(100 * share * float64(s.Dropped) / float64(storm.Back)).Seconds()
	}
	storm.HalfSeconds, storm.MostSeconds, storm.AllSeconds = after(0.5), after(0.99), after(1)
	return storm
}

// rate is the time from the first send to the last receipt and what it makes
// per second.
func rate(first, last time.Duration, n int64) (seconds, perSecond float64) {
	if n == 0 || last <= first {
		return 0, 0
	}
	seconds = (last - first).Seconds()
	return seconds, float64(n) / seconds
}

func (e *Effort) report(opened int64) bench.ClientReport {
	report := bench.ClientReport{Processes: e.Processes, CPUSeconds: e.CPU.Seconds(), LoopBusy: e.Busy}
	if e.Elapsed > 0 {
		report.Cores = e.CPU.Seconds() / e.Elapsed.Seconds()
	}
	if opened >= leastForMemory && e.RSSOpen > 0 {
		report.RSSPerConn = float64(e.RSSOpen-e.RSSBefore) / float64(opened)
	}
	report.Bottleneck = e.Busy > bottleneckShare && e.Elapsed >= saturatedAfter
	report.Saturated = e.Busy >= saturatedShare && e.Elapsed >= saturatedAfter
	return report
}

func join(list, more string) string {
	switch {
	case list == "":
		return more
	case strings.Contains(list, more):
		return list
	}
	return list + "; " + more
}
