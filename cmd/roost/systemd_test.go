//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"roost/conn/conntest"
)

// manager is what a service manager hears.
type manager struct {
	t    *testing.T
	said chan string
}

// supervise makes this process a service, with a watchdog unless it is 0.
func supervise(t *testing.T, watchdog time.Duration) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	m := &manager{t, make(chan string, 10000)}
	go func() {
		for buf := make([]byte, 4096); ; {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			m.said <- string(buf[:n])
		}
	}()
	t.Setenv("NOTIFY_SOCKET", path)
	if watchdog > 0 {
		t.Setenv("WATCHDOG_USEC", strconv.FormatInt(watchdog.Microseconds(), 10))
		t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	}
	return m
}

// hear returns the first message that begins with this, and skips others.
func (m *manager) hear(start string) string {
	m.t.Helper()
	for enough := time.After(conntest.Patience); ; {
		select {
		case said := <-m.said:
			if strings.HasPrefix(said, start) {
				return said
			}
		case <-enough:
			m.t.Fatalf("no message %q", start)
		}
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	m := supervise(t, 20*time.Millisecond)
	c := execute(t, "--shutdown-timeout", "20s", "--drain-time", "1s")
	m.hear("READY=1")
	m.hear("WATCHDOG=1")
	m.hear("WATCHDOG=1")
	client := conntest.Dial(t, c.addr, "/ws")
	c.signals <- syscall.SIGTERM
	if got, want := m.hear("STOPPING=1"), "STOPPING=1\nEXTEND_TIMEOUT_USEC=26000000"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	m.hear("WATCHDOG=1") // it works as long as clients are closed
	client.Closed()
	_ = client.Close()
	if code := <-c.code; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	c.rest()
}

func TestServiceStatus(t *testing.T) {
	m := supervise(t, 0)
	c := execute(t)
	if got := m.hear("STATUS="); got != "STATUS=0 clients" {
		t.Errorf("told %q", got)
	}
	c.signals <- syscall.SIGTERM
	<-c.code
	c.rest()
	s := newSystemd(slog.New(slog.DiscardHandler))
	s.reloading()
	if got := m.hear("RELOADING=1"); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("told %q", got)
	}
	s.stopping(0)
	if got := m.hear("STOPPING=1"); got != "STOPPING=1" {
		t.Errorf("told %q", got)
	}
}

// TestNoServiceManager: nothing runs, and one that does not listen is complained of once.
func TestNoServiceManager(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	s := newSystemd(logger)
	s.ready()
	s.attend(nil)()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	t.Setenv("WATCHDOG_USEC", "soon")
	s = newSystemd(logger)
	s.ready()
	s.status("x")
	if n := strings.Count(log.String(), "systemd cannot be told"); n != 1 || !strings.Contains(log.String(), "watchdog") {
		t.Errorf("%d complaints: %s", n, log.String())
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roost.sock")
	c := executeOn(t, "unix:"+path)
	if c.addr != "unix:"+path {
		t.Errorf("the log says %q", c.addr)
	}
	client := conntest.Dial(t, "unix:"+path, "/ws")
	client.Text("hello")
	client.ExpectText("hello")
	client.Raw(conntest.CloseFrame(1000, ""))
	client.Closed()
	over := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	res, err := over.Get("http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if !strings.Contains(string(page), "<html") || err != nil {
		t.Errorf("the page is %.100q, %v", page, err)
	}
	for addr, say := range map[string]string{"unix:" + path: "another process listens there", "unix:" + t.TempDir(): "remove the file"} {
		var stderr strings.Builder
		if code := run([]string{"--listen", addr}, io.Discard, &stderr, nil); code != exitFailure || !strings.Contains(stderr.String(), say) {
			t.Errorf("%s: exit code %d, %s", addr, code, stderr.String())
		}
	}
	c.signals <- syscall.SIGTERM
	if code := <-c.code; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	c.rest()
}

// TestReusePort starts a second command on the port of the first, and stops the first.
func TestReusePort(t *testing.T) {
	first := execute(t, "--reuseport", "--drain-time", "300ms", "--drain-code", "1012")
	client := conntest.Dial(t, first.addr, "/ws")
	second := executeOn(t, first.addr, "--reuseport")
	first.signals <- syscall.SIGTERM
	if code := client.Closed(); code != 1012 {
		t.Errorf("closed with %d, want 1012", code)
	}
	_ = client.Close()
	if code := <-first.code; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if log := first.rest(); !strings.Contains(log, "msg=draining") {
		t.Errorf("no progress in the log:\n%s", log)
	}
	client = conntest.Dial(t, second.addr, "/ws")
	_ = client.Close()
	second.signals <- syscall.SIGTERM
	<-second.code
	second.rest()
}

// activatedEnv makes the test binary the command, as a socket unit would start it.
const activatedEnv = "ROOST_TEST_ACTIVATED"

func activated() int {
	// Only now the number is known that systemd would have set.
	_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM)
	return run(strings.Fields(os.Getenv(activatedEnv)), os.Stdout, os.Stderr, signals)
}

