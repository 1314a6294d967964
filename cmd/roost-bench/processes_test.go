package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSeveralProcesses(t *testing.T) {
	code, stdout, stderr := runArgs(t, echoArgs(serveEcho(t, 0), "--procs", "3", "--assert", "received==50", "--assert", "lost==0")...)
	if code != exitPassed || !strings.Contains(stdout, "received==50: 50, holds") || stderr != "" {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

// TestPartsOfOthers calls what only roost-bench itself should, with nothing on
// standard input.
func TestPartsOfOthers(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	stdin := os.Stdin
	os.Stdin = null
	defer func() { os.Stdin = stdin }()
	if code, _, stderr := runArgs(t, "worker"); code != exitUsage || !strings.Contains(stderr, "for roost-bench itself") {
		t.Errorf("worker: exit code %d, stderr %q", code, stderr)
	}
	if code, stdout, stderr := runArgs(t, "selftest-server"); code != exitPassed || !strings.HasPrefix(stdout, "127.0.0.1:") || stderr != "" {
		t.Errorf("selftest-server: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if code, stdout, _ := runArgs(t, "--help"); code != exitPassed || strings.Contains(stdout, "selftest-server") || strings.Contains(stdout, "worker ") {
		t.Errorf("exit code %d; help shows what is not for users:\n%s", code, stdout)
	}
}

// TestSelftestInterrupted only starts the self-test; package selftest proves that
// it finds faults.
func TestSelftestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	if code := run(ctx, []string{"selftest"}, &stdout, &stderr); code != exitLost || !strings.Contains(stderr.String(), "context canceled") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
}

// TestScenarioFile plays a file; what it leaves out, the flags say.
func TestScenarioFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "evening.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("groups:\n  - {role: echo, conns: 3, messages: 4}\n  - {name: quiet, role: hold, conns: 2}\n")
	args := []string{"run", "--url", serveEcho(t, 0), "--scenario", path, "--settle", "0s", "--quiet"}
	code, stdout, stderr := runIn(t, dir, append(args, "--assert", "echo.received==12", "--assert", "quiet.pings_unanswered==0")...)
	if code != exitPassed || !strings.Contains(stdout, "quiet.pings_unanswered==0: 0, holds") || !strings.Contains(stdout, "results/evening-") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	write("groups:\n  - role: echo\n    cons: 3\n")
	if code, _, stderr := runIn(t, dir, args...); code != exitUsage || !strings.Contains(stderr, "cons: 3") || !strings.Contains(stderr, "evening.yaml") {
		t.Errorf("exit code %d, stderr %q; want the place in the file", code, stderr)
	}
}
