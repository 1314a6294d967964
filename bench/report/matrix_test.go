package report_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"roost/bench"
	"roost/bench/report"
)

// run is a recording of a scenario with the figures that the matrix shows, worse
// by the factor.
func run(scenario string, factor float64) report.File {
	of := func(v float64) *float64 { v *= factor; return &v }
	rate := 100_000 / factor
	r := &bench.Result{Scenario: scenario, Plan: bench.Plan{Conns: 1000}, Server: &bench.ServerReport{PID: 1}}
	messages := func(load string) *bench.Messages {
		return &bench.Messages{
			Payload: "128 bytes, binary", Load: load, Sent: 10, Expected: 10_000, Received: 10_000, PerSecond: rate,
			Latency: &bench.Quantiles{Count: 10_000, P50: int64(2000 * factor), P99: int64(5000 * factor)},
		}
	}
	room := bench.Part{Name: "listen", Role: "room", Conns: 1000, Messages: messages("closed loop, 1 in flight for each publisher")}
	switch scenario {
	case "idle", "tls-idle":
		r.Server.RSSOpenBytes, r.Server.RSSPerConn = 1e6, 35*factor
		r.Parts = []bench.Part{room}
	case "broadcast", "flood", "tls-broadcast", "json-broadcast", "deflate-broadcast":
		r.Server.PerDeliveryUS = of(2.5)
		r.Parts = []bench.Part{room}
	case "echo", "tls-echo", "deflate-echo":
		r.Server.PerEchoUS = of(4)
		if scenario == "deflate-echo" {
			r.Compression = &bench.Compression{Agreed: 1000, In: bench.DeflatedUse{Messages: 100, Compressed: 100, Wire: int64(40_000 * factor), Payload: 100_000}}
		}
		r.Parts = []bench.Part{{Name: "echo", Role: "echo", Messages: messages("closed loop, 1 in flight for each connection")}}
	case "churn", "tls-churn":
		r.Server.PerHandshakeUS = of(30)
		r.Parts = []bench.Part{{Name: "churn", Role: "churn", Churn: &bench.Churn{Handshakes: 100, PerSecond: rate / 10}}}
	case "echo-in-room", "churn-in-room":
		r.Parts = []bench.Part{room, {Name: "echo", Role: "echo", Messages: messages("open loop, poisson:20/s in all")}}
	}
	return report.File{Name: scenario + ".json", Recording: &bench.Recording{
		Result: r, Tool: bench.Tool{Version: "v1.2.3", Commit: "0123456789abcdef0123", Modified: true},
		Machine: bench.Machine{Kernel: "6.1.0 x86_64", CPUModel: "Example CPU", Cores: 2, MemoryBytes: 8e9, GoVersion: "go1.26"},
	}}
}

var (
	matrixScenarios = []string{"idle", "broadcast", "flood", "echo", "churn", "echo-in-room"}
	secureScenarios = []string{"tls-idle", "tls-broadcast", "tls-echo", "tls-churn", "churn-in-room", "json-broadcast", "deflate-broadcast", "deflate-echo"}
)

// runsOf has three runs of each scenario, 10 % apart.
func runsOf(name string, factor float64, scenarios ...string) report.Side {
	s := report.Side{Name: name}
	for _, scenario := range scenarios {
		for _, noise := range []float64{1, 0.9, 1.1} {
			s.Files = append(s.Files, run(scenario, factor*noise))
		}
	}
	return s
}

// results are those of a scenario.
func results(s report.Side, scenario string) (list []*bench.Result) {
	for _, f := range s.Files {
		if f.Recording.Result.Scenario == scenario {
			list = append(list, f.Recording.Result)
		}
	}
	return list
}

// comparedPeers is a table with everything that may happen to a cell.
func comparedPeers() []report.Side {
	floor, roost, hub, two := runsOf("floor", 1, matrixScenarios...), runsOf("roost", 1.5, matrixScenarios...),
		runsOf("hub|_two_", 40, matrixScenarios...), runsOf("two", 6, "idle", "broadcast", "storm")
	results(roost, "flood")[1].Client.Bottleneck = true
	results(roost, "broadcast")[1].Client.Bottleneck = true
	// One failed, and it was the fastest: it must not count.
	failed := results(hub, "flood")[1]
	failed.Problems, failed.Parts[0].Messages.PerSecond = []string{"12 of 10000 deliveries are missing, on 3 connections"}, 1e9
	for _, r := range results(hub, "echo") {
		r.Problems = []string{"nothing was measured"}
	}
	results(hub, "churn")[0].Interrupted = true
	results(hub, "churn")[1].Server.PerHandshakeUS = nil
	for _, r := range slices.Concat(results(two, "idle"), results(two, "broadcast")) {
		r.Plan.Conns = 500
	}
	two.Files = two.Files[1:] // an idle run is missing
	return []report.Side{floor, roost, hub, two}
}

