//go:build linux

package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/handshake"
)

// standing is a clock that tests move by hand.
type standing struct{ now atomic.Int64 }

func (c *standing) pass(d time.Duration) { c.now.Add(int64(d)) }

// prepare makes a server whose limits per second go by a standing clock.
func prepare(t *testing.T, config Config) (*Server, *standing) {
	t.Helper()
	config.Listen = []string{"127.0.0.1:0"}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Handler == nil {
		config.Handler = Echo()
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	c := new(standing)
	s.clock = func() time.Duration { return time.Hour + time.Duration(c.now.Load()) }
	return s, c
}

func run(t *testing.T, s *Server) (addr string) {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.Addrs()[0].String()
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(conntest.Patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not true: %s", what)
		}
	}
}

// knock opens a connection and asks for a WebSocket.
func knock(t *testing.T, source, addr string, headers ...string) *conntest.Client {
	t.Helper()
	c := conntest.ConnectFrom(t, source, addr)
	c.Raw([]byte(conntest.Request(addr, "/ws", headers...)))
	return c
}

// turnedAway reads an answer that must be whole and ask to come back.
func turnedAway(t *testing.T, c *conntest.Client, status int) {
	t.Helper()
	res := c.Response()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != status || res.Header.Get("Retry-After") == "" || err != nil || len(body) == 0 {
		t.Fatalf("answered %s %v %q %v, want %d", res.Status, res.Header, body, err, status)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("behind the answer: %v, want the end", err)
	}
}

func ended(s *Server, r conn.Reason) uint64 { return s.group.Stats.Ended[r].Load() }

func TestAcceptRate(t *testing.T) {
	s, clock := prepare(t, Config{Limits: Limits{AcceptRate: 3}})
	addr := run(t, s)
	for range 2 {
		knock(t, "127.0.0.1", addr).Accepted()
	}
	third, fourth := knock(t, "127.0.0.1", addr), knock(t, "127.0.0.1", addr)
	third.Accepted()
	eventually(t, "accepting waits", func() bool { return s.Stats().AcceptWaits > 0 })
	if n := s.Stats().Accepted; n != 3 {
		t.Errorf("%d accepted within the second, want 3", n)
	}
	clock.pass(time.Second/3 + 1)
	fourth.Accepted()
	fifth := knock(t, "127.0.0.1", addr)
	waits := s.Stats().AcceptWaits
	eventually(t, "the timer comes again and again", func() bool { return s.Stats().AcceptWaits > waits+1 })
	if n := s.Stats().Accepted; n != 4 {
		t.Errorf("%d accepted, want 4", n)
	}
	if err := s.Reload(Limits{}); err != nil {
		t.Fatal(err)
	}
	fifth.Accepted()
}

func TestAcceptRatePerIP(t *testing.T) {
	s, clock := prepare(t, Config{Limits: Limits{AcceptRatePerIP: 2}})
	addr := run(t, s)
	knock(t, "127.0.0.1", addr).Accepted()
	knock(t, "127.0.0.1", addr).Accepted()
	turnedAway(t, knock(t, "127.0.0.1", addr), 429)
	turnedAway(t, conntest.ConnectFrom(t, "127.0.0.1", addr), 429) // the answer does not wait for a request
	knock(t, "127.0.0.2", addr).Accepted()
	clock.pass(time.Second / 2)
	knock(t, "127.0.0.1", addr).Accepted()
	third := knock(t, "127.0.0.1", addr)
	turnedAway(t, third, 429)
	_ = third.Close()
	eventually(t, "it is counted", func() bool { return ended(s, conn.ReasonAcceptRatePerIP) == 1 })
}

