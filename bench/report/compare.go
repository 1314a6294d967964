package report

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"

	"roost/bench"
)

// Side is one of the things compared: the recordings of its runs.
type Side struct {
	Name  string
	Files []File
}

// Errors of Compare.
var (
	// ErrSides is returned when there are fewer than two sides, or one has no file.
	ErrSides = errors.New("nothing to compare")
	// ErrScenarios is returned when the runs are not of one scenario.
	ErrScenarios = errors.New("runs of different scenarios cannot be compared")
)

// alpha is the risk of calling chance a difference.
const alpha = 0.05

// Compare writes a table for every side after the first, which is the base:
// per metric the median of each, its spread, their ratio, and whether the
// difference is significant by the Mann-Whitney U test, which assumes nothing
// of how the values are distributed. It says first what else differs, and last
// in words which side is better in what.
func Compare(w io.Writer, sides []Side) error {
	if err := checkSides(sides); err != nil {
		return err
	}
	var p page
	p.row("scenario", "%s", sides[0].Files[0].Recording.Result.Scenario)
	for _, s := range sides {
		p.row("side", "%s: %s", s.Name, runs(len(s.Files)))
	}
	p.differences(sides)
	p.soundness(sides)
	for _, other := range sides[1:] {
		p.table(sides[0], other)
	}
	_, err := p.WriteTo(w)
	return err
}

func runs(n int) string {
	if n == 1 {
		return "1 run, so its spread is unknown"
	}
	return fmt.Sprintf("%d runs", n)
}

func checkSides(sides []Side) error {
	if len(sides) < 2 {
		return fmt.Errorf("%w: want two sides or more", ErrSides)
	}
	seen := map[string]bool{}
	for _, s := range sides {
		if len(s.Files) == 0 {
			return fmt.Errorf("%w: %s has no recording", ErrSides, s.Name)
		}
		for _, f := range s.Files {
			seen[f.Recording.Result.Scenario] = true
		}
	}
	if len(seen) > 1 {
		return fmt.Errorf("%w: %s", ErrScenarios, strings.Join(slices.Sorted(maps.Keys(seen)), ", "))
	}
	return nil
}

