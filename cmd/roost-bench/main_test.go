package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"go.uber.org/goleak"

	"roost/bench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serveEcho echoes on a loopback port until the test ends; after answers it
// closes a connection with 1001 when closeAfter is above 0.
func serveEcho(t *testing.T, closeAfter int) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { echo(c, closeAfter) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return "ws://" + l.Addr().String() + "/"
}

func echo(c net.Conn, closeAfter int) {
	defer c.Close()
	if _, err := ws.Upgrade(c); err != nil {
		return
	}
	for n := 1; ; n++ {
		payload, op, err := wsutil.ReadClientData(c)
		if err != nil {
			return
		}
		if wsutil.WriteServerMessage(c, op, payload) != nil {
			return
		}
		if n == closeAfter {
			ws.WriteFrame(c, ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "")))
		}
	}
}

func runArgs(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir()) // where recordings go
	var out, errOut bytes.Buffer
	code = run(t.Context(), args, &out, &errOut)
	return code, out.String(), errOut.String()
}

func TestExitCodes(t *testing.T) {
	whole, closing := serveEcho(t, 0), serveEcho(t, 3)
	run := func(url string, more ...string) []string {
		return append([]string{"run", "--url", url, "--scenario", "echo", "--conns", "5", "--messages", "10", "--settle", "0s", "--quiet"}, more...)
	}
	for _, test := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"passed", run(whole), exitPassed, "result        passed", ""},
		{"closed by the server", run(closing), exitLost, "closes        1001 x 5", ""},
		{"closed as expected", run(closing, "--expect-close", "1001"), exitPassed, "closes        1001 x 5", ""},
		{"closed otherwise", run(closing, "--expect-close", "1012"), exitLost, "result        FAILED", ""},
		{"nothing measured", run("ws://127.0.0.1:1/"), exitLost, "nothing was measured", ""},
		{"help", []string{"run", "--help"}, exitPassed, "--expect-close=CODE", ""},
		{"no command", nil, exitUsage, "", "expected"},
		{"unknown flag", run(whole, "--fast"), exitUsage, "", "unknown flag --fast"},
		{"malformed value", run(whole, "--duration", "10"), exitUsage, "", "--duration"},
		{"no such process", run(whole, "--pid", strconv.Itoa(1<<30)), exitUsage, "", "process 1073741824"},
		{"too many connections", run(whole, "--conns", strconv.Itoa(1<<29)), exitUsage, "", "ulimit -Hn"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := runArgs(t, test.args...)
			if code != test.code || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) {
				t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", code, test.code, stdout, stderr)
			}
		})
	}
}

func TestEveryWrongValueIsReported(t *testing.T) {
	code, stdout, stderr := runArgs(t, "run", "--url", "http://x", "--scenario", "ramp", "--conns=-1", "--rate=-2", "--source", "here", "--timeout=-1s", "--settle=-1s", "--expect-close", "3")
	for _, word := range []string{"url", "scenario", "connections", "rate", "source", "timeout", "settle", "close code"} {
		if !strings.Contains(stderr, word) {
			t.Errorf("%q is not mentioned in:\n%s", word, stderr)
		}
	}
	if code != exitUsage || stdout != "" {
		t.Errorf("exit code %d, stdout %q; want 2 and nothing", code, stdout)
	}
}

func TestJSONIsAllOfStdout(t *testing.T) {
	code, stdout, stderr := runArgs(t, "run", "--url", serveEcho(t, 0), "--scenario", "echo", "--conns", "5",
		"--messages", "10", "--settle", "0s", "--json", "--quiet", "--pid", strconv.Itoa(os.Getpid()))
	var r bench.Result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if code != exitPassed || stderr != "" || r.Messages.Received != 50 || r.Plan.Conns != 5 || r.Server.RSSOpenBytes == 0 {
		t.Errorf("exit code %d, stderr %q, result %+v", code, stderr, r)
	}
}

// interruptAt is a standard error that ends the run when a progress line names the phase.
type interruptAt struct {
	bytes.Buffer
	phase  string
	cancel context.CancelFunc
}

func (w *interruptAt) Write(b []byte) (int, error) {
	if strings.HasPrefix(string(b), w.phase) {
		w.cancel()
	}
	return w.Buffer.Write(b)
}

// TestInterrupt ends a hold without limit as a signal would, and reads the
// plain progress lines of a standard error that is no terminal.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &interruptAt{phase: "hold: ", cancel: cancel}
	var stdout bytes.Buffer
	code := run(ctx, []string{"run", "--url", serveEcho(t, 0), "--conns", "5", "--duration", "0s", "--settle", "0s", "--out", "none"}, &stdout, stderr)
	if code != exitPassed || !strings.Contains(stdout.String(), "5 open at the end") || !strings.Contains(stdout.String(), "interrupted") {
		t.Errorf("exit code %d, stdout:\n%s", code, stdout.String())
	}
	if !strings.Contains(stderr.String(), "5 of 5 connections open") {
		t.Errorf("progress:\n%s", stderr.String())
	}
}

// TestBars draws to a buffer in place of a terminal.
func TestBars(t *testing.T) {
	var out bytes.Buffer
	b := newBars(&out)
	b.show(bench.Snapshot{Phase: "open", Done: 3, Total: 10, Unit: "connections"})
	b.show(bench.Snapshot{Phase: "churn", Done: 7, Unit: "handshakes"})
	b.close()
	for _, word := range []string{"open", "3 connections", "churn", "7 handshakes"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("%q is not in:\n%q", word, out.String())
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestReportThatCannotBeWritten(t *testing.T) {
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"run", "--url", "ws://127.0.0.1:1/", "--conns", "1", "--quiet", "--out", "none"}, brokenWriter{}, &stderr)
	if code != exitLost || !strings.Contains(stderr.String(), "broken pipe") {
		t.Errorf("exit code %d, stderr %q; want 1 and the error", code, stderr.String())
	}
}