func TestMaxConnsPerIP(t *testing.T) {
	s, _ := prepare(t, Config{Limits: Limits{MaxConnsPerIP: 2}})
	addr := run(t, s)
	silent := conntest.ConnectFrom(t, "127.0.0.1", addr) // counts as well
	knock(t, "127.0.0.1", addr).Accepted()
	turnedAway(t, knock(t, "127.0.0.1", addr), 503)
	knock(t, "127.0.0.2", addr).Accepted()
	_ = silent.Close()
	eventually(t, "it has left", func() bool { return ended(s, conn.ReasonHandshakeAbandoned) == 1 })
	again := knock(t, "127.0.0.1", addr)
	again.Accepted()
	turnedAway(t, knock(t, "127.0.0.1", addr), 503)
	// Whoever goes on to net/http counts as long as it takes to find out.
	_ = again.Close()
	eventually(t, "it has left", func() bool { return ended(s, conn.ReasonPeerGone) == 1 })
	page := conntest.ConnectFrom(t, "127.0.0.1", addr)
	page.Raw([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if res := page.Response(); res.StatusCode != 404 {
		t.Errorf("GET /: %s", res.Status)
	} else if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Error(err)
	}
	eventually(t, "it is not counted", func() bool { return ended(s, conn.ReasonHandedOff) == 1 && s.clients.visitors.size() == 2 })
	knock(t, "127.0.0.1", addr).Accepted()
	page.Raw([]byte(conntest.Request(addr, "/ws"))) // and again when it comes back
	turnedAway(t, page, 503)
}

// TestRefusedOnesAreBounded has more refused clients than may wait for their end. All
// of them get the answer, and nothing is left of them.
func TestRefusedOnesAreBounded(t *testing.T) {
	s, _ := prepare(t, Config{Limits: Limits{MaxConnsPerIP: 1}, CloseTimeout: -1})
	addr := run(t, s)
	first := conntest.ConnectFrom(t, "127.0.0.1", addr)
	eventually(t, "it is in", func() bool { return s.hub.Len() == 1 })
	var all []*conntest.Client
	for range turnedMost + 20 {
		c := conntest.ConnectFrom(t, "127.0.0.1", addr)
		all = append(all, c)
		turnedAway(t, c, 503)
	}
	if n := s.clients.turned.Load(); n != turnedMost {
		t.Errorf("%d wait for their end, want %d", n, turnedMost)
	}
	for _, c := range append(all, first) {
		_ = c.Close()
	}
	eventually(t, "all are gone", func() bool {
		return s.hub.Len() == 0 && s.clients.turned.Load() == 0 && s.clients.visitors.size() == 0
	})
	if n := ended(s, conn.ReasonMaxConnsPerIP); n != turnedMost+20 {
		t.Errorf("%d counted, want %d", n, turnedMost+20)
	}
}

func TestRefusedOnesHaveADeadline(t *testing.T) {
	s, _ := prepare(t, Config{Limits: Limits{MaxConnsPerIP: 1}, CloseTimeout: 50 * time.Millisecond})
	addr := run(t, s)
	knock(t, "127.0.0.1", addr).Accepted()
	turnedAway(t, knock(t, "127.0.0.1", addr), 503)
	eventually(t, "it is gone although it did not close", func() bool { return ended(s, conn.ReasonMaxConnsPerIP) == 1 })
}

// TestManyAddresses has a thousand clients from as many addresses.
func TestManyAddresses(t *testing.T) {
	s, _ := prepare(t, Config{Limits: Limits{MaxConnsPerIP: 1, AcceptRatePerIP: 1}})
	addr := run(t, s)
	for i := range 1000 {
		source := fmt.Sprintf("127.1.%d.%d", i/250, i%250+1)
		c := conntest.ConnectFrom(t, source, addr)
		if i%100 == 0 {
			c.Raw([]byte(conntest.Request(addr, "/ws")))
			c.Accepted()
			second := knock(t, source, addr)
			turnedAway(t, second, 503)
			_ = second.Close() // else it has until CloseTimeout
		}
		_ = c.Close()
	}
	eventually(t, "all have come, and left", func() bool {
		left := uint64(0)
		for _, n := range s.Stats().Ended {
			left += n
		}
		return left == 1000+10
	})
	if n := s.clients.visitors.size(); n != 1000 {
		t.Errorf("%d addresses are known in the same second", n)
	}
	if n := ended(s, conn.ReasonMaxConnsPerIP); n != 10 {
		t.Errorf("%d refused, want 10", n)
	}
}

func TestMessageRate(t *testing.T) {
	s, clock := prepare(t, Config{Limits: Limits{MessageRate: 3}})
	addr := run(t, s)
	burst := func(c *conntest.Client, n int) {
		t.Helper()
		var b []byte
		for i := range n {
			b = append(b, conntest.Frame(true, ws.OpText, fmt.Sprint(i))...)
		}
		c.Raw(b)
	}
	for round := range uint64(2) { // the second client has the place of the first
		c := conntest.Dial(t, addr, "/ws")
		burst(c, 3)
		for i := range 3 {
			c.ExpectText(fmt.Sprint(i))
		}
		c.Send(ws.OpPing, "is no message")
		c.Expect(ws.OpPong, "is no message")
		clock.pass(time.Second)
		burst(c, 5)
		for i := range 3 { // nothing before the fourth is lost
			c.ExpectText(fmt.Sprint(i))
		}
		if code := c.Closed(); code != ws.StatusPolicyViolation {
			t.Errorf("closed with %d, want 1008", code)
		}
		_ = c.Close()
		eventually(t, "it is counted", func() bool { return ended(s, conn.ReasonMessageRate) == round+1 && s.hub.Len() == 0 })
	}
	if err := s.Reload(Limits{}); err != nil {
		t.Fatal(err)
	}
	c := conntest.Dial(t, addr, "/ws")
	burst(c, 100)
	for i := range 100 {
		c.ExpectText(fmt.Sprint(i))
	}
	if err := s.Reload(Limits{MessageRate: 1}); err != nil { // for one that is there
		t.Fatal(err)
	}
	burst(c, 2)
	c.ExpectText("0")
	if code := c.Closed(); code != ws.StatusPolicyViolation {
		t.Errorf("closed with %d, want 1008", code)
	}
}

// TestHandshakeFlood opens as many connections as may be without a request, and then
// more: the oldest go, until nine tenths are left.
func TestHandshakeFlood(t *testing.T) {
	s, _ := prepare(t, Config{Limits: Limits{MaxHandshakes: 20}})
	addr := run(t, s)
	var all []*conntest.Client
	open := func(n int64) {
		t.Helper()
		all = append(all, conntest.Connect(t, addr))
		eventually(t, "it is in", func() bool { return s.group.Stats.Handshaking.Load() == n })
		// Ages differ by a millisecond or more.
		accepted := time.Now()
		eventually(t, "time passes", func() bool {
			now := time.Now()
			s.group.Tick(now)
			return now.Sub(accepted) >= 2*time.Millisecond
		})
	}
	for i := range int64(19) {
		open(i + 1)
	}
	knock(t, "127.0.0.1", addr).Accepted() // who has sent a request does not count
	open(20)
	all = append(all, conntest.Connect(t, addr))
	eventually(t, "nine tenths are left", func() bool { return s.group.Stats.Handshaking.Load() == 18 })
	eventually(t, "the others are counted", func() bool { return ended(s, conn.ReasonHandshakeFlood) == 3 })
	for i, c := range all {
		if i >= 3 {
			c.Raw([]byte(conntest.Request(addr, "/ws")))
			c.Accepted()
		} else if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%d bytes for connection %d, which should be cut off", n, i)
		}
	}
}

