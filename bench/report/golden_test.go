package report_test

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"roost/bench"
	"roost/bench/report"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// recording is a run of five seconds with a server's numbers.
func recording() *bench.Recording {
	r := result()
	r.URL, r.Started = "ws://127.0.0.1:8000/ws", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r.Histograms = map[string]*bench.Recorder{bench.MessageLatency: bench.NewRecorder(), bench.HandshakeLatency: bench.NewRecorder()}
	for i := range 2000 {
		r.Histograms[bench.MessageLatency].Record(time.Duration(100+i*i/10) * time.Microsecond)
		r.Histograms[bench.HandshakeLatency].Record(time.Duration(i) * time.Microsecond)
	}
	for i := range 5 {
		n := int64(i)
		r.Seconds = append(r.Seconds, bench.Second{
			Start: float64(i), Length: 1, Phase: "broadcast", Open: 1000 * min(i+1, 3), Opened: 1000 - 200*n, Sent: 10 * n, Received: 1000 * n, Deliveries: 1000 * n,
			Latency:     &bench.Quantiles{Count: 9, P50: 900 + 100*n, P99: 9000 - 500*n, Max: 20_000},
			ClientCores: 0.5, ClientLoopBusy: 0.25 * float64(i),
			Server: &bench.ServerSecond{RSSBytes: 10e6 + 1e6*n, CPUCores: 0.1 * float64(i), Threads: 7, Descriptors: 3012, ContextSwitches: 1234.5},
		})
	}
	r.Seconds[0].Latency, r.Seconds[4].Server = nil, nil
	return &bench.Recording{
		Result: r, Seconds: r.Seconds, Histograms: r.Histograms,
		Tool:    bench.Tool{Version: "v1.2.3", Commit: "0123456789abcdef", Modified: true},
		Machine: bench.Machine{Kernel: "6.1.0 x86_64", CPUModel: "Example CPU", Cores: 2, MemoryBytes: 8e9, LocalPorts: 28232, GoVersion: "go1.26"},
		Flags:   map[string]string{"conns": "3", "scenario": "broadcast", "header": `X: <script>alert("no")</script>`},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; after a look, go test ./bench/report -update:\n%s", path, got)
	}
}

func TestFormatsAgainstGolden(t *testing.T) {
	for _, format := range report.Formats() {
		t.Run(format, func(t *testing.T) {
			var got bytes.Buffer
			if err := report.Write(&got, format, []report.File{{Name: "a.json", Recording: recording()}}); err != nil {
				t.Fatal(err)
			}
			golden(t, format, got.Bytes())
		})
	}
}

func TestTextFits80Columns(t *testing.T) {
	var got strings.Builder
	if err := report.Write(&got, report.FormatText, []report.File{{Name: "a.json", Recording: recording()}}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(got.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// TestHDRPlotMerges wants twice as many latencies from two files, and a refusal of a mixture.
func TestHDRPlotMerges(t *testing.T) {
	a, b := recording(), recording()
	var got strings.Builder
	if err := report.Write(&got, report.FormatHDRPlot, []report.File{{Name: "a", Recording: a}, {Name: "b", Recording: b}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), "Total count    =         4000]") {
		t.Errorf("not 4000 latencies:\n%s", got.String())
	}
	delete(b.Result.Histograms, bench.MessageLatency)
	if err := report.Write(&got, report.FormatHDRPlot, []report.File{{Recording: a}, {Recording: b}}); !errors.Is(err, report.ErrMixedMerged) {
		t.Errorf("error %v, want ErrMixedMerged", err)
	}
	delete(b.Result.Histograms, bench.HandshakeLatency)
	if err := report.Write(&got, report.FormatHDRPlot, []report.File{{Recording: b}}); !errors.Is(err, report.ErrNoLatency) {
		t.Errorf("error %v, want ErrNoLatency", err)
	}
	if err := report.Write(&got, "pdf", nil); !errors.Is(err, report.ErrFormat) {
		t.Errorf("error %v, want ErrFormat", err)
	}
}

// TestHTMLOfARunWithNothing must neither fail nor draw.
func TestHTMLOfARunWithNothing(t *testing.T) {
	var got strings.Builder
	if err := report.Write(&got, report.FormatHTML, []report.File{{Name: "x", Recording: &bench.Recording{Result: &bench.Result{Problems: []string{"nothing was measured"}}}}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.String(), "<svg") || !strings.Contains(got.String(), "nothing was measured") {
		t.Errorf("want the problem and no plot:\n%s", got.String())
	}
}

// side has one run for each p99 in milliseconds; the rate goes the other way.
func side(name string, p99ms ...int64) report.Side {
	s := report.Side{Name: name}
	for _, ms := range p99ms {
		s.Files = append(s.Files, report.File{Recording: &bench.Recording{Flags: map[string]string{"conns": "100", "pid": name}, Result: &bench.Result{
			Scenario: "broadcast",
			Messages: &bench.Messages{Sent: 10, Received: 1000, PerSecond: 1e6 / float64(ms), Latency: &bench.Quantiles{Count: 1, P99: ms * 1000}},
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
	// U is 0 of 36: with 6 and 6 values, two of 924 orders are as far apart.
	if got, want := rowOf(t, text, "p99"), "p99 21.50 ms ± 9 % 11.00 ms ± 9 % 0.51x p=0.002 n=6+6"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got, want := rowOf(t, text, "lost"), "lost 0 ± 0 % 0 ± 0 % 1.00x same, n=6+6"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if strings.Contains(text, "differs") {
		t.Errorf("only the process id differs, which is no difference:\n%s", text)
	}
	text = compared(t, side("old", 20, 10, 15, 12), side("new", 19, 11, 16, 12))
	if got := rowOf(t, text, "p99"); !strings.Contains(got, "~ p=") {
		t.Errorf("%s\nwant no significance", got)
	}
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	text = compared(t, side("old", 20, 21), side("new", 10, 11))
	if got := rowOf(t, text, "p99"); !strings.Contains(got, "~ p=0.33 n=2+2") || !strings.Contains(text, "Four runs a side") {
		t.Errorf("two runs a side show nothing:\n%s", text)
	}
	text = compared(t, side("a", 20), side("b", 10), side("c", 40))
	if got, want := rowOf(t, text, "p99"), "p99 20.00 ms ± ? 10.00 ms ± ? 0.50x unknown, n=1+1"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if !strings.Contains(text, "c: 1 run, so its spread is unknown") || strings.Count(text, "\nmetric") != 2 {
		t.Errorf("want a table for b and one for c:\n%s", text)
	}
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

// TestPlotsOfExtremes: an axis must not panic, whatever was measured.
func TestPlotsOfExtremes(t *testing.T) {
	for name, us := range map[string]int64{"nothing": 0, "one": 1, "an hour": int64(time.Hour / time.Microsecond)} {
		rec := recording()
		h := bench.NewRecorder()
		h.Record(time.Duration(us) * time.Microsecond)
		rec.Result.Histograms[bench.MessageLatency] = h
		rec.Seconds = []bench.Second{{Latency: h.Quantiles(), ClientCores: math.SmallestNonzeroFloat64}}
		var got strings.Builder
		if err := report.Write(&got, report.FormatHTML, []report.File{{Recording: rec}}); err != nil || strings.Contains(got.String(), "NaN") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
