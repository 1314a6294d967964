package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"roost/bench"
	"roost/bench/report"
)

func result() *bench.Result {
	cost := 9.75
	q := &bench.Quantiles{Count: 3, Min: 5, Mean: 7, P50: 12, P90: 1500, P99: 999_990, P999: 2_500_000, Max: 2_500_000}
	return &bench.Result{
		Scenario: "broadcast",
		Opening:  bench.Opening{Wanted: 3, Opened: 3, Seconds: 0.5, PerSecond: 6, Handshake: q},
		Messages: &bench.Messages{
			PayloadBytes: 128, Planned: 4, Sent: 4, Expected: 12, Received: 11, Missing: 1,
			DistinctOrders: 1, Seconds: 2, PerSecond: 5.5, Latency: q, FanOut: q,
		},
		Closes:   []bench.CloseCount{{Code: 1001, Count: 2}, {Code: bench.CloseAbnormal, Count: 1}},
		Failures: []bench.Failure{{Reason: "ECONNREFUSED: connection refused", Count: 7, Remedy: "start the server"}},
		Pings:    2,
		Server:   &bench.ServerReport{PID: 1, RSSBeforeBytes: 1e6, RSSOpenBytes: 3e6, RSSEndBytes: 4e6, RSSPerConn: 666, UserSeconds: 0.5, SystemSeconds: 1, Cores: 0.75, PerDeliveryUS: &cost},
		Client:   bench.ClientReport{Cores: 0.5, LoopBusy: 0.95, Saturated: true},
		Problems: []string{"1 of 12 deliveries are missing"},
		Warnings: []string{"busy"},
	}
}

func TestText(t *testing.T) {
	const q = "p50 12 us  p90 1.50 ms  p99 999.99 ms  p99.9 2.50 s  max 2.50 s\n"
	const want = "opened        3 of 3 in 0.50 s: 6 per second\n" +
		"handshake     " + q +
		"sent          4 of 4 messages of 128 bytes\n" +
		"deliveries    12 expected, 11 received, 1 missing, 0 duplicate, 0 out of order,\n" +
		"              0 corrupt\n" +
		"rate          6 deliveries per second over 2.00 s\n" +
		"delivery      " + q +
		"fan-out       " + q +
		"order         the same on every complete connection\n" +
		"closes        1001 x 2, 1006 (no close frame) x 1\n" +
		"pings         2 answered\n" +
		"server memory 666 B per connection (RSS 1.0 MB before, 3.0 MB open, 4.0 MB at\n" +
		"              the end)\n" +
		"server cpu    0.50 s user + 1.00 s system = 0.75 cores, 9.8 us per delivery\n" +
		"client        0.50 cores, event loop busy 95 %\n" +
		"failure       7 x ECONNREFUSED: connection refused\n" +
		"              start the server\n" +
		"warning       busy\n" +
		"problem       1 of 12 deliveries are missing\n" +
		"result        FAILED\n"
	var got strings.Builder
	if err := report.Text(&got, result()); err != nil || got.String() != want {
		t.Errorf("error %v\n got:\n%s\nwant:\n%s", err, got.String(), want)
	}
}

func TestPlan(t *testing.T) {
	const want = "plan          idle, ws://127.0.0.1:8000/ws\n" +
		"connections   15000 to 127.0.0.1:8000\n" +
		"sources       2: 127.0.0.1 to 127.0.0.2, about 7500 connections each\n" +
		"descriptors   15031 needed, 20000 allowed\n\n"
	plan := bench.Plan{
		Conns: 15000, TargetAddress: "127.0.0.1:8000", SourceAddresses: []string{"127.0.0.1", "127.0.0.2"},
		DescriptorsNeeded: 15031, DescriptorLimit: 20000,
	}
	var got strings.Builder
	if err := report.Plan(&got, "idle", "ws://127.0.0.1:8000/ws", plan); err != nil || got.String() != want {
		t.Errorf("error %v\n got:\n%s\nwant:\n%s", err, got.String(), want)
	}
}

// TestJSONNamesUnits wants a unit at the end of every fractional number's
// name, and lists in place of null.
func TestJSONNamesUnits(t *testing.T) {
	var b bytes.Buffer
	if err := report.JSON(&b, result()); err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(b.Bytes(), &tree); err != nil {
		t.Fatal(err)
	}
	messages := tree["messages"].(map[string]any)
	if messages["deliveries_missing"] != 1.0 || messages["latency"].(map[string]any)["p99_9_us"] != 2.5e6 {
		t.Errorf("messages %v", messages)
	}
	unit := regexp.MustCompile(`_(us|seconds|bytes|per_second|per_connection|cores|share)$|_us_per_`)
	fraction := regexp.MustCompile(`"(\w+)": \d+\.\d`)
	found := fraction.FindAllSubmatch(b.Bytes(), -1)
	if len(found) == 0 {
		t.Fatal("no fractional number found")
	}
	for _, match := range found {
		if !unit.Match(match[1]) {
			t.Errorf("field %s has no unit", match[1])
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteErrorsAreReported(t *testing.T) {
	for name, err := range map[string]error{
		"text": report.Text(brokenWriter{}, result()),
		"json": report.JSON(brokenWriter{}, result()),
		"plan": report.Plan(brokenWriter{}, "", "", bench.Plan{}),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: error %v, want it passed on", name, err)
		}
	}
}