// differences says in what the runs differ beside their numbers.
func (p *page) differences(sides []Side) {
	keys := map[string]bool{}
	for _, s := range sides {
		for _, f := range s.Files {
			for key := range conditions(f.Recording) {
				keys[key] = true
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		var each []string
		all := map[string]bool{}
		for _, s := range sides {
			values := map[string]bool{}
			for _, f := range s.Files {
				v := conditions(f.Recording)[key]
				values[v], all[v] = true, true
			}
			each = append(each, s.Name+": "+strings.Join(slices.Sorted(maps.Keys(values)), " or "))
		}
		if len(all) > 1 {
			p.row("differs", "%s (%s)", key, strings.Join(each, "; "))
		}
	}
}

// conditions are what should be the same in all runs. The process id never is.
func conditions(rec *bench.Recording) map[string]string {
	m := rec.Machine
	c := map[string]string{
		"roost-bench": tool(rec.Tool), "kernel": m.Kernel, "CPU": m.CPUModel, "cores": fmt.Sprint(m.Cores),
		"memory": fmt.Sprintf("%.1f GB", float64(m.MemoryBytes)/1e9), "Go": m.GoVersion,
		"descriptor limit": fmt.Sprint(rec.Result.Plan.DescriptorLimit), "local ports": fmt.Sprint(m.LocalPorts),
		"TLS": tlsInWords(rec), "compression": compressionInWords(rec),
	}
	for name, value := range rec.Flags {
		if name != "pid" {
			c["--"+name] = value
		}
	}
	return c
}

// soundness warns of runs whose numbers are no measurement of the server.
func (p *page) soundness(sides []Side) {
	for _, s := range sides {
		var failed, bottleneck int
		for _, f := range s.Files {
			if !f.Recording.Result.Passed() {
				failed++
			}
			if f.Recording.Result.Client.Bottleneck {
				bottleneck++
			}
		}
		if failed > 0 {
			p.row("warning", "%s: %d of %d runs FAILED", s.Name, failed, len(s.Files))
		}
		if bottleneck > 0 {
			p.row("warning", "%s: in %d of %d runs roost-bench itself was the bottleneck; their rates and latencies are its own",
				s.Name, bottleneck, len(s.Files))
		}
	}
}

// comparison is one metric of two sides.
type comparison struct {
	metric bench.Metric
	a, b   *benchmath.Sample // the base and the other
	p      float64           // of the U test; 1 where it says nothing
}

// compareAll tests every metric of a group that a side has data for.
func compareAll(g metricGroup, base, other Side) (list []comparison) {
	for _, m := range g.Metrics {
		c := comparison{m, g.sample(m, base), g.sample(m, other), 1}
		if len(c.a.Values)+len(c.b.Values) == 0 {
			continue
		}
		if min(len(c.a.Values), len(c.b.Values)) > 1 && !c.identical() {
			c.p = benchmath.AssumeNothing.Compare(c.a, c.b).P
		}
		list = append(list, c)
	}
	return list
}

// table compares one side with the base.
func (p *page) table(base, other Side) {
	var all []comparison
	var results []*bench.Result
	for _, f := range slices.Concat(base.Files, other.Files) {
		results = append(results, f.Recording.Result)
	}
	p.WriteString("\n")
	p.line("metric", clip(base.Name, 18), clip(other.Name, 18), "ratio", "significance", "")
	for _, g := range metricGroups(results...) {
		list := compareAll(g, base, other)
		if g.Part != "" && len(list) > 0 {
			fmt.Fprintf(p, "part %s\n", plain(g.Part))
		}
		for _, c := range list {
			p.line(strings.TrimPrefix(c.metric.Name, g.Part+"."), summary(c.metric, c.a), summary(c.metric, c.b), ratio(c.a, c.b), c.significance(), c.judgement())
		}
		all = append(all, list...)
	}
	p.WriteString("\nEach side: median ± half the range of its runs, in percent of the median.\n" +
		"~: no significant difference (Mann-Whitney U, p >= 0.05). n: runs with data.\n")
	p.summary(base, other, all)
}

// line is at most 90 columns wide.
func (p *page) line(name, a, b, ratio, significance, judgement string) {
	text := fmt.Sprintf("%-17s %-19s %-19s %6s  %-15s %s", name, a, b, ratio, significance, judgement)
	p.WriteString(strings.TrimRight(text, " ") + "\n")
}

func clip(s string, width int) string {
	if runes := []rune(s); len(runes) > width {
		return "..." + string(runes[len(runes)-width+3:])
	}
	return s
}

func (g metricGroup) sample(m bench.Metric, s Side) *benchmath.Sample {
	var values []float64
	for _, f := range s.Files {
		if v, ok := g.value(m, f.Recording.Result); ok {
			values = append(values, v)
		}
	}
	return benchmath.NewSample(values, &benchmath.Thresholds{CompareAlpha: alpha})
}

func median(s *benchmath.Sample) float64 { return benchmath.AssumeNothing.Summary(s, 1-alpha).Center }

func summary(m bench.Metric, s *benchmath.Sample) string {
	n := len(s.Values)
	if n == 0 {
		return "-"
	}
	center := median(s)
	text := m.Unit.Format(center)
	switch low, high := s.Values[0], s.Values[n-1]; { // in ascending order
	case n == 1:
		return text + " ± ?"
	case low == high:
		return text + " ± 0 %"
	case center == 0:
		return text + " ± " + m.Unit.Format((high-low)/2)
	default:
		return fmt.Sprintf("%s ± %.0f %%", text, 100*(high-low)/2/math.Abs(center))
	}
}

func ratio(a, b *benchmath.Sample) string {
	if len(a.Values) == 0 || len(b.Values) == 0 {
		return ""
	}
	from, to := median(a), median(b)
	switch {
	case from == to:
		return "1.00x"
	case from == 0:
		return "-"
	}
	return fmt.Sprintf("%.2fx", to/from)
}

// significance names the test's outcome.
func (c *comparison) significance() string {
	n1, n2 := len(c.a.Values), len(c.b.Values)
	n := fmt.Sprintf("n=%d+%d", n1, n2)
	switch {
	case n1 == 0 || n2 == 0:
		return "no data on one side"
	case n1 == 1 || n2 == 1:
		return "unknown, " + n
	case c.identical():
		return "same, " + n
	case c.p < alpha:
		return fmt.Sprintf("p=%.3f %s", c.p, n)
	}
	return fmt.Sprintf("~ p=%.2f %s", c.p, n)
}

// identical sides have no ranks to test.
func (c *comparison) identical() bool {
	first := c.a.Values[0]
	return first == c.a.Values[len(c.a.Values)-1] && c.b.Values[0] == first && c.b.Values[len(c.b.Values)-1] == first
}
