package report

import (
	"cmp"
	"fmt"
	"strings"

	"roost/bench"
)

// part writes what one kind of traffic came to, under its name when there are
// several.
func (p *page) part(part *bench.Part, several bool) {
	if several {
		p.row("part", "%s (%s), %s", plain(part.Name), part.Role, plural(part.Conns, "connection"))
	}
	if h := part.Hold; h != nil {
		p.hold(h)
	}
	if m := part.Messages; m != nil {
		p.messages(m, part.Role)
	}
	if c := part.Churn; c != nil {
		p.row("churn", "%s in %.2f"+joint+"s: %s per second, %s failed", plural(c.Handshakes, "handshake"), c.Seconds, perSecond(c.PerSecond), grouped(c.Failed))
		p.quantiles("handshake", c.Handshake)
	}
	if s := part.Storm; s != nil {
		p.storm(s)
	}
	if h := part.Hostile; h != nil {
		p.hostile(h)
	}
}

func (p *page) hold(h *bench.Hold) {
	p.row("held", "%.1f"+joint+"s, %s open at the end, %s dropped, %s received", h.Seconds, grouped(h.Open), grouped(h.Dropped), plural(h.Messages, "message"))
	if h.Pinged > 0 {
		p.row("final pings", "%s of %s answered", grouped(h.Ponged), grouped(h.Pinged))
	}
}

// loopInWords says what the latencies mean under the load, which they do not tell
// themselves.
func loopInWords(m *bench.Messages) string {
	kind, text := "closed loop: ", "each sender waits for its own message, so a stall holds back the load and hardly shows in the percentiles"
	if m.OpenLoop {
		kind, text = "open loop: ", "latency counts from when a message was due, so a server that stalls shows in full"
	}
	if strings.Contains(m.Load, "loop") {
		return text
	}
	return kind + text
}

func (p *page) messages(m *bench.Messages, role string) {
	label := "load"
	if m.Load != "" {
		p.row(label, "%s", m.Load)
		label = ""
	}
	p.row(label, "%s", loopInWords(m))
	planned, warmUp, refused := "", "", ""
	if m.Planned > 0 {
		planned = " of " + grouped(m.Planned)
	}
	if m.WarmUp > 0 {
		warmUp = fmt.Sprintf("; the first %s as warm-up, not in rate and latency", grouped(m.WarmUp))
	}
	if m.Refused > 0 {
		refused = fmt.Sprintf("; %s refused by the URL that publishes", grouped(m.Refused))
	}
	payload := ""
	if m.Payload != "" {
		payload = " (" + m.Payload + ")"
	}
	p.row("sent", "%s%s messages%s%s%s", grouped(m.Sent), planned, payload, warmUp, refused)
	reach := ""
	if m.Expected > 0 {
		reach = fmt.Sprintf(" (reach %s)", percent(m.Reach()))
	}
	late := ""
	if !m.InTime && m.Missing > 0 {
		late = "; given up after the timeout"
	}
	p.row(unit(role), "%s received of %s expected%s, %s missing, %s duplicate, %s out"+joint+"of"+joint+"order, %s corrupt%s",
		grouped(m.Received), grouped(m.Expected), reach, grouped(m.Missing), grouped(m.Duplicate), grouped(m.OutOfOrder), grouped(m.Corrupt), late)
	p.row("rate", "%s %s per second over %.2f"+joint+"s", perSecond(m.PerSecond), unit(role), m.Seconds)
	if role == roleEcho {
		p.quantiles("round trip", m.Latency)
	} else {
		p.quantiles("delivery", m.Latency)
		p.quantiles("fan-out", m.FanOut)
	}
	p.quantiles("before attack", m.Before)
	switch {
	case m.DistinctOrders == 1:
		p.row("order", "the same on every complete connection")
	case m.DistinctOrders > 1:
		p.row("order", "%s different orders between publishers", grouped(m.DistinctOrders))
	}
	if m.SendLagUS > 0 {
		p.row("send lag", "%s at most: how late roost-bench itself sent", micros(m.SendLagUS))
	}
	if s := m.Slow; s != nil {
		p.row("slow readers", "%s that read %s per second each: %s deliveries received, %s closed by the server",
			plural(s.Conns, "connection"), size(float64(s.BytesPerSecond)), grouped(s.Received), grouped(s.Closed))
	}
}

// roleEcho is the Role of a part whose messages come back to their sender.
const roleEcho = "echo"

func unit(role string) string {
	if role == roleEcho {
		return "echoes"
	}
	return "deliveries"
}

func (p *page) storm(s *bench.Storm) {
	p.row("storm", "%s dropped at once, %s back, %s failed and tried again", plural(s.Dropped, "connection"), grouped(s.Back), plural(s.Failed, "attempt"))
	p.row("back", "half %s, 99"+joint+"%% %s, all %s", after(s.HalfSeconds), after(s.MostSeconds), after(s.AllSeconds))
	p.quantiles("handshake", s.Handshake)
}

// after says when some share of the connections was back.
func after(seconds float64) string {
	if seconds == 0 {
		return "never"
	}
	return "after" + joint + micros(int64(seconds*1e6))
}

func (p *page) hostile(h *bench.Hostile) {
	var ends []string
	for _, c := range h.ClosedByServer {
		ends = append(ends, c.String())
	}
	p.row("attack", "%s, of which %s connected and %s failed; %s sent; ended by the server: %s", plural(h.Attempts, "attempt"),
		grouped(h.Opened), grouped(h.Failed), plural(h.Sent, "frame"), cmp.Or(strings.Join(ends, ", "), "none"))
}