// TestFloodersDoNotKeepOthersOut has attackers who open connections as fast as they can
// and say nothing.
func TestFloodersDoNotKeepOthersOut(t *testing.T) {
	s, _ := prepare(t, Config{Limits: Limits{MaxHandshakes: 500}, HandshakeTimeout: -1})
	addr := run(t, s)
	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	for range 2 {
		wg.Go(func() {
			var held []*conntest.Client
			for !stop.Load() {
				held = append(held, conntest.Connect(t, addr))
				if len(held) == 2000 {
					for _, c := range held {
						_ = c.Close()
					}
					held = held[:0]
				}
			}
		})
	}
	eventually(t, "the flood is there", func() bool { return ended(s, conn.ReasonHandshakeFlood) > 100 })
	for range 100 {
		c := conntest.Dial(t, addr, "/ws")
		c.Text("good")
		c.ExpectText("good")
		_ = c.Close()
	}
}

// TestSilentOnesMakeRoom fills the server with connections that say nothing, without a
// limit on those.
func TestSilentOnesMakeRoom(t *testing.T) {
	s, _ := prepare(t, Config{Limits: Limits{MaxConns: 1, MaxHandshakes: -1}, HandshakeTimeout: -1})
	addr := run(t, s)
	for range refusals + 1 {
		conntest.Connect(t, addr)
	}
	knock(t, "127.0.0.1", addr).Accepted()
	if n := ended(s, conn.ReasonHandshakeFlood); n == 0 {
		t.Error("nobody had to make room")
	}
	turnedAway(t, knock(t, "127.0.0.1", addr), 503)
}

