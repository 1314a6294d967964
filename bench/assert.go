package bench

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Assertion is a condition on a metric, such as p99<20ms.
type Assertion struct {
	Text   string // as it was written
	Metric Metric
	op     string
	limit  float64 // in the metric's unit
}

// Errors of ParseAssertion.
var (
	// ErrUnknownMetric is returned, with the known names, for a metric there is not.
	ErrUnknownMetric = errors.New("unknown metric")
	// ErrAssertion is returned when an assertion is not: metric, operator, value.
	ErrAssertion = errors.New("want METRIC OPERATOR VALUE such as p99<20ms, with <, <=, ==, !=, >= or >")
)

// Longer operators come first: < is the start of <=.
var operators = []string{"<=", ">=", "==", "!=", "<", ">"}

// ParseAssertion reads an assertion. A latency or a time needs a unit (us, ms,
// s, m); bytes may have B, kB, MB, GB, KiB, MiB or GiB; a share may be written
// in percent. Other values are plain numbers.
func ParseAssertion(text string) (Assertion, error) {
	at := strings.IndexAny(text, "<>=!")
	if at < 0 {
		return Assertion{}, fmt.Errorf("assertion %q: %w", text, ErrAssertion)
	}
	i := slices.IndexFunc(operators, func(op string) bool { return strings.HasPrefix(text[at:], op) })
	if i < 0 {
		return Assertion{}, fmt.Errorf("assertion %q: %w", text, ErrAssertion)
	}
	a := Assertion{Text: text, op: operators[i]}
	name := strings.TrimSpace(text[:at])
	metric, ok := findMetric(name)
	if !ok {
		return Assertion{}, fmt.Errorf("assertion %q: %w %q; there are, with PART. before them for one part of a run: %s", text, ErrUnknownMetric, name, names(Metrics()))
	}
	a.Metric = metric
	limit, err := a.Metric.Unit.parse(strings.TrimSpace(text[at+len(a.op):]))
	if err != nil {
		return Assertion{}, fmt.Errorf("assertion %q: %w", text, err)
	}
	a.limit = limit
	return a, nil
}

// findMetric finds a metric by its name, or by PART.NAME.
func findMetric(name string) (Metric, bool) {
	all := Metrics()
	for _, m := range all {
		if m.Name == name {
			return m, true
		}
	}
	part, rest, _ := strings.Cut(name, ".")
	for _, m := range all {
		if m.Name == rest && part != "" {
			return m.Of(part), true
		}
	}
	return Metric{}, false
}

func names(metrics []Metric) string {
	var list []string
	for _, m := range metrics {
		list = append(list, m.Name)
	}
	return strings.Join(list, ", ")
}

// Check is an Assertion held against a result.
type Check struct {
	Assertion
	Value   float64 // measured, in the metric's unit
	HasData bool
	Holds   bool // never without data
	// Unsure: the client was the bottleneck, and the metric is its own rate or latency.
	Unsure bool
}

// Check holds the assertion against r.
func (a Assertion) Check(r *Result) Check {
	c := Check{Assertion: a}
	c.Value, c.HasData = a.Metric.Value(r)
	if !c.HasData {
		return c
	}
	c.Unsure = a.Metric.OfLoad && r.Client.Bottleneck
	switch a.op {
	case "<":
		c.Holds = c.Value < a.limit
	case "<=":
		c.Holds = c.Value <= a.limit
	case "==":
		c.Holds = c.Value == a.limit
	case "!=":
		c.Holds = c.Value != a.limit
	case ">=":
		c.Holds = c.Value >= a.limit
	case ">":
		c.Holds = c.Value > a.limit
	}
	return c
}

var byteUnits = []struct {
	suffix string
	bytes  float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

func (u Unit) parse(s string) (float64, error) {
	factor := 1.0
	switch u {
	case UnitMicros:
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("%q is no time; write 500us, 20ms or 1.5s", s)
		}
		return float64(d) / float64(time.Microsecond), nil
	case UnitBytes:
		for _, b := range byteUnits {
			if number, ok := strings.CutSuffix(s, b.suffix); ok {
				s, factor = strings.TrimSpace(number), b.bytes
				break
			}
		}
	case UnitShare:
		if number, ok := strings.CutSuffix(s, "%"); ok {
			s, factor = strings.TrimSpace(number), 0.01
		}
	}
	value, err := strconv.ParseFloat(s, 64)
	if err != nil || !(value >= 0 && value <= 1e18) {
		return 0, fmt.Errorf("%q is no number that a metric can have", s)
	}
	return value * factor, nil
}

// Format writes a value with its unit.
func (u Unit) Format(v float64) string {
	switch u {
	case UnitMicros:
		return formatMicros(v)
	case UnitBytes:
		return formatBytes(v)
	case UnitPerSecond:
		return formatNumber(v) + "/s"
	case UnitCores:
		return fmt.Sprintf("%.2f cores", v)
	case UnitShare:
		return fmt.Sprintf("%.1f %%", 100*v)
	}
	return formatNumber(v)
}

func formatMicros(us float64) string {
	switch {
	case us < 1:
		return fmt.Sprintf("%.3f us", us)
	case us < 100 && us != float64(int64(us)):
		return fmt.Sprintf("%.1f us", us)
	case us < 1e3:
		return fmt.Sprintf("%.0f us", us)
	case us < 1e6:
		return fmt.Sprintf("%.2f ms", us/1e3)
	}
	return fmt.Sprintf("%.2f s", us/1e6)
}

func formatBytes(b float64) string {
	switch {
	case b < 1e5 && b > -1e5:
		return fmt.Sprintf("%.0f B", b)
	case b < 1e9:
		return fmt.Sprintf("%.1f MB", b/1e6)
	}
	return fmt.Sprintf("%.2f GB", b/1e9)
}

func formatNumber(v float64) string {
	switch {
	case v < 100 && v != float64(int64(v)):
		return fmt.Sprintf("%.1f", v)
	case v < 1e6:
		return fmt.Sprintf("%.0f", v)
	case v < 1e9:
		return fmt.Sprintf("%.2f M", v/1e6)
	}
	return fmt.Sprintf("%.2f G", v/1e9)
}