func matrixOf(t *testing.T, format string, sides ...report.Side) string {
	t.Helper()
	var got strings.Builder
	if err := report.Matrix(&got, format, sides); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

func TestMatrixAgainstGolden(t *testing.T) {
	for _, format := range []string{report.MatrixText, report.MatrixMarkdown, report.MatrixJSON, report.MatrixSVG} {
		golden(t, "peers-"+format, []byte(matrixOf(t, format, comparedPeers()...)))
	}
	fits(t, matrixOf(t, report.MatrixText, comparedPeers()...), 80)
}

// cells are those of the JSON document, by side and figure.
func cells(t *testing.T, sides ...report.Side) func(side, scenario, metric string) map[string]any {
	t.Helper()
	var doc struct {
		Figures []struct{ Scenario, Metric string }
		Sides   []struct {
			Name  string
			Cells []map[string]any
		}
	}
	if err := json.Unmarshal([]byte(matrixOf(t, report.MatrixJSON, sides...)), &doc); err != nil {
		t.Fatal(err)
	}
	return func(side, scenario, metric string) map[string]any {
		for _, s := range doc.Sides {
			for i, f := range doc.Figures {
				if s.Name == side && f.Scenario == scenario && f.Metric == metric {
					return s.Cells[i]
				}
			}
		}
		t.Fatalf("no cell %s, %s, %s", side, scenario, metric)
		return nil
	}
}

// TestMatrixCounts says of each kind of run whether it counts, and that it is noted.
func TestMatrixCounts(t *testing.T) {
	cell := cells(t, comparedPeers()...)
	for name, test := range map[string]struct {
		cell                                         map[string]any
		counted, recorded, failed, bottleneck, notes int
	}{
		"all well":                      {cell("roost", "idle", "rss_per_conn"), 3, 3, 0, 0, 0},
		"bottleneck":                    {cell("roost", "flood", "rate"), 3, 3, 0, 1, 1},
		"bottleneck, CPU of the server": {cell("roost", "broadcast", "cpu_per_delivery"), 3, 3, 0, 0, 0},
		"failed":                        {cell("hub|_two_", "flood", "rate"), 2, 3, 1, 0, 1},
		"all failed":                    {cell("hub|_two_", "echo", "rate"), 0, 3, 3, 0, 1},
		"interrupted, no data":          {cell("hub|_two_", "churn", "cpu_per_handshake"), 1, 3, 1, 0, 1},
		"missing":                       {cell("two", "churn", "rate"), 0, 0, 0, 0, 0},
		"fewer connections":             {cell("two", "broadcast", "rate"), 3, 3, 0, 0, 1},
		"and fewer rounds":              {cell("two", "idle", "rss_per_conn"), 2, 2, 0, 0, 2},
	} {
		got := []int{len(test.cell["values"].([]any)), int(test.cell["runs_recorded"].(float64)), int(test.cell["runs_failed"].(float64)),
			int(test.cell["runs_bottleneck"].(float64)), len(test.cell["notes"].([]any))}
		if want := []int{test.counted, test.recorded, test.failed, test.bottleneck, test.notes}; !slices.Equal(got, want) {
			t.Errorf("%s: counted, recorded, failed, bottleneck, notes %v, want %v", name, got, want)
		}
	}
	if got := cell("hub|_two_", "flood", "rate")["median"].(float64); got > 3 {
		t.Errorf("median %v thousand/s: the failed run counts", got)
	}
	if c := cell("hub|_two_", "echo", "rate"); c["median"] != nil || c["ratio"] != nil {
		t.Errorf("all runs failed, but the cell is %v", c)
	}
	if got := cell("roost", "idle", "rss_per_conn")["ratio"].(float64); got < 1.4999 || got > 1.5001 {
		t.Errorf("ratio %v, want 1.5", got)
	}
}

// TestMatrixSecure has a column that measures each side by another scenario of its own.
func TestMatrixSecure(t *testing.T) {
	roost, hub, half := runsOf("roost", 1, secureScenarios...), runsOf("hub", 3, secureScenarios...), runsOf("half", 2, "deflate-broadcast")
	for _, r := range results(hub, "deflate-broadcast") {
		*r.Server.PerDeliveryUS *= 5
	}
	text := matrixOf(t, report.MatrixText, roost, hub, half)
	fits(t, text, 80)
	if strings.Contains(text, "left out") {
		t.Errorf("a scenario has no column:\n%s", text)
	}
	var doc struct {
		Figures []struct{ Scenario, Metric, Title string }
		Sides   []struct {
			Cells []struct {
				Median, Ratio *float64
				Values        []float64
			}
		}
	}
	if err := json.Unmarshal([]byte(matrixOf(t, report.MatrixJSON, roost, hub, half)), &doc); err != nil {
		t.Fatal(err)
	}
	if c := cells(t, roost, hub)("roost", "deflate-echo", "wire_share"); math.Abs(c["median"].(float64)-40) > 1e-9 {
		t.Errorf("size on the wire %v %%, want 40", c["median"])
	}
	for i, f := range doc.Figures {
		if f.Title != "times json-broadcast" {
			continue
		}
		for side, want := range []float64{1, 5} {
			c := doc.Sides[side].Cells[i]
			if c.Median == nil || math.Abs(*c.Median-want) > 1e-9 || len(c.Values) != 3 || math.Abs(c.Values[2]-1.1*want) > 1e-9 || c.Ratio != nil {
				t.Errorf("side %d: median %v, values %v, ratio %v, want %v, 10 %% around it, none", side, c.Median, c.Values, c.Ratio, want)
			}
		}
		if c := doc.Sides[2].Cells[i]; c.Median != nil || len(c.Values) != 0 {
			t.Errorf("without json-broadcast: %+v, want no data", c)
		}
		return
	}
	t.Error("no column says what compression costs")
}

// TestMatrixWithoutBase has no ratios where the first side has no data.
func TestMatrixWithoutBase(t *testing.T) {
	sides := []report.Side{runsOf("floor", 1, "idle"), runsOf("roost", 2, "idle", "echo")}
	sides = append(sides, report.Side{Name: "gone"})
	if text := matrixOf(t, report.MatrixText, sides...); !strings.Contains(text, "gone has no recording") {
		t.Errorf("want a note of the side without a recording:\n%s", text)
	}
	if c := cells(t, sides...)("roost", "echo", "rate"); c["median"] == nil || c["ratio"] != nil {
		t.Errorf("cell %v, want a median and no ratio", c)
	}
	for _, format := range []string{report.MatrixText, report.MatrixMarkdown, report.MatrixSVG} {
		if got := matrixOf(t, format, sides...); strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
			t.Errorf("%s:\n%s", format, got)
		}
	}
}