// TestNobodyToMakeRoom has a full server in which nobody is without a request: it does
// not look at all connections for one, however often it is asked.
func TestNobodyToMakeRoom(t *testing.T) {
	s, _ := prepare(t, Config{})
	var looks atomic.Int64
	s.shedder.silent.held = func(*conn.Conn) (int, bool) { looks.Add(1); return 0, false }
	addr := run(t, s)
	conntest.Dial(t, addr, "/ws")
	eventually(t, "the request has come", func() bool { return s.group.Stats.Handshaking.Load() == 0 })
	s.shedder.makeRoom()
	eventually(t, "the sweeper knows", func() bool { return !s.shedder.crowded.Load() })
	if err := s.Close(); err != nil { // the sweeper has ended
		t.Error(err)
	}
	if n := looks.Load(); n != 0 {
		t.Errorf("%d connections were looked at", n)
	}
}

// often is how often the sweeper ticks in these tests, with deadlines that nobody misses.
const often = 5 * time.Millisecond

// TestMaxMemory leads the memory of the process through all states.
func TestMaxMemory(t *testing.T) {
	const limit = 100 << 20
	s, _ := prepare(t, Config{Limits: Limits{MaxMemory: limit}})
	s.sweeper.slowest, s.memory.every = often, often
	var used, looks, collections atomic.Int64
	s.memory.measure = func() (int64, error) { looks.Add(1); return used.Load() * limit / 100, nil }
	s.memory.collect = func() { collections.Add(1) }
	addr := run(t, s)
	at := func(percent int64) {
		t.Helper()
		used.Store(percent)
		before := looks.Load()
		eventually(t, "memory is looked at", func() bool { return looks.Load() >= before+2 })
	}
	at(89)
	if err := s.Ready(); err != nil {
		t.Errorf("not ready at 89 %%: %v", err)
	}
	inside := conntest.Dial(t, addr, "/ws")
	at(90)
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "--max-memory") {
		t.Errorf("at 90 %%: %v", err)
	}
	if collections.Load() == 0 {
		t.Error("nothing was collected at 90 %")
	}
	outside := knock(t, "127.0.0.1", addr)
	inside.Text("as before")
	inside.ExpectText("as before")
	at(86)
	if s.Ready() == nil || s.Stats().Accepted != 1 || s.Stats().MemoryPauses != 1 {
		t.Error("accepting at 86 %")
	}
	at(84)
	outside.Accepted()
	if err := s.Ready(); err != nil {
		t.Errorf("at 84 %%: %v", err)
	}
	at(99) // nobody has a queue: nobody can be closed
	if n := s.Clients(); n != 2 {
		t.Errorf("%d clients are left, want 2", n)
	}
	if err := s.Reload(Limits{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "without a limit there is none", func() bool { return s.Ready() == nil })
}

