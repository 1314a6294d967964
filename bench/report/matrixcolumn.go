package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"roost/bench"
)

// matrixColumn is one figure: a metric of one scenario, in a unit that is the
// same for all sides so that a column can be read from top to bottom.
type matrixColumn struct {
	Scenario string
	Title    string
	Unit     string
	metric   bench.Metric
	scale    float64 // of the metric's unit, in Unit
	// over is a scenario whose median of the metric is the unit, for each side its
	// own: what one thing costs more than another. Empty: there is none.
	over string
}

// matrixColumns lists what servers are compared by. The names are those of the
// scenarios that scripts/compare-peers.sh runs: presets but for idle, which every
// server can take part in, and echo-in-room; below them those of its --secure.
func matrixColumns() []matrixColumn {
	return []matrixColumn{
		{"idle", "memory per connection", "B", metricOf("", "rss_per_conn"), 1, ""},
		{"broadcast", "server CPU per delivery", "us", metricOf("", "cpu_per_delivery"), 1, ""},
		{"broadcast", "deliveries", "thousand/s", metricOf("", "rate"), 1e3, ""},
		{"flood", "deliveries", "thousand/s", metricOf("", "rate"), 1e3, ""},
		{"flood", "latency p50", "ms", metricOf("", "p50"), 1e3, ""},
		{"echo", "server CPU per echo", "us", metricOf("", "cpu_per_echo"), 1, ""},
		{"echo", "echoes", "thousand/s", metricOf("", "rate"), 1e3, ""},
		{"churn", "server CPU per handshake", "us", metricOf("", "cpu_per_handshake"), 1, ""},
		{"churn", "handshakes", "thousand/s", metricOf("", "rate"), 1e3, ""},
		{"echo-in-room", "round trip p99", "ms", metricOf("echo", "p99"), 1e3, ""},

		{"tls-idle", "memory per connection", "B", metricOf("", "rss_per_conn"), 1, ""},
		{"tls-broadcast", "server CPU per delivery", "us", metricOf("", "cpu_per_delivery"), 1, ""},
		{"tls-echo", "server CPU per echo", "us", metricOf("", "cpu_per_echo"), 1, ""},
		{"tls-echo", "echoes", "thousand/s", metricOf("", "rate"), 1e3, ""},
		{"tls-churn", "server CPU per handshake", "us", metricOf("", "cpu_per_handshake"), 1, ""},
		{"tls-churn", "handshakes", "thousand/s", metricOf("", "rate"), 1e3, ""},
		{"churn-in-room", "round trip p99", "ms", metricOf("echo", "p99"), 1e3, ""},
		{"json-broadcast", "server CPU per delivery", "us", metricOf("", "cpu_per_delivery"), 1, ""},
		{"deflate-broadcast", "server CPU per delivery", "us", metricOf("", "cpu_per_delivery"), 1, ""},
		{"deflate-broadcast", "times json-broadcast", "x", metricOf("", "cpu_per_delivery"), 1, "json-broadcast"},
		{"deflate-echo", "server CPU per echo", "us", metricOf("", "cpu_per_echo"), 1, ""},
		{"deflate-echo", "size on the wire", "% of plain", metricOf("", "wire_share"), 0.01, ""},
	}
}

// metricOf finds a metric, of a part unless that is empty.
func metricOf(part, name string) bench.Metric {
	all := bench.Metrics()
	m := all[slices.IndexFunc(all, func(m bench.Metric) bool { return m.Name == name })]
	if part != "" {
		return m.Of(part)
	}
	return m
}

// scenariosOf are those of the columns, in their order.
func scenariosOf(columns []matrixColumn) (names []string) {
	for _, c := range columns {
		if !slices.Contains(names, c.Scenario) {
			names = append(names, c.Scenario)
		}
	}
	return names
}

// better says which way is up.
func (c matrixColumn) better() string {
	if directionOf(c.metric) == higher {
		return "higher"
	}
	return "lower"
}

// number writes a value of the column with about three digits.
func (c matrixColumn) number(v float64) string {
	switch {
	case v >= 1000 || v < 0:
		return grouped(int64(math.Round(v)))
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	}
	return threeDigits(v)
}

// factor writes the ratio; empty: there is none.
func (c *matrixCell) factor() string {
	switch {
	case c.ratio == 0:
		return ""
	case c.ratio >= 1000:
		return grouped(int64(math.Round(c.ratio))) + "x"
	case c.ratio < 0.1:
		return fmt.Sprintf("%.3fx", c.ratio)
	}
	return threeDigits(c.ratio) + "x"
}

// spreadInWords writes the spread; empty: there is no data.
func (c *matrixCell) spreadInWords() string {
	percent, ok := c.spread()
	switch {
	case !c.has():
		return ""
	case !ok:
		return "± ?"
	}
	return fmt.Sprintf("± %.0f"+joint+"%%", percent)
}

// signs are the numbers of the notes, raised.
func (c *matrixCell) signs() string {
	var each []string
	for _, n := range c.notes {
		each = append(each, raised(n))
	}
	return strings.Join(each, "\u2009")
}

var raisedDigits = strings.NewReplacer("0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹")

func raised(n int) string { return raisedDigits.Replace(fmt.Sprint(n)) }
