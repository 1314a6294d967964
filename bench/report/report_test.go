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

func planned(t *testing.T, urls []string, plan bench.Plan) string {
	t.Helper()
	var got strings.Builder
	if err := report.Plan(&got, "idle", urls, plan); err != nil {
		t.Fatal(err)
	}
	fits(t, got.String(), 80)
	return got.String()
}

func TestPlan(t *testing.T) {
	const want = "plan          idle, ws://127.0.0.1:8000/ws\n" +
		"connections   20,000 descriptors a process, 28,232 ports per address:\n" +
		"              40,000 connections take 3 processes and 6 addresses\n" +
		"targets       127.0.0.1:8000\n" +
		"sources       6: 127.0.0.1 to 127.0.0.6, about 6,667 connections each\n" +
		"descriptors   13,366 needed by the largest process, 20,000 allowed\n\n"
	plan := recording(5, 1).Result.Plan
	plan.TargetAddresses = plan.TargetAddresses[:1]
	if got := planned(t, []string{"ws://127.0.0.1:8000/ws"}, plan); got != want {
		t.Errorf(" got:\n%s\nwant:\n%s", got, want)
	}
}

func TestPlanOfOtherShapes(t *testing.T) {
	urls := []string{"ws://a", "ws://b", "ws://c", "ws://d", "ws://e", "ws://f"}
	got := planned(t, urls, bench.Plan{Conns: 1, Processes: 1, TargetAddresses: urls, DescriptorsNeeded: 30, DescriptorLimit: 1024, PortsPerSource: 28_232})
	got = strings.Join(strings.Fields(got), " ")
	for _, want := range []string{"ws://d and 2 more", "ports per address and target: 1 connection takes 1 process and addresses that the kernel chooses", "30 needed, 1,024 allowed"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
}

// TestTextSaysWhatLatencyMeans wants the sentence that fits, and only that.
func TestTextSaysWhatLatencyMeans(t *testing.T) {
	for open, want := range map[bool]string{true: "counts from when a message was due", false: "hardly shows in the percentiles"} {
		rec := room()
		rec.Result.Parts[0].Messages.OpenLoop = open
		got := strings.Join(strings.Fields(written(t, report.FormatText, rec)), " ")
		if !strings.Contains(got, want) || strings.Contains(got, "due, so") != open {
			t.Errorf("open loop %v: want %q in:\n%s", open, want, got)
		}
	}
}

// TestTextNeverRoundsUpToAll: one lost of very many is not 100 %.
func TestTextNeverRoundsUpToAll(t *testing.T) {
	rec := room()
	m := rec.Result.Parts[0].Messages
	m.Expected, m.Received = 1e7, 1e7-1
	if got := written(t, report.FormatText, rec); !strings.Contains(strings.Join(strings.Fields(got), " "), "reach more than 99.99 %") {
		t.Errorf("want more than 99.99 %% in:\n%s", got)
	}
}

// TestTextOfAnEmptyPart has a name and nothing else to say.
func TestTextOfAnEmptyPart(t *testing.T) {
	rec := room()
	rec.Result.Parts = append(rec.Result.Parts, bench.Part{Name: "odd\x1b[2J", Role: "hold"})
	got := written(t, report.FormatText, rec)
	if !strings.Contains(got, `"odd\x1b[2J" (hold), 0 connections`) {
		t.Errorf("want the quoted name in:\n%s", got)
	}
}

// TestJSONNamesUnits wants a unit at the end of every fractional number's name.
// The server's own metrics are what the server makes of them.
func TestJSONNamesUnits(t *testing.T) {
	var b bytes.Buffer
	if err := report.JSON(&b, recording(20, 1).Result); err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(b.Bytes(), &tree); err != nil {
		t.Fatal(err)
	}
	messages := tree["parts"].([]any)[0].(map[string]any)["messages"].(map[string]any)
	if messages["deliveries_missing"] != 1.0 || messages["latency"].(map[string]any)["count"] != 9600.0 {
		t.Errorf("messages %v", messages)
	}
	unit := regexp.MustCompile(`_(us|seconds|bytes|per_second|per_connection|cores|share)$|_us_per_`)
	fraction := regexp.MustCompile(`"(\w+)": \d+\.\d`)
	found := fraction.FindAllSubmatch(b.Bytes(), -1)
	if len(found) == 0 {
		t.Fatal("no fractional number found")
	}
	for _, match := range found {
		if name := string(match[1]); !unit.MatchString(name) && name != "before" && name != "after" {
			t.Errorf("field %s has no unit", match[1])
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteErrorsAreReported(t *testing.T) {
	for name, err := range map[string]error{
		"text": report.Text(brokenWriter{}, room().Result),
		"json": report.JSON(brokenWriter{}, room().Result),
		"plan": report.Plan(brokenWriter{}, "", nil, bench.Plan{}),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: error %v, want it passed on", name, err)
		}
	}
}
