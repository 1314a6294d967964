package scenario

import (
	"fmt"
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
	// leastCPU is the processor time from which on a cost per unit is given: ten steps of the kernel's clock.
	leastCPU = 100 * time.Millisecond
)

// judge lists what did not happen as expected. An expected close code replaces
// every other criterion.
func (s *session) judge() {
	r := s.res
	r.Problems, r.Warnings = []string{}, []string{}
	if s.opt.ExpectClose != 0 {
		s.judgeExpectedClose()
	} else {
		s.judgeOpening()
		s.judgeMeasured()
		if n := closedByServer(r); n > 0 {
			s.problem("the server ended %s: %s", plural(n, "connection"), closeTable(r))
		}
	}
	s.warn()
}

func (s *session) problem(format string, args ...any) {
	s.res.Problems = append(s.res.Problems, fmt.Sprintf(format, args...))
}

func (s *session) warning(format string, args ...any) {
	s.res.Warnings = append(s.res.Warnings, fmt.Sprintf(format, args...))
}

func (s *session) judgeExpectedClose() {
	var seen int64
	for _, c := range s.res.Closes {
		if c.Code == s.opt.ExpectClose {
			seen = c.Count
		}
	}
	if wanted := int64(s.cfg.Conns); seen != wanted {
		s.problem("expected the server to close all %d connections with %d, %d were", wanted, s.opt.ExpectClose, seen)
	}
}

func (s *session) judgeOpening() {
	o := s.res.Opening
	if o.GaveUp {
		s.problem("gave up connecting after too many failures in a row")
	}
	if o.Opened < o.Wanted {
		s.problem("%d of %d connections were opened: %d failed, %d were not attempted", o.Opened, o.Wanted, o.Failed, o.NotAttempted)
	}
}

func (s *session) judgeMeasured() {
	r := s.res
	if c := r.Churn; c != nil && c.Failed > 0 {
		s.problem("%s failed", plural(c.Failed, "handshake"))
	}
	if m := r.Messages; m != nil {
		s.judgeMessages(m)
	}
	switch {
	case r.Churn != nil && r.Churn.Handshakes > 0:
	case r.Messages != nil && r.Messages.Received > 0:
	case r.Hold != nil:
	default:
		s.problem("nothing was measured")
	}
}

func (s *session) judgeMessages(m *bench.Messages) {
	if m.Missing > 0 {
		s.problem("%d of %d deliveries are missing, on %s", m.Missing, m.Expected, plural(m.ConnsIncomplete, "connection"))
	}
	if m.Duplicate > 0 {
		s.problem("%d deliveries came twice", m.Duplicate)
	}
	if m.OutOfOrder > 0 {
		s.problem("%d deliveries came out of their publisher's order", m.OutOfOrder)
	}
	if m.Corrupt > 0 {
		s.problem("%d messages came with other content, or to the wrong connection", m.Corrupt)
	}
	if m.Sent < m.Planned && !s.res.Interrupted {
		s.problem("%d of %d messages were sent: a publisher's connection ended, or its own messages did not come back", m.Sent, m.Planned)
	}
	if !m.InTime && m.Missing > 0 {
		s.problem("gave up after %v in which nothing arrived", timeout(s.cfg))
	}
}

// warn says what makes the numbers less sure.
func (s *session) warn() {
	r := s.res
	if r.Client.Saturated {
		s.warning("the client's event loop was busy %.0f %% of the time: the server may do better than these numbers say, and latencies include waiting in the client",
			100*r.Client.LoopBusy)
	}
	if m := r.Messages; m != nil {
		if lag := time.Duration(m.SendLagUS) * time.Microsecond; lag > 10*time.Millisecond {
			s.warning("the client sent up to %v later than scheduled; latencies count from the schedule", lag.Round(time.Millisecond))
		}
		if m.Foreign > 0 {
			s.warning("%s not of this run arrived and were ignored", plural(m.Foreign, "message"))
		}
	}
	if r.Closing.Unanswered > 0 {
		s.warning("%s: the server did not answer our close frame within %v", plural(r.Closing.Unanswered, "connection"), closeTimeout(s.cfg))
	}
	if s.sampleErr != nil {
		s.warning("server usage incomplete: %v", s.sampleErr)
	}
	if r.Interrupted {
		s.warning("interrupted: the numbers are those so far")
	}
}

func closeTimeout(cfg bench.Config) time.Duration {
	if cfg.CloseTimeout == 0 {
		return bench.DefaultCloseTimeout
	}
	return cfg.CloseTimeout
}

func closedByServer(r *bench.Result) (n int64) {
	for _, c := range r.Closes {
		n += c.Count
	}
	return n
}

func closeTable(r *bench.Result) string {
	var parts []string
	for _, c := range r.Closes {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, ", ")
}

func clientReport(load bench.Load) bench.ClientReport {
	report := bench.ClientReport{CPUSeconds: load.CPU.Seconds(), LoopBusy: load.Busy}
	if load.Elapsed > 0 {
		report.Cores = load.CPU.Seconds() / load.Elapsed.Seconds()
	}
	report.Bottleneck = load.Busy > bottleneckShare && load.Elapsed >= saturatedAfter
	report.Saturated = load.Busy >= saturatedShare && load.Elapsed >= saturatedAfter
	return report
}

// serverReport works out the server's share from the samples; nil without a pid.
func (s *session) serverReport(w work) *bench.ServerReport {
	if s.cfg.PID == 0 {
		return nil
	}
	report := &bench.ServerReport{
		PID:            s.cfg.PID,
		RSSBeforeBytes: s.before.RSSBytes,
		RSSOpenBytes:   s.begin.RSSBytes,
		RSSEndBytes:    s.end.RSSBytes,
	}
	if h := s.res.Hold; h != nil && h.Dropped == 0 && s.end.RSSBytes > 0 {
		report.RSSOpenBytes = s.end.RSSBytes
	}
	if opened := s.res.Opening.Opened; opened > 0 && report.RSSOpenBytes > 0 {
		report.RSSPerConn = float64(report.RSSOpenBytes-report.RSSBeforeBytes) / float64(opened)
	}
	if s.end.RSSBytes == 0 {
		return report // the server ended, or the measured part was never reached
	}
	user, system := s.end.User-s.begin.User, s.end.System-s.begin.System
	report.UserSeconds, report.SystemSeconds = user.Seconds(), system.Seconds()
	if s.load.Elapsed > 0 {
		report.Cores = (user + system).Seconds() / s.load.Elapsed.Seconds()
	}
	perUnit := costPerUnit(user+system, w.units())
	switch s.res.Scenario {
	case Broadcast:
		report.PerDeliveryUS = perUnit
	case Echo:
		report.PerEchoUS = perUnit
	case Churn:
		report.PerHandshakeUS = perUnit
	}
	if s.res.Scenario != Churn {
		report.PerHandshakeUS = costPerUnit(s.open.User+s.open.System-s.before.User-s.before.System, s.res.Opening.Opened)
	}
	return report
}

func costPerUnit(cpu time.Duration, units int64) *float64 {
	if units == 0 || cpu < leastCPU {
		return nil
	}
	us := float64(cpu) / float64(time.Microsecond) / float64(units)
	return &us
}
