//go:build linux

package server_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/server"
)

// childEnv makes this test program a server: its value is the most descriptors it
// may have, 0 for as many as there are. It ends when its standard input does.
const childEnv = "ROOST_TEST_CHILD_DESCRIPTORS"

// child is what the child process does. It says where it listens, and at the end
// what it has counted.
func child() int {
	if n, _ := strconv.ParseUint(os.Getenv(childEnv), 10, 64); n > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	srv, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Handler: server.Echo(),
		PingInterval: -1, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(srv.Addrs()[0])
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = srv.Close() // counts what is in the middle of its end
	if err := json.NewEncoder(os.Stdout).Encode(srv.Stats()); err != nil {
		return 1
	}
	return 0
}

// process is a running child.
type process struct {
	addr string
	log  *conntest.Log
	pid  int
	stop func() server.Stats // once
}

func startChild(t *testing.T, descriptors int, env ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, fmt.Sprintf("%s=%d", childEnv, descriptors))...)
	log := new(conntest.Log)
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // the second time after stop
	})
	r := bufio.NewReader(out)
	addr, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("the child does not start: %v\n%s", err, log)
	}
	return &process{addr: strings.TrimSpace(addr), log: log, pid: cmd.Process.Pid, stop: func() (st server.Stats) {
		_ = in.Close()
		if err := json.NewDecoder(r).Decode(&st); err != nil {
			t.Errorf("no counters from the child: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child: %v\n%s", err, log)
		}
		return st
	}}
}

// TestOutOfDescriptors has more clients than the server's process has descriptors.
func TestOutOfDescriptors(t *testing.T) {
	const limit, most = 128, 160
	p := startChild(t, limit)
	var clients []*conntest.Client
	for range most {
		c := conntest.Connect(t, p.addr)
		c.Raw([]byte(conntest.Request(p.addr, "/ws")))
		clients = append(clients, c)
	}
	first, last := clients[:limit/2], clients[limit/2:]
	for _, c := range first {
		c.Accepted()
	}
	eventually(t, "accepting pauses", func() bool { return strings.Contains(p.log.String(), "accepting pauses") })
	for _, c := range first {
		c.Text("served as before")
		c.ExpectText("served as before")
		_ = c.Close()
	}
	for _, c := range last {
		c.Accepted()
		c.Text("served now")
		c.ExpectText("served now")
	}
	eventually(t, "accepting goes on", func() bool { return strings.Contains(p.log.String(), "accepting again") })
	if st := p.stop(); st.AcceptPauses != 1 || st.Opened != most {
		t.Errorf("%d pauses for one incident, %d clients; want 1 and %d", st.AcceptPauses, st.Opened, most)
	}
	if s := p.log.String(); strings.Count(s, "accepting pauses") != 1 || !strings.Contains(s, "ulimit -n") {
		t.Errorf("the log should say it once, with a remedy:\n%s", s)
	}
}

// TestLowMemory has clients begin messages of more bytes altogether than the server
// may use. It has to close some and serve the others.
func TestLowMemory(t *testing.T) {
	const clients, limit, message = 300, 64 << 20, 1 << 20
	p := startChild(t, 0, "GOMEMLIMIT="+strconv.Itoa(limit))
	payload := strings.Repeat("m", message)
	whole := conntest.Frame(true, ws.OpText, payload)
	half := len(whole) - 1000
	all := make([]*conntest.Client, clients)
	var wg sync.WaitGroup
	for i := range all {
		c := conntest.Dial(t, p.addr, "/ws")
		all[i] = c
		wg.Go(func() { _, _ = c.Write(whole[:half]) }) // fails for those that are closed
	}
	wg.Wait()
	late := conntest.Dial(t, p.addr, "/ws")
	late.Text("served as before")
	late.ExpectText("served as before")
	served, refused := 0, 0
	for _, c := range all {
		_, _ = c.Write(whole[half:])
		op, got, err := c.Next()
		switch {
		case err == nil && op == ws.OpText && string(got) == payload:
			served++
		case err == nil && op == ws.OpClose && binary.BigEndian.Uint16(got) == uint16(conn.StatusTryAgainLater),
			errors.Is(err, syscall.ECONNRESET): // it was sending
			refused++
		default:
			t.Errorf("got %v, %d bytes, %v", op, len(got), err)
		}
		_ = c.Close()
	}
	peak := peakMemory(t, p.pid)
	st := p.stop()
	t.Logf("%d served, %d refused, %d MiB at the peak", served, refused, peak>>20)
	// One that has its answer may be shed as well: its message was the one too many.
	counted := int(st.Ended[conn.ReasonReadBufferTotal])
	if served == 0 || refused == 0 || counted < refused || counted > refused+served {
		t.Errorf("%d served, %d refused, %d counted", served, refused, counted)
	}
	if !raceEnabled && peak > 2*limit {
		t.Errorf("%d bytes of memory at the peak, with a limit of %d", peak, limit)
	}
	if s := p.log.String(); !strings.Contains(s, "--read-buffer-total") || strings.Contains(s, "panic") {
		t.Errorf("the log:\n%s", s)
	}
}

// peakMemory is the largest resident set that a process has had, in bytes.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmHWM in %s", status)
	}
	kb, _ := strconv.Atoi(string(m[1]))
	return kb << 10
}

