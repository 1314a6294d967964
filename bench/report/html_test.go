package report_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"roost/bench"
	"roost/bench/report"
)

// TestHTMLOfARunWithNothing must neither fail nor draw.
func TestHTMLOfARunWithNothing(t *testing.T) {
	got := written(t, report.FormatHTML, nothing(), nothing())
	if strings.Contains(got, "<svg") || !strings.Contains(got, "nothing was measured") {
		t.Errorf("want the problem and no plot:\n%s", got)
	}
}

// TestHTMLEscapes: a name is text, wherever it comes up.
func TestHTMLEscapes(t *testing.T) {
	const odd = `<b onclick="x()">&'co</b>`
	rec := recording(5, 1)
	r := rec.Result
	r.Scenario, r.URLs, r.Problems = odd, []string{odd}, []string{odd}
	r.Histograms[odd+".latency"] = r.Histograms["ask.latency"]
	r.Parts[1].Name, r.Parts[1].Messages.Load, r.Phases[0].Name = odd, odd, odd
	r.Server.Command, r.Server.Metrics[odd] = odd, bench.MetricChange{After: 1}
	rec.Flags[odd] = odd
	got := written(t, report.FormatHTML, rec, rec)
	if strings.Contains(got, "<b ") || strings.Contains(got, "<script") {
		t.Error("a name became markup")
	}
	if n := strings.Count(got, "&lt;b onclick="); n < 16 {
		t.Errorf("the name comes up %d times, want it in heading, part, legend, metrics, series and flags of both", n)
	}
}

// TestPlotsOfExtremes: an axis must not panic, whatever was measured.
func TestPlotsOfExtremes(t *testing.T) {
	for name, us := range map[string]int64{"nothing": 0, "one": 1, "an hour": int64(time.Hour / time.Microsecond)} {
		rec := room()
		h := bench.NewRecorder()
		h.Record(time.Duration(us) * time.Microsecond)
		rec.Result.Histograms[bench.MessageLatency] = h
		q, spread := h.Cut()
		for _, length := range []float64{0, 1e-9, 1} {
			rec.Seconds = []bench.Second{{Length: length, Latency: q, LatencySpread: spread, ClientCores: math.SmallestNonzeroFloat64}}
			if got := written(t, report.FormatHTML, rec); strings.Contains(got, "NaN") || strings.Contains(got, "Inf") || !strings.Contains(got, `data-plot="heat"`) {
				t.Errorf("%s in %g s: no heat map, or one of numbers that are none", name, length)
			}
		}
	}
}

// TestLongRunsStaySmall: an hour is drawn with merged columns and thinned lines.
func TestLongRunsStaySmall(t *testing.T) {
	short, long := written(t, report.FormatHTML, recording(300, 1)), written(t, report.FormatHTML, recording(3600, 1))
	if len(long) > 2*len(short) || len(long) > 1<<20 {
		t.Errorf("%d bytes for five minutes, %d for an hour", len(short), len(long))
	}
	if !strings.Contains(short, "of the latencies of 5 s") || !strings.Contains(long, "of the latencies of 30 s") {
		t.Error("the legend does not say how many seconds a column has")
	}
}