// TestShedForMemory has slow clients in a process that is short of memory. Garbage must
// not cost them their connection; what waits for them does, the longest queue first.
func TestShedForMemory(t *testing.T) {
	const limit, kib = 64 << 20, 1 << 10
	type end struct {
		*conn.Conn
		*conntest.Client
	}
	opened := make(chan *conn.Conn, 10)
	s, _ := prepare(t, Config{Handler: opener(opened), Limits: Limits{MaxMemory: limit}, PingInterval: -1, CloseTimeout: -1,
		WriteQueueBytes: 8 << 20, WriteQueueFrames: -1})
	s.sweeper.slowest, s.memory.every = often, often
	var base, garbage, looks atomic.Int64
	s.memory.measure = func() (int64, error) {
		looks.Add(1)
		return base.Load() + garbage.Load() + s.group.Stats.WriteQueued.Load(), nil
	}
	s.memory.collect = func() { garbage.Store(0) }
	addr := run(t, s)
	var slow []end
	for _, n := range []int{1000, 3000, 2000, 500} {
		c := conntest.DialNarrow(t, addr, "/ws", 16<<10)
		e := end{<-opened, c}
		for e.WriteQueued() < n*kib {
			if err := e.Conn.Send(frame.Prepare(frame.Binary, make([]byte, 4*kib))); err != nil {
				t.Fatal(err)
			}
		}
		slow = append(slow, e)
	}
	queued := s.group.Stats.WriteQueued.Load()
	garbage.Store(limit)
	before := looks.Load()
	eventually(t, "memory is looked at", func() bool { return looks.Load() >= before+3 })
	if n := s.Clients(); n != 4 {
		t.Fatalf("garbage has cost somebody the connection: %d clients", n)
	}
	// 96 %: about 4,000 KiB have to go, which is the longest queue and the next.
	base.Store(limit*96/100 - queued)
	eventually(t, "two are shed", func() bool { return s.Clients() == 2 })
	before = looks.Load()
	eventually(t, "memory is looked at", func() bool { return looks.Load() >= before+2 })
	for i, e := range slow {
		if open := e.State() == conn.StateOpen; open != (i == 0 || i == 3) {
			t.Errorf("client %d is %v", i, e.State())
		}
		_ = e.Client.Close()
	}
	eventually(t, "it is counted", func() bool { return s.hub.Len() == 0 && ended(s, conn.ReasonMaxMemory) == 2 })
}

// opener is a Handler that tells of those that open.
type opener chan *conn.Conn

func (o opener) OnOpen(c *conn.Conn, _ *handshake.Request)       { o <- c }
func (opener) OnMessage(c *conn.Conn, op frame.Opcode, b []byte) { _ = c.Write(op, b) }
func (opener) OnClose(*conn.Conn, conn.CloseInfo)                {}

func TestMemoryCannotBeMeasured(t *testing.T) {
	var log strings.Builder
	s, _ := prepare(t, Config{Limits: Limits{MaxMemory: leastMemory}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	var looks atomic.Int64
	s.sweeper.slowest, s.memory.every = often, often
	s.memory.measure = func() (int64, error) { looks.Add(1); return 0, errors.New("no /proc") }
	run(t, s)
	eventually(t, "memory is looked at", func() bool { return looks.Load() > 1 })
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
	_ = s.Close()
	if n := strings.Count(log.String(), "--max-memory has no effect"); n != 1 {
		t.Errorf("told %d times: %s", n, &log)
	}
}

// TestReload is before, while and after a server runs: all or nothing.
func TestReload(t *testing.T) {
	s, _ := prepare(t, Config{Subprotocols: []string{"a", "b"}, Limits: Limits{MaxConns: 2}})
	err := s.Reload(Limits{MaxConns: -1, MaxConnsPerIP: -1, AcceptRate: -1, AcceptRatePerIP: 2_000_000, MessageRate: -1,
		MaxHandshakes: 1<<30 + 1, MaxMemory: 1, Origins: []string{"a b"}})
	for _, part := range []string{"max connections:", "max connections per IP", "accept rate:", "accept rate per IP", "message rate",
		"max handshakes", "max memory", "a b"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not reported: %v", part, err)
		}
	}
	want := Limits{MaxConns: 2, MaxHandshakes: 16384}
	if got := s.Settings().Limits; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v after a refused reload, want %+v", got, want)
	}
	want = Limits{MaxConns: 3, MaxConnsPerIP: 9, AcceptRate: 1000, AcceptRatePerIP: 1000, MessageRate: 100, MaxHandshakes: -1,
		MaxMemory: 1 << 40, Origins: []string{"https://one.example"}}
	if err := s.Reload(want); err != nil {
		t.Fatal(err)
	}
	if got := s.Settings().Limits; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v in force, want %+v", got, want)
	}
	addr := run(t, s)
	origin := func(name string, status int) {
		t.Helper()
		c := knock(t, "127.0.0.1", addr, "Origin: "+name)
		if got := c.Response().StatusCode; got != status {
			t.Errorf("%s: %d, want %d", name, got, status)
		}
		_ = c.Close()
	}
	origin("https://one.example", 101)
	origin("https://two.example", 403)
	eventually(t, "they have left", func() bool { return s.hub.Len() == 0 })
	if err := s.Reload(Limits{MaxConns: 3, Origins: []string{"https://two.example"}}); err != nil {
		t.Fatal(err)
	}
	origin("https://one.example", 403)
	origin("https://two.example", 101)
	eventually(t, "they have left", func() bool { return s.hub.Len() == 0 })
	var all []*conntest.Client
	for range 3 {
		c := knock(t, "127.0.0.1", addr, "Sec-WebSocket-Protocol: b")
		c.Accepted()
		all = append(all, c)
	}
	if err := s.Reload(Limits{MaxConns: 1}); err != nil {
		t.Fatal(err)
	}
	turnedAway(t, knock(t, "127.0.0.1", addr), 503)
	for i, c := range all {
		c.Text("still here")
		c.ExpectText("still here")
		_ = c.Close()
		eventually(t, "it has left", func() bool { return s.Clients() == 2-i })
	}
	knock(t, "127.0.0.1", addr).Accepted()
	_ = s.Close()
	if err := s.Reload(Limits{MaxConns: 7}); err != nil || s.Settings().MaxConns != 7 {
		t.Errorf("after the end: %v, %d", err, s.Settings().MaxConns)
	}
}

