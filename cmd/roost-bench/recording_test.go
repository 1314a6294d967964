package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roost/bench"
)

// runIn runs a command in a folder.
func runIn(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(dir)
	var out, errOut bytes.Buffer
	code = run(t.Context(), args, &out, &errOut)
	return code, out.String(), errOut.String()
}

func echoArgs(url string, more ...string) []string {
	return append([]string{"run", "--url", url, "--scenario", "echo", "--conns", "5", "--messages", "10", "--settle", "0s", "--quiet"}, more...)
}

// TestRecordOnceReportMany runs twice and uses the recordings in every way.
func TestRecordOnceReportMany(t *testing.T) {
	dir, url := t.TempDir(), serveEcho(t, 0)
	for _, out := range []string{"a/1.json", "b/1.json"} {
		code, stdout, stderr := runIn(t, dir, echoArgs(url, "--out", out, "--header", "Authorization: secret", "--assert", "lost==0", "--assert", "p99<1m")...)
		if code != exitPassed || !strings.Contains(stdout, "recording     "+out) || !strings.Contains(stdout, "lost==0: 0, holds") {
			t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "a", "1.json"))
	if err != nil || bytes.Contains(text, []byte("secret")) {
		t.Errorf("error %v; a header's value must not be recorded", err)
	}
	rec, err := bench.ReadRecording(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if rec.Flags["header"] != "Authorization" || rec.Flags["conns"] != "5" || rec.Flags["messages"] != "10" || rec.Flags["url"] != url || len(rec.Seconds) == 0 ||
		rec.Histograms[bench.MessageLatency].Count() != 50 || rec.Histograms[bench.HandshakeLatency].Count() != 5 {
		t.Errorf("flags %v, %d seconds, histograms %v", rec.Flags, len(rec.Seconds), rec.Histograms)
	}
	for format, want := range map[string]string{
		"text": "result        passed", "json": `"deliveries_received": 50`, "csv": "\na/1.json,", "html": "<svg", "hdrplot": "Total count    =           50]",
	} {
		if code, stdout, stderr := runIn(t, dir, "report", "--format", format, "a/1.json"); code != exitPassed || !strings.Contains(stdout, want) || stderr != "" {
			t.Errorf("%s: exit code %d, %q is not in:\n%s%s", format, code, want, stdout, stderr)
		}
	}
	if code, stdout, _ := runIn(t, dir, "report", "--format", "html", "-o", "r.html", "a/1.json"); code != exitPassed || stdout != "" {
		t.Errorf("exit code %d, stdout %q", code, stdout)
	}
	if page, err := os.ReadFile(filepath.Join(dir, "r.html")); err != nil || !bytes.HasPrefix(page, []byte("<!DOCTYPE html>")) {
		t.Errorf("error %v, page %.40q", err, page)
	}
	for _, sides := range [][]string{{"a", "b"}, {"old=a/*.json", "new=b"}, {"a/1.json", "b/1.json"}} {
		code, stdout, stderr := runIn(t, dir, append([]string{"compare"}, sides...)...)
		if code != exitPassed || !strings.Contains(stdout, "received          50 ± ?") || !strings.Contains(stdout, "spread is unknown") {
			t.Errorf("%v: exit code %d\n%s%s", sides, code, stdout, stderr)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "next.json"), bytes.Replace(text, []byte(`"version": 2,`), []byte(`"version": 3,`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args   []string
		code   int
		stderr string
	}{
		"failing assertion": {[]string{"report", "--format", "csv", "--assert", "received==51", "a/1.json"}, exitLost, "received==51: 50, FAILED"},
		"without data":      {[]string{"report", "--format", "csv", "--assert", "rss<1GB", "a/1.json"}, exitLost, "rss<1GB: no data, FAILED"},
		"unknown metric":    {[]string{"report", "--assert", "p98<1s", "a/1.json"}, exitUsage, "unknown metric \"p98\"; there are, with PART. before them for one part of a run: min, mean, p50"},
		"unknown version":   {[]string{"report", "next.json"}, exitUsage, "next.json: unknown version of the recording: 3, and this roost-bench reads version 2"},
		"no such file":      {[]string{"report", "c.json"}, exitUsage, "c.json"},
		"one side":          {[]string{"compare", "a"}, exitUsage, "two sides"},
		"empty side":        {[]string{"compare", "a", "c/*.json"}, exitUsage, "c/*.json has no recording"},
		"unknown format":    {[]string{"report", "--format", "pdf", "a/1.json"}, exitUsage, "--format"},
	} {
		if code, _, stderr := runIn(t, dir, test.args...); code != test.code || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s: exit code %d, want %d; stderr: %s", name, code, test.code, stderr)
		}
	}
}

func TestWhereRecordingsGo(t *testing.T) {
	url := serveEcho(t, 0)
	for out, want := range map[string]int{"auto": 1, "none": 0, "": 0} {
		dir := t.TempDir()
		code, stdout, stderr := runIn(t, dir, echoArgs(url, "--out="+out)...)
		files, _ := filepath.Glob(filepath.Join(dir, "results", "echo-*Z.json"))
		if code != exitPassed || len(files) != want {
			t.Errorf("--out=%s: exit code %d, files %v, want %d\n%s%s", out, code, files, want, stdout, stderr)
		}
	}
	if code, stdout, stderr := runIn(t, t.TempDir(), echoArgs(url, "--out", "/dev/null/x.json")...); code != exitLost ||
		!strings.Contains(stdout, "result") || !strings.Contains(stderr, "/dev/null") {
		t.Errorf("exit code %d, want the report and then the failure\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr := runIn(t, t.TempDir(), echoArgs("ws://127.0.0.1:1/", "--assert", "speed>1")...); code != exitUsage || !strings.Contains(stderr, "unknown metric") {
		t.Errorf("exit code %d before the run, stderr %s", code, stderr)
	}
}

// TestBottleneckExitCode: the client's limit matters only to those who ask for
// rates and latencies, and never hides a loss.
func TestBottleneckExitCode(t *testing.T) {
	result := func(problems ...string) *bench.Result {
		return &bench.Result{
			Problems: problems, Parts: []bench.Part{{Messages: &bench.Messages{Sent: 1, Latency: &bench.Quantiles{P99: 1000}}}},
			Client: bench.ClientReport{LoopBusy: 0.99, Bottleneck: true},
		}
	}
	for name, test := range map[string]struct {
		result  *bench.Result
		asserts []string
		strict  bool
		code    int
	}{
		"nothing asked":         {result(), nil, false, exitPassed},
		"delivery asked":        {result(), []string{"lost==0"}, false, exitPassed},
		"strict":                {result(), nil, true, exitBottleneck},
		"latency holds":         {result(), []string{"p99<1s"}, false, exitBottleneck},
		"latency fails":         {result(), []string{"p99<1us"}, false, exitBottleneck},
		"latency without data":  {result(), []string{"fan_out_p99<1s"}, false, exitLost},
		"lost":                  {result("lost"), nil, true, exitLost},
		"another one fails":     {result(), []string{"p99<1s", "sent>1"}, false, exitLost},
		"strict, no bottleneck": {&bench.Result{}, nil, true, exitPassed},
	} {
		d, err := newDemands(test.asserts, test.strict)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		code, err := d.judge(&out, test.result)
		if err != nil || code != test.code || strings.Contains(out.String(), "no clean measurement") != (code == exitBottleneck) {
			t.Errorf("%s: error %v, exit code %d, want %d\n%s", name, err, code, test.code, out.String())
		}
		if strings.Contains(out.String(), "passed, but an assertion failed") != (code == exitLost && test.result.Passed()) {
			t.Errorf("%s: why the exit code is %d is not said right:\n%s", name, code, out.String())
		}
	}
}

func TestListScenarios(t *testing.T) {
	code, stdout, _ := runArgs(t, "ls-scenarios")
	for _, word := range []string{"idle", "broadcast", "flood", "slow", "echo", "mix", "churn", "storm", "sends each message back"} {
		if !strings.Contains(stdout, word) {
			t.Errorf("%q is not in:\n%s", word, stdout)
		}
	}
	if code != exitPassed {
		t.Errorf("exit code %d", code)
	}
}