func TestSocketActivation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var files []*os.File
	var addrs []string
	for _, l := range []struct{ network, addr string }{{"tcp", "127.0.0.1:0"}, {"unix", path}} {
		listener, err := net.Listen(l.network, l.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		f, err := listener.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		files = append(files, f)
		addrs = append(addrs, strings.TrimPrefix(l.network+":", "tcp:")+listener.Addr().String())
	}
	start := func(args string, files []*os.File) (cmd *exec.Cmd, log *bufio.Scanner) {
		t.Helper()
		cmd = exec.Command(os.Args[0])
		cmd.ExtraFiles = files
		cmd.Env = append(os.Environ(), activatedEnv+"="+args, fmt.Sprint("LISTEN_FDS=", len(files)), "LISTEN_FDNAMES=web:local")
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, bufio.NewScanner(stderr)
	}
	finish := func(cmd *exec.Cmd, log *bufio.Scanner) (code int, rest string) {
		for log.Scan() {
			rest += log.Text() + "\n"
		}
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode(), rest
	}

	for range 2 { // the sockets survive the first
		cmd, log := start("--listen systemd:local,systemd", files)
		for _, addr := range addrs { // before or after it has started
			client := conntest.Dial(t, addr, "/ws")
			client.Text("hello")
			client.ExpectText("hello")
			_ = client.Close()
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if code, rest := finish(cmd, log); code != exitOK || !strings.Contains(rest, "unix:"+path) {
			t.Errorf("exit code %d\n%s", code, rest)
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, c := range []struct {
		args  string
		files []*os.File
		say   string
	}{
		{"--listen systemd", nil, "start it by a systemd socket unit"},
		{"--listen systemd:api", files, `are \"web\", \"local\"`},
		{"--listen systemd", []*os.File{files[0], null}, "descriptor 4, local"},
	} {
		cmd, log := start(c.args, c.files)
		if code, rest := finish(cmd, log); code != exitFailure || !strings.Contains(rest, c.say) {
			t.Errorf("%s: exit code %d, no %s in\n%s", c.args, code, c.say, rest)
		}
	}
	// Sockets that nobody wants are worth a word.
	cmd, log := start("--listen 127.0.0.1:0", files)
	for log.Scan() && !strings.Contains(log.Text(), "nobody listens on") {
	}
	if !strings.Contains(log.Text(), "sockets=2") {
		t.Errorf("the last line is %s", log.Text())
	}
	_ = cmd.Process.Kill()
	finish(cmd, log)
}

// TestTooManySocketsAreIgnored, and nothing is made for each of them.
func TestTooManySocketsAreIgnored(t *testing.T) {
	t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("LISTEN_FDS", "1000000000000000000")
	var stderr strings.Builder
	if code := run([]string{"--listen", "systemd", "--admin="}, io.Discard, &stderr, nil); code != exitFailure ||
		!strings.Contains(stderr.String(), "LISTEN_FDS is out of range") || !strings.Contains(stderr.String(), "start it by a systemd socket unit") {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}
