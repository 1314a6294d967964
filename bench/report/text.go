package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"roost/bench"
)

// page collects rows of a label and a value.
type page struct{ bytes.Buffer }

func (p *page) row(label, format string, args ...any) {
	fmt.Fprintf(&p.Buffer, "%-14s%s\n", label, fmt.Sprintf(format, args...))
}

// Plan writes what a run is going to use.
func Plan(w io.Writer, scenario, url string, plan bench.Plan) error {
	var p page
	p.row("plan", "%s, %s", scenario, url)
	p.row("connections", "%d to %s", plan.Conns, plan.TargetAddress)
	switch n := len(plan.SourceAddresses); n {
	case 0:
		p.row("sources", "chosen by the kernel")
	case 1:
		p.row("sources", "%s", plan.SourceAddresses[0])
	default:
		p.row("sources", "%d: %s to %s, about %d connections each", n,
			plan.SourceAddresses[0], plan.SourceAddresses[n-1], (plan.Conns+n-1)/n)
	}
	p.row("descriptors", "%d needed, %d allowed", plan.DescriptorsNeeded, plan.DescriptorLimit)
	p.WriteString("\n")
	_, err := p.WriteTo(w)
	return err
}

// Text writes the result, the verdict last.
func Text(w io.Writer, r *bench.Result) error {
	var p page
	p.opening(r)
	if h := r.Hold; h != nil {
		p.row("held", "%.1f s, %d open at the end, %d dropped, %d messages received", h.Seconds, h.Open, h.Dropped, h.Messages)
	}
	if m := r.Messages; m != nil {
		p.messages(m, r.Scenario)
	}
	if c := r.Churn; c != nil {
		p.row("churn", "%d handshakes in %.2f s: %.0f per second, %d failed", c.Handshakes, c.Seconds, c.PerSecond, c.Failed)
		p.quantiles("handshake", c.Handshake)
	}
	p.endings(r)
	p.usage(r)
	for _, f := range r.Failures {
		p.row("failure", "%d x %s", f.Count, f.Reason)
		if f.Remedy != "" {
			p.row("", "%s", f.Remedy)
		}
	}
	for _, warning := range r.Warnings {
		p.row("warning", "%s", warning)
	}
	for _, problem := range r.Problems {
		p.row("problem", "%s", problem)
	}
	p.row("result", "%s", map[bool]string{true: "passed", false: "FAILED"}[r.Passed()])
	_, err := p.WriteTo(w)
	return err
}

func (p *page) opening(r *bench.Result) {
	o := r.Opening
	if o.Wanted == 0 {
		return
	}
	p.row("opened", "%d of %d in %.2f s: %.0f per second", o.Opened, o.Wanted, o.Seconds, o.PerSecond)
	p.quantiles("handshake", o.Handshake)
}

func (p *page) messages(m *bench.Messages, scenario string) {
	planned := ""
	if m.Planned > 0 {
		planned = fmt.Sprintf(" of %d", m.Planned)
	}
	p.row("sent", "%d%s messages of %d bytes", m.Sent, planned, m.PayloadBytes)
	p.row("deliveries", "%d expected, %d received, %d missing, %d duplicate, %d out of order, %d corrupt",
		m.Expected, m.Received, m.Missing, m.Duplicate, m.OutOfOrder, m.Corrupt)
	p.row("rate", "%.0f deliveries per second over %.2f s", m.PerSecond, m.Seconds)
	if scenario == "echo" {
		p.quantiles("round trip", m.Latency)
	} else {
		p.quantiles("delivery", m.Latency)
		p.quantiles("fan-out", m.FanOut)
	}
	switch {
	case m.DistinctOrders == 1:
		p.row("order", "the same on every complete connection")
	case m.DistinctOrders > 1:
		p.row("order", "%d different orders between publishers", m.DistinctOrders)
	}
	if m.SendLagUS > 0 {
		p.row("send lag", "%s at most", micros(m.SendLagUS))
	}
}

// endings writes how connections came to their end.
func (p *page) endings(r *bench.Result) {
	if len(r.Closes) > 0 {
		var parts []string
		for _, c := range r.Closes {
			parts = append(parts, c.String())
		}
		p.row("closes", "%s", strings.Join(parts, ", "))
	}
	if c := r.Closing; c.Answered+c.Unanswered > 0 {
		p.row("closing", "%d of %d close frames answered", c.Answered, c.Answered+c.Unanswered)
	}
	if r.Pings > 0 {
		p.row("pings", "%d answered", r.Pings)
	}
}

func (p *page) usage(r *bench.Result) {
	if s := r.Server; s != nil {
		if s.RSSOpenBytes > 0 && r.Opening.Opened > 0 {
			p.row("server memory", "%.0f B per connection (RSS %s before, %s open, %s at the end)",
				s.RSSPerConn, megabytes(s.RSSBeforeBytes), megabytes(s.RSSOpenBytes), megabytes(s.RSSEndBytes))
		}
		p.row("server cpu", "%.2f s user + %.2f s system = %.2f cores%s%s%s", s.UserSeconds, s.SystemSeconds, s.Cores,
			cost(s.PerDeliveryUS, "delivery"), cost(s.PerEchoUS, "echo"), cost(s.PerHandshakeUS, "handshake"))
	}
	p.row("client", "%.2f cores, event loop busy %.0f %%", r.Client.Cores, 100*r.Client.LoopBusy)
}

func cost(us *float64, unit string) string {
	if us == nil {
		return ""
	}
	if *us < 1 {
		return fmt.Sprintf(", %.3f us per %s", *us, unit)
	}
	return fmt.Sprintf(", %.1f us per %s", *us, unit)
}

func (p *page) quantiles(label string, q *bench.Quantiles) {
	if q != nil {
		p.row(label, "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", micros(q.P50), micros(q.P90), micros(q.P99), micros(q.P999), micros(q.Max))
	}
}

// micros writes a number of microseconds with a unit that fits it.
func micros(us int64) string {
	switch d := time.Duration(us) * time.Microsecond; {
	case d < time.Millisecond:
		return fmt.Sprintf("%d us", us)
	case d < time.Second:
		return fmt.Sprintf("%.2f ms", float64(us)/1e3)
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