// reactorsOf returns the epoll descriptors that were opened since before, those
// that watch the descriptor with this number last.
func reactorsOf(t *testing.T, before []int, watched int) []int {
	t.Helper()
	var quiet, busy []int
	for _, fd := range epolls(t) {
		if slices.Contains(before, fd) {
			continue
		}
		info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(fmt.Sprintf(`(?m)^tfd:\s+%d `, watched)).Match(info) {
			busy = append(busy, fd)
		} else {
			quiet = append(quiet, fd)
		}
	}
	return append(quiet, busy...)
}

// epolls are the epoll descriptors of this process.
func epolls(t *testing.T) (fds []int) {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil && target == "anon_inode:[eventpoll]" {
			fd, _ := strconv.Atoi(filepath.Base(name))
			fds = append(fds, fd)
		}
	}
	return fds
}

// listener is the descriptor that listens on addr.
func listener(t *testing.T, addr string) int {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		fd, _ := strconv.Atoi(filepath.Base(name))
		if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
			continue
		}
		if sa, err := unix.Getsockname(fd); err == nil {
			if in4, ok := sa.(*unix.SockaddrInet4); ok && strings.HasSuffix(addr, ":"+strconv.Itoa(in4.Port)) {
				return fd
			}
		}
	}
	t.Fatal("nobody listens on " + addr)
	return -1
}

// inWait tells how many goroutines of this process are in epoll_wait(2). Go's own
// poller is none of them.
func inWait() int {
	all := make([]byte, 1<<20)
	all = all[:runtime.Stack(all, true)]
	n := 0
	for stack := range strings.SplitSeq(string(all), "\n\n") {
		if head, rest, _ := strings.Cut(stack, "\n"); strings.Contains(head, "[syscall") && strings.Contains(rest, "unix.EpollWait(") {
			n++
		}
	}
	return n
}

// sabotage puts /dev/null in the place of the epoll descriptor of one of so many
// reactors, when all of them wait: this call goes on, the next one fails. It returns
// what was there under another number.
func sabotage(t *testing.T, fd, reactors int) (saved int) {
	t.Helper()
	eventually(t, "the reactors wait", func() bool { return inWait() == reactors })
	saved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return saved
}

// TestEpollRefusesToWatch makes epoll_ctl fail for every second connection. Those
// are refused, the others served, and nothing is left over.
func TestEpollRefusesToWatch(t *testing.T) {
	before, log := epolls(t), new(conntest.Log)
	srv, addr := start(t, server.Config{Handler: server.Echo(), Reactors: 2, Log: slog.New(slog.NewTextHandler(log, nil))})
	reactors := reactorsOf(t, before, listener(t, addr))
	if len(reactors) != 2 {
		t.Fatalf("%d epoll descriptors, want 2", len(reactors))
	}
	saved := sabotage(t, reactors[0], len(reactors))
	const tries = 20
	for i := range tries {
		// One at a time, since reactors take turns, and the one that watches the
		// listener had its turn. The refusal does not wait for a request.
		refused, c := i%2 == 0, conntest.Connect(t, addr)
		eventually(t, "the connection is watched or refused", func() bool {
			st := srv.Stats()
			return !refused && st.Handshaking == 1 || st.Ended[conn.ReasonRegisterFailed] == uint64(i/2+1)
		})
		if refused {
			if res := c.Response(); res.StatusCode != 503 {
				t.Errorf("answered with %s, want 503", res.Status)
			}
		} else {
			c.Raw([]byte(conntest.Request(addr, "/ws")))
			c.Accepted()
			c.Text("watched")
			c.ExpectText("watched")
		}
		_ = c.Close()
		eventually(t, "it is forgotten", func() bool { return srv.Hub().Len() == 0 })
	}
	if err := unix.Dup3(saved, reactors[0], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(saved)
	if n := srv.Stats().Ended[conn.ReasonRegisterFailed]; n != tries/2 {
		t.Errorf("%d were refused, want %d", n, tries/2)
	}
	if s := log.String(); !strings.Contains(s, "max_user_watches") || strings.Count(s, "level=ERROR") != 1 {
		t.Errorf("the log:\n%s", s)
	}
	for range 4 {
		conntest.Dial(t, addr, "/ws")
	}
}

// TestReactorFails makes epoll_wait fail. The program has to be told, and Close
// must end the connections, although no reactor is left to wake anybody.
func TestReactorFails(t *testing.T) {
	before, log := epolls(t), new(conntest.Log)
	srv, addr := start(t, server.Config{Handler: server.Echo(), Reactors: 1, Log: slog.New(slog.NewTextHandler(log, nil))})
	c := conntest.Dial(t, addr, "/ws")
	c.Text("served as before")
	c.ExpectText("served as before")
	saved := sabotage(t, reactorsOf(t, before, listener(t, addr))[0], 1)
	defer unix.Close(saved)
	c.Text("the last event") // the wait that has begun sees it
	if err := <-srv.Failed(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("the program is told: %v", err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	c.Closed()
	if n := srv.Hub().Len(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	if s := log.String(); strings.Count(s, "a reactor has ended") != 1 {
		t.Errorf("the log:\n%s", s)
	}
}
