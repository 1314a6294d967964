//go:build linux

package conn

import (
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/poller"
)

type nobody struct{}

func (nobody) OnOpen(*Conn, *handshake.Request)      {}
func (nobody) OnMessage(*Conn, frame.Opcode, []byte) {}
func (nobody) OnClose(*Conn, CloseInfo)              {}

// TestProgressIsASignOfLife moves the clock by hand. A peer that is not read,
// because its answers wait, cannot be heard; what it acknowledges counts instead.
func TestProgressIsASignOfLife(t *testing.T) {
	start := time.Now()
	gone := make(chan struct{})
	g := NewGroup(Config{
		Handler: nobody{}, Log: slog.New(slog.DiscardHandler), PingInterval: time.Minute,
		Policy: &handshake.Policy{Path: "/", MaxHead: 8192, MaxHeaders: 100},
		Gone:   func(*Conn, bool) { close(gone) },
	})
	g.start = start
	p, err := poller.New(poller.Config{Reactors: 1, Workers: 1, Buffer: 16 << 10, NewScratch: NewScratch,
		OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()

	c, _, peer := connected(t, g, p)
	f := frame.Prepare(frame.Binary, make([]byte, 16<<10))
	queued := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.out == nil {
			return 0
		}
		return c.out.bytes
	}
	for queued() == 0 {
		if err := c.Send(f); err != nil {
			t.Fatal(err)
		}
	}

	g.Tick(start.Add(90 * time.Second))
	c.Sweep() // a ping joins the queue
	before := queued()
	buf := make([]byte, 64<<10)
	until(t, func() bool {
		_, _ = unix.Read(peer, buf) // EAGAIN when everything has been read
		return queued() < before
	})
	until(t, func() bool { return c.since.Load() == g.now.Load() })
	g.Tick(start.Add(150 * time.Second)) // more than two intervals since the peer last spoke
	c.Sweep()
	if st := c.State(); st != StateOpen {
		t.Fatalf("a peer that reads was cut off: %v", st)
	}
	g.Tick(start.Add(10 * time.Minute))
	c.Sweep() // a ping
	c.Sweep() // and no answer
	<-gone
	if n := g.Stats.Ended[ReasonPongTimeout].Load(); n != 1 {
		t.Errorf("%d pong timeouts, want 1", n)
	}
	if addr := c.PeerAddr(); addr.IsValid() {
		t.Errorf("a closed connection has the peer %v", addr)
	}
}

func until(t *testing.T, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

// TestResumeBeforeStart: the hub shows a connection to everybody before the poller
// knows it.
func TestResumeBeforeStart(t *testing.T) {
	g := NewGroup(Config{Handler: nobody{}, Log: slog.New(slog.DiscardHandler)})
	for _, failed := range []bool{false, true} {
		c := New(g)
		if failed {
			c.Abort(ReasonShutdown)
		}
		c.Pause()
		c.Resume()
	}
}

// TestPeerAddrBeforeStart: a connection that has no descriptor yet must not ask for
// the peer of number 0.
func TestPeerAddrBeforeStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tcp, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	f, err := tcp.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stdin, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = unix.Dup3(stdin, 0, 0)
		unix.Close(stdin)
	}()
	if err := unix.Dup3(int(f.Fd()), 0, 0); err != nil {
		t.Fatal(err)
	}
	g := NewGroup(Config{Handler: nobody{}, Log: slog.New(slog.DiscardHandler)})
	c := New(g)
	if addr := c.PeerAddr(); addr.IsValid() {
		t.Errorf("a new connection has the peer %v", addr)
	}
	if c.Abort(ReasonShutdown); c.PeerAddr().IsValid() {
		t.Errorf("a connection that failed before its start has the peer %v", c.PeerAddr())
	}
}

// TestAlarmFindsWhoRangIt: whoever is woken by Exceeded looks at once for those that
// keep most, and nothing rings again before something grows.
func TestAlarmFindsWhoRangIt(t *testing.T) {
	var c *Conn
	rang := 0
	g := NewGroup(Config{
		Handler: nobody{}, Log: slog.New(slog.DiscardHandler), ReadBufferTotal: 100,
		Exceeded: func() {
			rang++
			if c.kept == 0 {
				t.Error("the connection that rang keeps nothing yet")
			}
		},
	})
	c = New(g)
	c.in = new(inbound)
	c.settleInbound(5000)
	if c.forgetInbound(); rang != 1 || c.kept != 0 || g.Stats.ReadKept.Load() != 0 {
		t.Errorf("rang %d times, %d KiB and %d bytes are kept at the end", rang, c.kept, g.Stats.ReadKept.Load())
	}
}
