//go:build linux

package admin_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"roost/bench"
	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
)

// scraped are all metrics, by name.
func (r *rig) scraped() map[string]*dto.MetricFamily {
	r.t.Helper()
	text := expfmt.NewTextParser(model.UTF8Validation)
	all, err := text.TextToMetricFamilies(strings.NewReader(r.want(http.StatusOK, "GET", "/metrics")))
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// values are those of the metrics, with labels as in roost-bench.
func (r *rig) values() map[string]float64 {
	r.t.Helper()
	s, err := bench.NewScrape("http://"+r.admin.Addr()+"/metrics", "")
	if err != nil {
		r.t.Fatal(err)
	}
	values, err := s.Read(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return values
}

func TestCompressionMetrics(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo(), Compress: true})
	c := conntest.DialDeflate(t, r.addr, "/ws")
	text := strings.Repeat("a", 1000)
	payload := conntest.Deflate(6, text)
	c.Raw(conntest.Compressed(true, 1, payload))
	c.ExpectText(text)
	values := r.values()
	for name, want := range map[string]float64{
		`roost_compressed_messages_total{direction="in"}`:     1,
		`roost_compressed_messages_total{direction="out"}`:    1,
		`roost_compressed_plain_bytes_total{direction="in"}`:  1000,
		`roost_compressed_plain_bytes_total{direction="out"}`: 1000,
		`roost_compressed_bytes_total{direction="in"}`:        float64(len(payload)),
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if got := values[`roost_compressed_bytes_total{direction="out"}`]; got == 0 || got > 100 {
		t.Errorf("%v bytes went out", got)
	}
}

// Every number stands for what has happened, as the load generator reads it.
func TestMetrics(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo(), Shards: 1, Limits: server.Limits{MaxConns: 3}, PingInterval: -1})
	a, b := conntest.Dial(t, r.addr, "/ws"), conntest.Dial(t, r.addr, "/ws")
	conntest.Dial(t, r.addr, "/ws")
	full := conntest.Connect(t, r.addr)
	full.Raw([]byte(conntest.Request(r.addr, "/ws")))
	if res := full.Response(); res.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("status %d", res.StatusCode)
	}
	_ = full.Close()
	bad := conntest.Connect(t, r.addr)
	bad.Raw([]byte("POST /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	bad.Response()
	_ = bad.Close()
	_ = conntest.Connect(t, r.addr).Close()
	a.Text("hello") // 6 + 5 bytes come, 2 + 5 go
	a.ExpectText("hello")
	if err := r.server.Hub().Broadcast(frame.Prepare(frame.Text, []byte("all"))); err != nil { // 2 + 3 bytes, for 3
		t.Fatal(err)
	}
	a.ExpectText("all")
	b.ExpectText("all")
	b.Raw(conntest.CloseFrame(1000, ""))
	b.Closed()
	_ = b.Close()
	st := func() server.Stats { return r.server.Stats() }
	eventually(t, "all have gone who go", func() bool {
		s := st()
		return s.Open == 2 && s.Closing == 0 && s.Handshaking == 0 && s.Hub.Delivered == 3 && s.Ended[conn.ReasonHandshakeAbandoned] == 1 &&
			s.Ended[conn.ReasonOverloaded] == 1
	})
	eventually(t, "the fan-out is over", func() bool { return r.values()["roost_fanout_duration_seconds_count"] == 1 })
	runtime.GC()
	values := r.values()
	for name, want := range map[string]float64{
		"roost_connections": 2, "roost_handshakes_in_progress": 0, "roost_closing_connections": 0, "roost_connections_limit": 3, "roost_ready": 1,
		"roost_accepts_total":                                              6,
		`roost_upgrades_total{result="accepted"}`:                          3,
		`roost_upgrades_total{result="overloaded"}`:                        1,
		`roost_upgrades_total{result="refused"}`:                           1,
		`roost_upgrades_total{result="abandoned"}`:                         1,
		`roost_upgrades_total{result="timeout"}`:                           0,
		`roost_closes_total{reason="peer-closed"}`:                         1,
		`roost_closes_total{reason="overloaded"}`:                          1,
		`roost_closes_total{reason="slow-consumer"}`:                       0,
		"roost_messages_received_total":                                    1,
		"roost_messages_sent_total":                                        4,
		"roost_received_bytes_total":                                       float64(st().BytesIn),
		"roost_sent_bytes_total":                                           float64(st().BytesOut),
		"roost_broadcasts_total":                                           1,
		"roost_deliveries_total":                                           3,
		`roost_drops_total{reason="slow-consumer"}`:                        0,
		"roost_conflated_total":                                            0,
		"roost_broadcast_queue_frames":                                     0,
		"roost_broadcast_queue_limit_frames":                               1024,
		"roost_write_queue_bytes":                                          0,
		"roost_read_buffer_bytes":                                          0,
		`roost_info{go="` + runtime.Version() + `",version="v1.2.3-test"}`: 1,
	} {
		if got, there := values[name]; !there || got != want {
			t.Errorf("%s is %v (%v), want %v", name, got, there, want)
		}
	}
	for _, name := range []string{
		"roost_fanout_duration_seconds_sum", "roost_descriptors_used", "roost_descriptors_limit", `roost_reactor_busy_seconds_total{reactor="0"}`,
		"roost_memory_available_bytes", "roost_write_queue_limit_bytes", "roost_received_bytes_total", "roost_sent_bytes_total",
		"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds", "process_max_fds",
		"go_goroutines", "go_gc_duration_seconds_count",
	} {
		if values[name] <= 0 {
			t.Errorf("%s is %v, want more than 0", name, values[name])
		}
	}
	// Each reason has its line, also before it has happened.
	for reason := conn.ReasonNone + 1; reason < conn.Reasons; reason++ {
		if _, there := values[fmt.Sprintf("roost_closes_total{reason=%q}", reason)]; !there {
			t.Errorf("%v is not counted", reason)
		}
	}
	if n := len(values); n >= 200 {
		t.Errorf("%d series: roost-bench keeps 200, and the last by name get lost", n)
	}
}

// A name says its unit and whether it only grows (Prometheus' naming conventions).
func TestNames(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	unit := regexp.MustCompile(`^(roost|process)_[a-z_]+?(_bytes|_seconds|_frames)?(_total)?$`)
	for name, f := range r.scraped() {
		if strings.HasPrefix(name, "go_") {
			continue
		}
		if !unit.MatchString(name) || f.GetHelp() == "" || !strings.HasSuffix(f.GetHelp(), ".") && !strings.HasSuffix(f.GetHelp(), "limit") {
			t.Errorf("%s: %q", name, f.GetHelp())
		}
		if grows := f.GetType() == dto.MetricType_COUNTER; grows != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, f.GetType())
		}
	}
}

