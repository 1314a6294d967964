package report

import (
	"fmt"
	"strings"

	"roost/bench"
)

// server writes what the server process used.
func (p *page) server(r *bench.Result) {
	s := r.Server
	if s == nil {
		return
	}
	if s.Command != "" {
		p.row("server", "%s", plain(s.Command))
	}
	if s.RSSOpenBytes > 0 && r.Opening.Opened > 0 {
		p.row("server memory", "%s per connection (RSS %s before, %s open, %s at the end)",
			size(s.RSSPerConn), size(float64(s.RSSBeforeBytes)), size(float64(s.RSSOpenBytes)), size(float64(s.RSSEndBytes)))
	}
	if s.PSSBytes > 0 {
		p.row("", "PSS %s, anonymous %s, all connections open", size(float64(s.PSSBytes)), size(float64(s.AnonymousBytes)))
	}
	if s.SlabPerConn != 0 {
		p.row("kernel slab", "%s per connection: the kernel's memory for sockets, of both ends if on one machine", size(s.SlabPerConn))
	}
	if s.PID != 0 {
		p.row("server cpu", "%.2f"+joint+"s user + %.2f"+joint+"s system = %.2f"+joint+"cores%s%s%s", s.UserSeconds, s.SystemSeconds, s.Cores,
			cost(s.PerDeliveryUS, "delivery"), cost(s.PerEchoUS, "echo"), cost(s.PerHandshakeUS, "handshake"))
	}
	p.serverMetrics(s.Metrics)
}

func cost(us *float64, unit string) string {
	if us == nil {
		return ""
	}
	if *us < 1 {
		return fmt.Sprintf(", %.3f"+joint+"us per %s", *us, unit)
	}
	return fmt.Sprintf(", %.1f"+joint+"us per %s", *us, unit)
}

// serverMetrics writes the few that matter most; the other formats have all.
func (p *page) serverMetrics(metrics map[string]bench.MetricChange) {
	if len(metrics) == 0 {
		return
	}
	const most = 6
	changed := changedMetrics(metrics)
	label := "server says"
	for _, m := range changed[:min(most, len(changed))] {
		p.row(label, "%s: %s -> %s (%s)", m.Name, m.Before, m.After, m.Change)
		label = ""
	}
	all := plural(len(metrics), "metric")
	if len(changed) == 0 {
		p.row(label, "none of its %s changed", all)
	}
	if more := len(changed) - most; more > 0 {
		p.row(label, "%s more of its %s changed; formats json and html have all", grouped(more), all)
	}
}

// client writes the effort of the load generator.
func (p *page) client(c *bench.ClientReport) {
	var parts []string
	busiest := "event loop"
	if c.Processes > 0 {
		parts = append(parts, plural(c.Processes, "process"))
	}
	if c.Processes > 1 {
		busiest = "busiest event loop"
	}
	parts = append(parts, fmt.Sprintf("%.2f"+joint+"cores", c.Cores), fmt.Sprintf("%s %.0f"+joint+"%% busy", busiest, 100*c.LoopBusy))
	if c.RSSPerConn != 0 {
		parts = append(parts, size(c.RSSPerConn)+" per connection")
	}
	p.row("client", "%s", strings.Join(parts, ", "))
}
