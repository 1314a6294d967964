package fleet_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"go.uber.org/goleak"

	"roost/bench"
	"roost/bench/fleet"
	"roost/bench/scenario"
)

// Variables that make the test program something else: a worker, or a server
// that listens at the address.
const (
	workerVariable = "ROOST_BENCH_TEST_WORKER"
	serverVariable = "ROOST_BENCH_TEST_SERVER"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(workerVariable) != "":
		if err := fleet.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case os.Getenv(serverVariable) != "":
		l, err := net.Listen("tcp", os.Getenv(serverVariable))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		(&server{listener: l}).accept()
	default:
		goleak.VerifyTestMain(m)
	}
}

// server broadcasts every binary message to everyone, in one order, with faults
// to inject. It answers pings and close frames.
type server struct {
	echo bool // a message goes back to its sender only
	// silent leaves requests unanswered.
	silent bool
	// deliver, when set, says what is written for the delivery of payload to
	// connection n, whose k-th delivery it is, both from 0.
	deliver func(n, k int, payload []byte) [][]byte

	url      string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	peers []*peer
	texts []string
}

type peer struct {
	n, delivered int
	conn         net.Conn
}

func (s *server) start(t *testing.T) *server {
	t.Helper()
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.url = "ws://" + s.listener.Addr().String() + "/"
	s.wg.Go(s.accept)
	t.Cleanup(s.stop)
	return s
}

// stop waits until every connection has ended.
func (s *server) stop() {
	s.listener.Close()
	s.wg.Wait()
}

func (s *server) accept() {
	for n := 0; ; n++ {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer c.Close()
			s.serve(&peer{n: n, conn: c})
		})
	}
}

func (s *server) serve(p *peer) {
	if s.silent {
		io.Copy(io.Discard, p.conn)
		return
	}
	// Joined before the answer is out, so that no message is missed.
	s.mu.Lock()
	s.peers = append(s.peers, p)
	_, err := ws.Upgrade(p.conn)
	s.mu.Unlock()
	if err != nil {
		return
	}
	for {
		payload, op, err := wsutil.ReadClientData(&locked{s, p.conn})
		if err != nil {
			return
		}
		s.receive(p, op, payload)
	}
}

// locked writes answers to pings and close frames between the deliveries.
type locked struct {
	s *server
	net.Conn
}

func (l *locked) Write(b []byte) (int, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.Conn.Write(b)
}

func (s *server) receive(p *peer, op ws.OpCode, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op == ws.OpText {
		s.texts = append(s.texts, string(payload))
		return
	}
	to := s.peers
	if s.echo {
		to = []*peer{p}
	}
	for _, p := range to {
		payloads := [][]byte{payload}
		if s.deliver != nil {
			payloads = s.deliver(p.n, p.delivered, payload)
		}
		p.delivered++
		for _, b := range payloads {
			s.write(p, b)
		}
	}
}

func (s *server) write(p *peer, payload []byte) { wsutil.WriteServerBinary(p.conn, payload) }

// workers makes worker processes and remembers them.
type workers struct{ all []*exec.Cmd }

func (w *workers) make() *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), workerVariable+"=1", "GORACE=atexit_sleep_ms=0") // else a second each with -race
	w.all = append(w.all, cmd)
	return cmd
}

// gone checks that every one has ended and been waited for.
func (w *workers) gone(t *testing.T, started int) {
	t.Helper()
	if len(w.all) != started {
		t.Errorf("%d processes started, want %d", len(w.all), started)
	}
	for _, cmd := range w.all {
		if cmd.ProcessState == nil {
			t.Errorf("process %d is still there", cmd.Process.Pid)
		}
	}
}

// order is a load of a server that answers; its timeouts only end a test of
// broken code.
func order(t *testing.T, url, name string, processes int, opt scenario.Options) (fleet.Order, *workers) {
	t.Helper()
	spec, err := scenario.Preset(name, opt)
	if err != nil {
		t.Fatal(err)
	}
	w := new(workers)
	return fleet.Order{
		Config: bench.Config{URLs: []string{url}, Timeout: time.Minute, CloseTimeout: 20 * time.Second},
		Spec:   spec, Processes: processes, Worker: w.make,
	}, w
}

func run(t *testing.T, o fleet.Order) *bench.Result {
	t.Helper()
	r, err := fleet.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func passed(t *testing.T, r *bench.Result) {
	t.Helper()
	if !r.Passed() {
		t.Fatalf("failed: %q, failures %+v", r.Problems, r.Failures)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
