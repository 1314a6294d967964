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

// TestMain makes the test program roost-bench itself for the processes that a run
// starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && (os.Args[1] == "worker" || os.Args[1] == "selftest-server") {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else each of them takes a second to end with -race
	goleak.VerifyTestMain(m)
}

// serveEcho echoes on a loopback port until the test ends; after answers it
// closes a connection with 1001 when closeAfter is above 0.
func serveEcho(t *testing.T, closeAfter int) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveEach(t, l, func(c net.Conn) { echo(c, closeAfter) })
	return "ws://" + l.Addr().String() + "/"
}

// serveEach serves each connection to l in a goroutine of its own, until the test ends.
func serveEach(t *testing.T, l net.Listener, serve func(net.Conn)) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
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
	wrong := []string{
		"run", "--url", "http://x", "--conns=-1", "--source", "here", "--timeout=-1s", "--settle=-1s", "--expect-close", "3", "--drain=-1s",
		"--header", "none", "--subprotocol", "a b", "--pid=-1", "--metrics", "nowhere", "--assert", "speed>1", "--expect", "(", "--handshakes=-1",
	}
	words := []string{
		"url: ", "connections", "source: ", "timeout: -1s", "header", "subprotocol: ", "metrics: ", "unknown metric", "handshakes in flight: -1",
	}
	of := map[string][]string{ // what can be told of a load that there is
		"echo": {"settle: -1s", "close code: 3", "drain: -1s", "pid: -1", "expect: ", "messages: -7", "payload \"much\""},
		"slow": {"settle: -1s", "slow share: 7", "messages: -7"},
		"mix":  {"active connections: "},
		"ramp": {"want one of idle, broadcast"},
	}
	for name, more := range of {
		code, stdout, stderr := runArgs(t, append(wrong, "--scenario", name, "--messages=-7", "--payload", "much", "--slow-share", "7")...)
		for _, word := range append(more, words...) {
			if !strings.Contains(stderr, word) {
				t.Errorf("%s: %q is not mentioned in:\n%s", name, word, stderr)
			}
		}
		if code != exitUsage || stdout != "" {
			t.Errorf("%s: exit code %d, stdout %q; want 2 and nothing", name, code, stdout)
		}
	}
	// Of what cannot be read at all the first is named.
	for _, flag := range []string{"--ramp=fast", "--rate=-1/s", "--warmup=soon", "--procs=0", "--procs=many", "--duration=10"} {
		name, _, _ := strings.Cut(flag, "=")
		if code, _, stderr := runArgs(t, "run", "--url", "ws://127.0.0.1:1/", flag); code != exitUsage || !strings.Contains(stderr, name) {
			t.Errorf("%s: exit code %d, stderr %q", flag, code, stderr)
		}
	}
}

func TestJSONIsAllOfStdout(t *testing.T) {
	code, stdout, stderr := runArgs(t, "run", "--url", serveEcho(t, 0), "--scenario", "echo", "--conns", "5",
		"--messages", "10", "--settle", "0s", "--json", "--quiet", "--pid", strconv.Itoa(os.Getpid()))
	var r bench.Result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if code != exitPassed || stderr != "" || r.Parts[0].Messages.Received != 50 || r.Plan.Conns != 5 || r.Server.RSSOpenBytes == 0 {
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
	stderr := &interruptAt{phase: "measure: ", cancel: cancel}
	var stdout bytes.Buffer
	code := run(ctx, []string{"run", "--url", serveEcho(t, 0), "--conns", "5", "--duration", "0s", "--settle", "0s", "--out", "none"}, &stdout, stderr)
	if code != exitPassed || !strings.Contains(stdout.String(), "5 open at the end") || !strings.Contains(stdout.String(), "interrupted") {
		t.Errorf("exit code %d, stdout:\n%s", code, stdout.String())
	}
	if !strings.Contains(stderr.String(), "5 of 5 open") {
		t.Errorf("progress:\n%s", stderr.String())
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
