package report_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"roost/bench"
	"roost/bench/report"
)

// side has one run for each p99 in milliseconds; the rate goes the other way.
func side(name string, p99ms ...int64) report.Side {
	s := report.Side{Name: name}
	for _, ms := range p99ms {
		s.Files = append(s.Files, report.File{Recording: &bench.Recording{Flags: map[string]string{"conns": "100", "pid": name}, Result: &bench.Result{
			Scenario: "broadcast",
			Parts: []bench.Part{{Name: "news", Role: "room", Messages: &bench.Messages{
				Sent: 10, Expected: 1000, Received: 1000, PerSecond: 1e6 / float64(ms), Latency: &bench.Quantiles{Count: 1, P99: ms * 1000},
			}}},
		}}})
	}
	return s
}

func compared(t *testing.T, sides ...report.Side) string {
	t.Helper()
	var got strings.Builder
	if err := report.Compare(&got, sides); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

// rowOf is the line of a metric, its fields joined by one space.
func rowOf(t *testing.T, text, metric string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == metric {
			return strings.Join(fields, " ")
		}
	}
	t.Fatalf("no row %s in:\n%s", metric, text)
	return ""
}

func TestCompareKnownDifferences(t *testing.T) {
	slow, fast := []int64{20, 21, 22, 23, 24, 20}, []int64{10, 11, 12, 11, 10, 12}
	text := compared(t, side("old", slow...), side("new", fast...))
	fits(t, text, 90)
	// U is 0 of 36: with 6 and 6 values, two of 924 orders are as far apart.
	if got, want := rowOf(t, text, "p99"), "p99 21.50 ms ± 9 % 11.00 ms ± 9 % 0.51x p=0.002 n=6+6 better"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got, want := rowOf(t, text, "lost"), "lost 0 ± 0 % 0 ± 0 % 1.00x same, n=6+6"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if strings.Contains(text, "differs") {
		t.Errorf("only the process id differs, which is no difference:\n%s", text)
	}
	_, summary, _ := strings.Cut(text, "new against old:\n")
	if !strings.HasPrefix(summary, ""+
		"better        p99 49 % better (11.00 ms against 21.50 ms)\n"+
		"              rate 95 % better (90909/s against 46537/s)\n"+
		"              Of twenty") || strings.Contains(summary, "worse") {
		t.Errorf("summary:\n%s", summary)
	}
	// The other way round, it is as much worse.
	text = compared(t, side("new", fast...), side("old", slow...))
	if !strings.Contains(text, "\nworse         p99 95 % worse (21.50 ms against 11.00 ms)\n") || strings.Contains(text, "better ") {
		t.Errorf("want p99 as worse:\n%s", text)
	}
}

func TestCompareFindsNoDifferenceInChance(t *testing.T) {
	text := compared(t, side("old", 20, 10, 15, 12), side("new", 19, 11, 16, 12))
	if got := rowOf(t, text, "p99"); !strings.Contains(got, "~ p=") {
		t.Errorf("%s\nwant no significance", got)
	}
	if !strings.Contains(text, "nothing differs beyond chance in 4 and 4 runs") {
		t.Errorf("want no verdict:\n%s", text)
	}
}

// TestCompareAsksForRuns: what so few runs cannot show is said, with how many can.
func TestCompareAsksForRuns(t *testing.T) {
	text := compared(t, side("old", 20, 21), side("new", 10, 11, 12))
	if got := rowOf(t, text, "p99"); !strings.Contains(got, "~ p=0.20 n=2+3") {
		t.Errorf("%s\nwant no significance", got)
	}
	flat := strings.Join(strings.Fields(text), " ")
	if !strings.Contains(flat, "4 runs of each side are needed, 2 more of old, 1 more of new") {
		t.Errorf("want how many runs are missing:\n%s", text)
	}
	text = compared(t, side("a", 20), side("b", 10), side("c", 40))
	if got, want := rowOf(t, text, "p99"), "p99 20.00 ms ± ? 10.00 ms ± ? 0.50x unknown, n=1+1"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if !strings.Contains(text, "c: 1 run, so its spread is unknown") || strings.Count(text, "\nmetric") != 2 {
		t.Errorf("want a table for b and one for c:\n%s", text)
	}
	// Three and five are enough: two of 56 orders.
	if text := compared(t, side("a", 20, 21, 22), side("b", 10, 11, 12, 13, 14)); strings.Contains(text, "too few") || !strings.Contains(text, "p99 43 % better") {
		t.Errorf("want a verdict:\n%s", text)
	}
}

// mixed has runs of every part, a little apart from one another, and slower and
// larger by the factor.
func mixed(name string, factor float64) report.Side {
	s := report.Side{Name: name}
	for i := range 5 {
		rec := recording(5, uint64(i))
		noise := factor * (1 + 0.02*float64(i))
		for _, part := range rec.Result.Parts {
			if m := part.Messages; m != nil {
				m.Latency.P99 = int64(float64(1000*len(part.Name)) * noise)
				m.PerSecond /= noise
			}
		}
		rec.Result.Server.RSSPerConn *= factor * noise
		rec.Result.Client.Cores *= noise
		s.Files = append(s.Files, report.File{Name: name, Recording: rec})
	}
	return s
}

// TestCompareParts has a row for every part, in the table and in the summary.
func TestCompareParts(t *testing.T) {
	text := compared(t, mixed("roost", 1), mixed("gorilla", 8))
	fits(t, text, 90)
	golden(t, "compare", []byte(text))
}

func TestCompareSaysWhatDiffers(t *testing.T) {
	a, b := side("a", 1, 2), side("b", 1, 2)
	b.Files[0].Recording.Flags["conns"] = "200"
	b.Files[1].Recording.Machine.CPUModel = "other"
	b.Files[1].Recording.Result.Client.Bottleneck = true
	b.Files[1].Recording.Result.Problems = []string{"lost"}
	text := strings.Join(strings.Fields(compared(t, a, b)), " ")
	for _, want := range []string{"--conns (a: 100; b: 100 or 200)", "CPU (a: ; b: or other)", "b: 1 of 2 runs FAILED", "b: in 1 of 2 runs roost-bench itself was the bottleneck"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	a, b := side("a", 1), side("b", 1)
	for _, sides := range [][]report.Side{nil, {a}, {a, {Name: "empty"}}} {
		if err := report.Compare(new(bytes.Buffer), sides); !errors.Is(err, report.ErrSides) {
			t.Errorf("%d sides: error %v, want ErrSides", len(sides), err)
		}
	}
	b.Files[0].Recording.Result.Scenario = "echo"
	if err := report.Compare(new(bytes.Buffer), []report.Side{a, b}); !errors.Is(err, report.ErrScenarios) || !strings.Contains(err.Error(), "broadcast, echo") {
		t.Errorf("error %v, want ErrScenarios that names both", err)
	}
}
