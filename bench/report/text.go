package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"roost/bench"
)

// page collects rows of a label and a value.
type page struct{ bytes.Buffer }

const (
	columns = 80
	indent  = 14
	// joint is a space at which no line is broken, between a number and its unit.
	joint = "\u00a0"
)

// row breaks the value into lines of at most columns, unless a word is longer.
func (p *page) row(label, format string, args ...any) {
	rest := fmt.Sprintf(format, args...)
	for first := true; first || rest != ""; first = false {
		line := rest
		if runes := []rune(rest); len(runes) > columns-indent {
			cut := strings.LastIndex(string(runes[:columns-indent+1]), " ")
			if cut <= 0 {
				cut = strings.Index(rest, " ")
			}
			if cut > 0 {
				line = rest[:cut]
			}
		}
		rest = strings.TrimLeft(rest[len(line):], " ")
		line = strings.ReplaceAll(strings.TrimRight(line, " "), joint, " ")
		fmt.Fprintf(&p.Buffer, "%-*s%s\n", indent, label, line)
		label = ""
	}
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
	p.row("result", "%s", verdict(r))
	_, err := p.WriteTo(w)
	return err
}

func verdict(r *bench.Result) string {
	switch {
	case !r.Passed():
		return "FAILED"
	case r.Client.Bottleneck:
		return "passed, but NO CLEAN MEASUREMENT: roost-bench itself was the bottleneck"
	}
	return "passed"
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
		p.row(label, "p50\u00a0%s  p90\u00a0%s  p99\u00a0%s  p99.9\u00a0%s  max\u00a0%s", micros(q.P50), micros(q.P90), micros(q.P99), micros(q.P999), micros(q.Max))
	}
}

// micros writes a number of microseconds with a unit that fits it.
func micros(us int64) string {
	switch d := time.Duration(us) * time.Microsecond; {
	case d < time.Millisecond:
		return fmt.Sprintf("%d"+joint+"us", us)
	case d < time.Second:
		return fmt.Sprintf("%.2f"+joint+"ms", float64(us)/1e3)
	default:
		return fmt.Sprintf("%.2f"+joint+"s", d.Seconds())
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f"+joint+"MB", float64(n)/1e6) }

// Recordings writes the text report of each recording, with what it was made of
// and where.
func Recordings(w io.Writer, files []File) error {
	for i, f := range files {
		rec := f.Recording
		var p page
		if i > 0 {
			p.WriteString("\n")
		}
		p.row("file", "%s", f.Name)
		p.row("run", "%s, %s, %s", rec.Result.Scenario, rec.Result.URL, rec.Result.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
		p.row("roost-bench", "%s", tool(rec.Tool))
		p.row("machine", "%s", machine(rec.Machine))
		p.row("flags", "%s", flagLine(rec.Flags))
		if _, err := p.WriteTo(w); err != nil {
			return err
		}
		if err := Text(w, rec.Result); err != nil {
			return err
		}
	}
	return nil
}

// Checks writes assertions with the measured values.
func Checks(w io.Writer, checks []bench.Check) error {
	var p page
	for _, c := range checks {
		measured := "no data"
		if c.HasData {
			measured = c.Metric.Unit.Format(c.Value)
		}
		outcome := map[bool]string{true: "holds", false: "FAILED"}[c.Holds]
		if c.Unsure {
			outcome += ", but UNSURE: roost-bench itself was the bottleneck"
		}
		p.row("assertion", "%s: %s, %s", c.Text, strings.ReplaceAll(measured, " ", joint), outcome)
	}
	_, err := p.WriteTo(w)
	return err
}

func tool(t bench.Tool) string {
	commit := "commit unknown"
	if t.Commit != "" {
		commit = "commit " + t.Commit
	}
	if t.Modified {
		commit += ", modified"
	}
	return t.Version + ", " + commit
}

func machine(m bench.Machine) string {
	return fmt.Sprintf("%s, %d cores, %.1f GB, Linux %s, %s, %d local ports",
		cmp.Or(m.CPUModel, "CPU unknown"), m.Cores, float64(m.MemoryBytes)/1e9, m.Kernel, m.GoVersion, m.LocalPorts)
}

func flagLine(flags map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		parts = append(parts, "--"+name+"="+flags[name])
	}
	return strings.Join(parts, " ")
}