var update = flag.Bool("update", false, "write the table of metrics in the README.md of this folder")

// TestREADME holds the table of metrics to those there are, and what the module's
// README.md says of some of them.
func TestREADME(t *testing.T) {
	const path, begin, end = "README.md", "<!-- metrics: made by go generate ./conn/admin -->\n", "<!-- end of metrics -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the marks around the table of metrics", path)
	}
	r := start(t, server.Config{Handler: server.Echo()})
	want := before + begin + metricTable(r) + "\n## Reasons\n\nWhy connections end: the label of `roost_closes_total`, and the word in the log.\n\n" + reasonTable(t) + end + after
	switch {
	case want == string(text):
	case !*update:
		t.Errorf("%s does not list the metrics there are: run 'go generate ./conn/admin'", path)
	default:
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	top, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	there := r.scraped()
	named := regexp.MustCompile(`\broost_[a-z_]+`).FindAllString(string(top), -1)
	if len(named) == 0 {
		t.Error("the module's README.md names no metric")
	}
	for _, name := range named {
		if there[name] == nil {
			t.Errorf("the module's README.md names %s, which there is not", name)
		}
	}
}

// reasonTable is the reasons for which connections end, as conn/state.go explains them.
func reasonTable(t *testing.T) string {
	t.Helper()
	file, err := parser.ParseFile(gotoken.NewFileSet(), "../state.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	table := "| reason | when |\n| --- | --- |\n"
	reason := conn.ReasonNone
	for _, d := range file.Decls {
		constants, ok := d.(*ast.GenDecl)
		if !ok || constants.Tok != gotoken.CONST {
			continue
		}
		for _, s := range constants.Specs {
			spec := s.(*ast.ValueSpec)
			name := spec.Names[0].Name
			if !strings.HasPrefix(name, "Reason") || name == "Reasons" {
				continue
			}
			if reason != conn.ReasonNone {
				text, ok := strings.CutPrefix(strings.Join(strings.Fields(spec.Doc.Text()), " "), name+": ")
				if !ok {
					t.Errorf("conn.%s is not explained", name)
				}
				table += fmt.Sprintf("| %#q | %s |\n", reason, text)
			}
			reason++
		}
	}
	if reason != conn.Reasons {
		t.Errorf("%d reasons in conn/state.go, want %d", reason, conn.Reasons)
	}
	return table
}

// metricTable is what /metrics says of its own metrics.
func metricTable(r *rig) string {
	var lines []string
	for name, f := range r.scraped() {
		if !strings.HasPrefix(name, "roost_") {
			continue
		}
		labels := ""
		for _, l := range f.Metric[0].Label {
			labels += ", `" + l.GetName() + "`"
		}
		lines = append(lines, fmt.Sprintf("| %#q | %s%s | %s |\n", name, strings.ToLower(f.GetType().String()), labels, f.GetHelp()))
	}
	slices.Sort(lines)
	return "| metric | kind, labels | meaning |\n| --- | --- | --- |\n" + strings.Join(lines, "")
}

// A scrape costs the same with any number of connections, as far as allocations tell.
func TestScrapeDoesNotGrowWithConnections(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	cost := func() float64 { return testing.AllocsPerRun(20, func() { r.do("GET", "/metrics") }) }
	few := cost()
	for range 500 {
		conntest.Dial(t, r.addr, "/ws")
	}
	if many := cost(); many > few+250 {
		t.Errorf("%.0f allocations with 500 connections, %.0f without", many, few)
	}
}

// What dashboards and rules in scripts/ ask for is there.
func TestScriptsNameMetricsThatExist(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	there := map[string]bool{}
	for name, f := range r.scraped() {
		there[name] = true
		if t := f.GetType(); t == dto.MetricType_HISTOGRAM || t == dto.MetricType_SUMMARY {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				there[name+suffix] = true
			}
		}
	}
	named := regexp.MustCompile(`\b(roost|process|go)_[a-z0-9_]+`)
	for _, expr := range append(grafana(t), alerts(t)...) {
		names := named.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("no metric in %q", expr)
		}
		for _, name := range names {
			if !there[name] {
				t.Errorf("%s is not in /metrics, but in %q", name, expr)
			}
		}
	}
}