// TestMatrixPicture is one XML document that follows the reader's preference and
// tells everything in words.
func TestMatrixPicture(t *testing.T) {
	picture := matrixOf(t, report.MatrixSVG, comparedPeers()...)
	var words strings.Builder
	for d, in := xml.NewDecoder(strings.NewReader(picture)), ""; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			in = token.Name.Local
		case xml.CharData:
			if in == "desc" {
				words.Write(token)
			}
		}
	}
	for _, want := range []string{"idle, memory per connection, B, lower is better: floor 35.0, roost 52.5 (1.50x), hub|_two_ 1,400 (40.0x)", "two -."} {
		if !strings.Contains(words.String(), want) {
			t.Errorf("%q is not in:\n%s", want, words.String())
		}
	}
	if !strings.Contains(picture, "prefers-color-scheme: dark") || strings.Contains(picture, "#010000") || strings.Contains(picture, "#110000") {
		t.Error("the colours are not the reader's")
	}
}

func TestMatrixRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		format string
		sides  []report.Side
		want   error
	}{
		"no side":        {report.MatrixText, nil, report.ErrSides},
		"no column":      {report.MatrixText, []report.Side{runsOf("a", 1, "storm")}, report.ErrMatrix},
		"unknown format": {"pdf", []report.Side{runsOf("a", 1, "idle")}, report.ErrFormat},
	} {
		if err := report.Matrix(io.Discard, test.format, test.sides); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
	for _, format := range []string{report.MatrixText, report.MatrixMarkdown, report.MatrixJSON, report.MatrixSVG} {
		if err := report.Matrix(brokenWriter{}, format, []report.Side{runsOf("a", 1, "idle")}); !errors.Is(err, errBroken) {
			t.Errorf("%s: error %v, want it passed on", format, err)
		}
	}
}