// TestReloadFarBelow lowers a limit to less than what is open by more than the place there
// is for refusals: the next are refused, and do not wait.
func TestReloadFarBelow(t *testing.T) {
	s, _ := prepare(t, Config{})
	addr := run(t, s)
	for range refusals + 10 {
		conntest.Dial(t, addr, "/ws")
	}
	if err := s.Reload(Limits{MaxConns: 1}); err != nil {
		t.Fatal(err)
	}
	turnedAway(t, knock(t, "127.0.0.1", addr), 503)
	if n := s.Clients(); n != refusals+10 {
		t.Errorf("%d clients are left", n)
	}
}

// TestReloadUnderLoad changes everything while clients come, talk and go.
func TestReloadUnderLoad(t *testing.T) {
	s, _ := prepare(t, Config{Subprotocols: []string{"a", "b"}})
	addr := run(t, s)
	var wg sync.WaitGroup
	var stop atomic.Bool
	for i := range 2 {
		wg.Go(func() {
			for !stop.Load() {
				// None of these stands in the way of so few clients.
				l := Limits{MaxConns: 1000, MaxConnsPerIP: 1000, AcceptRate: 1_000_000, AcceptRatePerIP: 1_000_000, MessageRate: 1_000_000,
					MaxHandshakes: 1000, MaxMemory: 1 << 40, Origins: []string{"https://" + fmt.Sprint(i)}}
				if err := s.Reload(l); err != nil {
					t.Error(err)
				}
				if err := s.Reload(Limits{Origins: []string{"https://" + fmt.Sprint(i)}}); err != nil {
					t.Error(err)
				}
				_ = s.Settings()
				_ = s.Ready()
			}
		})
	}
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 100 {
				c := conntest.Dial(t, addr, "/ws", "Sec-WebSocket-Protocol: b")
				c.Text("hello")
				c.ExpectText("hello")
				c.Raw(conntest.CloseFrame(1000, ""))
				if code := c.Closed(); code != 1000 {
					t.Errorf("closed with %d", code)
				}
				_ = c.Close()
			}
		})
	}
	clients.Wait()
	stop.Store(true)
	wg.Wait()
	eventually(t, "all have left", func() bool { return s.hub.Len() == 0 })
	_ = s.Close()
	s.clients.visitors.sweepAll(s.clock() + time.Hour)
	if n := s.clients.visitors.size(); n != 0 {
		t.Errorf("%d addresses are counted when nobody is there", n)
	}
}
