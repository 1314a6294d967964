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
// of how the values are distributed. It says first what else differs.
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

// table compares one side with the base.
func (p *page) table(base, other Side) {
	p.WriteString("\n")
	p.line("metric", clip(base.Name, 18), clip(other.Name, 18), "ratio", "significance")
	few := false
	for _, m := range bench.Metrics() {
		a, b := sample(m, base), sample(m, other)
		if len(a.Values) == 0 && len(b.Values) == 0 {
			continue
		}
		var significance string
		switch {
		case len(a.Values) == 0 || len(b.Values) == 0:
			significance = "no data on one side"
		case len(a.Values) == 1 || len(b.Values) == 1:
			significance = "unknown, " + counts(a, b)
		default:
			significance, few = significanceOf(a, b, few)
		}
		p.line(m.Name, summary(m, a), summary(m, b), ratio(a, b), significance)
	}
	p.WriteString("\nEach side: median ± half the range of its runs, in percent of the median.\n" +
		"~: no significant difference (Mann-Whitney U, p >= 0.05). n: runs with data.\n")
	if few {
		p.WriteString("Four runs a side are the least that can show a difference at p < 0.05.\n")
	}
}

func (p *page) line(name, a, b, ratio, significance string) {
	text := fmt.Sprintf("%-17s %-19s %-19s %6s  %s", name, a, b, ratio, significance)
	p.WriteString(strings.TrimRight(text, " ") + "\n")
}

func clip(s string, width int) string {
	if runes := []rune(s); len(runes) > width {
		return "..." + string(runes[len(runes)-width+3:])
	}
	return s
}

func sample(m bench.Metric, s Side) *benchmath.Sample {
	var values []float64
	for _, f := range s.Files {
		if v, ok := m.Value(f.Recording.Result); ok {
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

// significanceOf names the test's outcome. few is set when the runs were too
// few for any.
func significanceOf(a, b *benchmath.Sample, few bool) (text string, fewer bool) {
	if identical(a, b) {
		return "same, " + counts(a, b), few
	}
	c := benchmath.AssumeNothing.Compare(a, b)
	if len(c.Warnings) > 0 && min(c.N1, c.N2) < 4 {
		few = true
	}
	if c.P < c.Alpha {
		return fmt.Sprintf("p=%.3f %s", c.P, counts(a, b)), few
	}
	return fmt.Sprintf("~ p=%.2f %s", c.P, counts(a, b)), few
}

// identical sides have no ranks to test.
func identical(a, b *benchmath.Sample) bool {
	first, last := a.Values[0], a.Values[len(a.Values)-1]
	return first == last && b.Values[0] == first && b.Values[len(b.Values)-1] == first
}

func counts(a, b *benchmath.Sample) string {
	return fmt.Sprintf("n=%d+%d", len(a.Values), len(b.Values))
}
