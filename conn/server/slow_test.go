//go:build linux

package server_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/conn/server"
)

// collector is a Handler that keeps what it is called with.
type collector struct {
	opened chan *conn.Conn
	mu     sync.Mutex
	closed map[*conn.Conn]conn.CloseInfo
}

func newCollector() *collector {
	return &collector{opened: make(chan *conn.Conn, 1000), closed: map[*conn.Conn]conn.CloseInfo{}}
}

func (h *collector) OnOpen(c *conn.Conn, _ *handshake.Request) { h.opened <- c }

func (h *collector) OnMessage(c *conn.Conn, op frame.Opcode, p []byte) { _ = c.Write(op, p) }

func (h *collector) OnClose(c *conn.Conn, info conn.CloseInfo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed[c] = info
}

func (h *collector) info(c *conn.Conn) (info conn.CloseInfo, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	info, ok = h.closed[c]
	return info, ok
}

// dial opens a client with a small receive buffer, and returns both ends.
func (h *collector) dial(t *testing.T, addr string) (*conntest.Client, *conn.Conn) {
	t.Helper()
	c := conntest.DialNarrow(t, addr, "/ws", 16<<10)
	return c, <-h.opened
}

// fill sends frames of 1 KiB to a client that does not read, until so many bytes wait.
func fill(t *testing.T, c *conn.Conn, bytes int, send func(*conn.Conn, []byte) error) {
	t.Helper()
	payload := make([]byte, 1<<10)
	for c.Backlog().Bytes < bytes {
		if err := send(c, payload); err != nil {
			t.Fatal(err)
		}
	}
}

func written(c *conn.Conn, p []byte) error { return c.Write(frame.Binary, p) }

func prepared(c *conn.Conn, p []byte) error { return c.Send(frame.Prepare(frame.Binary, p)) }

// nothingCounted expects that no bytes are counted when nobody is connected.
func nothingCounted(t *testing.T, srv *server.Server) {
	t.Helper()
	eventually(t, "everybody has left", func() bool { return srv.Hub().Len() == 0 })
	if st := srv.Stats(); st.WriteQueued != 0 || st.ReadKept != 0 {
		t.Errorf("nobody is connected, but %d bytes wait and %d are kept", st.WriteQueued, st.ReadKept)
	}
}

// TestSlowConsumerClose has one client that does not read. It must be closed, with
// the reason where operators look and the code where the client does, while another
// gets everything.
func TestSlowConsumerClose(t *testing.T) {
	h, log := newCollector(), new(conntest.Log)
	srv, addr := start(t, server.Config{Handler: h, WriteQueueFrames: 16, WriteQueueBytes: 64 << 10, CloseTimeout: -1, PingInterval: -1,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	slow, its := h.dial(t, addr)
	quick := conntest.Dial(t, addr, "/ws")
	payload := strings.Repeat("x", 8<<10)
	for its.State() == conn.StateOpen {
		if err := srv.Hub().BroadcastWait(context.Background(), frame.Prepare(frame.Text, []byte(payload))); err != nil {
			t.Fatal(err)
		}
		quick.ExpectText(payload) // the slow one cannot hold it up, and it is never outrun
	}
	if code := slow.Closed(); code != ws.StatusPolicyViolation { // whole frames before it, or Next would fail
		t.Errorf("closed with %d, want 1008", code)
	}
	_ = slow.Close()
	eventually(t, "OnClose is called", func() bool { _, ok := h.info(its); return ok })
	if info, _ := h.info(its); info.Reason != conn.ReasonSlowConsumer || info.Code != ws.StatusPolicyViolation {
		t.Errorf("OnClose got %+v", info)
	}
	if n := srv.Stats().Ended[conn.ReasonSlowConsumer]; n != 1 || srv.Clients() != 1 {
		t.Errorf("%d slow consumers, %d clients left; want 1 and 1", n, srv.Clients())
	}
	if !strings.Contains(log.String(), "reason=slow-consumer code=1008 peer="+slow.LocalAddr().String()) {
		t.Errorf("the log does not say who and why: %s", log)
	}
	_ = quick.Close()
	nothingCounted(t, srv)
}

// TestSlowConsumerDrop keeps the connection, counts what it missed, for it alone,
// and goes on with whole frames.
func TestSlowConsumerDrop(t *testing.T) {
	h := newCollector()
	srv, addr := start(t, server.Config{Handler: h, SlowConsumer: conn.Drop, WriteQueueFrames: 4, WriteQueueBytes: 64 << 10, PingInterval: -1})
	slow, its := h.dial(t, addr)
	quick := conntest.Dial(t, addr, "/ws")
	other := <-h.opened
	sent := uint64(0)
	for its.Backlog().Dropped < 5 {
		p := append(binary.BigEndian.AppendUint64(nil, sent), make([]byte, 32<<10)...)
		if err := srv.Hub().BroadcastWait(context.Background(), frame.Prepare(frame.Binary, p)); err != nil {
			t.Fatal(err)
		}
		quick.Expect(ws.OpBinary, string(p))
		if err := srv.Hub().Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	for _, order := range []server.Order{server.ByQueue, server.ByDrops} {
		slowest := srv.Inspect(order, 10)
		if len(slowest) != 1 || slowest[0].Peer != its.PeerAddr() || slowest[0].Backlog != its.Backlog() {
			t.Errorf("by %v the first are %+v", order, slowest)
		}
	}
	dropped := its.Backlog().Dropped
	if n := other.Backlog().Dropped; n != 0 || srv.Stats().Dropped != dropped {
		t.Errorf("%d frames dropped for the slow one, %d for the quick one, %d for all", dropped, n, srv.Stats().Dropped)
	}
	for i := range sent - dropped {
		if _, p, err := slow.Next(); err != nil || binary.BigEndian.Uint64(p) != i {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	eventually(t, "the queue is gone", func() bool { return its.Backlog() == conn.Backlog{} })
	slow.Text("caught up")
	slow.ExpectText("caught up")
	_, _ = slow.Close(), quick.Close()
	nothingCounted(t, srv)
}

// TestWriteQueueTotal has four clients that do not read and are within their own
// bounds. Together they are not: the largest has to go, and only that.
func TestWriteQueueTotal(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(*conn.Conn, []byte) error
		code ws.StatusCode // for the one that is closed
	}{
		// The frames that were written to one client are in one piece of memory, which
		// has begun to leave: nothing is saved by a goodbye behind it.
		{"written", written, conn.StatusAbnormal},
		{"prepared", prepared, conn.StatusTryAgainLater},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, log := newCollector(), new(conntest.Log)
			srv, addr := start(t, server.Config{Handler: h, WriteQueueBytes: 256 << 10, WriteQueueFrames: -1,
				WriteQueueTotal: 512 << 10, PingInterval: -1, CloseTimeout: -1, SlowConsumer: conn.Drop,
				Log: slog.New(slog.NewTextHandler(log, nil))})
			var clients []*conntest.Client
			var ends []*conn.Conn
			for range 4 {
				c, its := h.dial(t, addr)
				clients, ends = append(clients, c), append(ends, its)
			}
			for i, kib := range []int{80, 220, 110, 30} {
				fill(t, ends[i], kib<<10, c.send)
			}
			if n := srv.Clients(); n != 4 {
				t.Fatalf("%d clients below the bound, want 4", n)
			}
			fill(t, ends[3], 120<<10, c.send)
			eventually(t, "one is shed", func() bool { return ends[1].State() > conn.StateOpen })
			eventually(t, "the sum is below 90 %", func() bool { return srv.Stats().WriteQueued <= (512<<10)*9/10 })
			// The client reads what had begun to leave, and perhaps why there is no more.
			code := conn.StatusAbnormal
			for {
				op, p, err := clients[1].Next()
				if err != nil {
					break
				}
				if op == ws.OpClose {
					code = ws.StatusCode(binary.BigEndian.Uint16(p))
				}
			}
			_ = clients[1].Close()
			if code != c.code {
				t.Errorf("the client saw %d, want %d", code, c.code)
			}
			eventually(t, "OnClose is called", func() bool { _, ok := h.info(ends[1]); return ok })
			if info, _ := h.info(ends[1]); info.Reason != conn.ReasonWriteQueueTotal || info.Code != c.code {
				t.Errorf("OnClose got %+v", info)
			}
			if n := srv.Stats().Ended[conn.ReasonWriteQueueTotal]; n != 1 || srv.Clients() != 3 {
				t.Errorf("%d were shed, %d clients are left; want 1 and 3", n, srv.Clients())
			}
			if s := log.String(); strings.Count(s, "level=WARN") != 1 || !strings.Contains(s, "--write-queue-total") || !strings.Contains(s, "closed=1") {
				t.Errorf("the log should say it once: %s", s)
			}
			for _, c := range clients {
				_ = c.Close()
			}
			nothingCounted(t, srv)
		})
	}
}

// TestSharedFramesCountOnce broadcasts to many clients that do not read.
func TestSharedFramesCountOnce(t *testing.T) {
	const clients, each, shards = 20, 512 << 10, 2
	h := newCollector()
	srv, addr := start(t, server.Config{Handler: h, Shards: shards, WriteQueueFrames: -1, WriteQueueBytes: -1,
		WriteQueueTotal: clients * each / 2, PingInterval: -1})
	var all []*conntest.Client
	var ends []*conn.Conn
	for range clients {
		c, its := h.dial(t, addr)
		all, ends = append(all, c), append(ends, its)
	}
	f := frame.Prepare(frame.Binary, make([]byte, 32<<10))
	least := func() int {
		n := ends[0].Backlog().Bytes
		for _, c := range ends {
			n = min(n, c.Backlog().Bytes)
		}
		return n
	}
	for least() < each {
		if err := srv.Hub().BroadcastWait(context.Background(), f); err != nil {
			t.Fatal(err)
		}
		if err := srv.Hub().Drain(context.Background()); err != nil { // no shard runs ahead
			t.Fatal(err)
		}
	}
	sum := 0
	for _, c := range ends {
		sum += c.Backlog().Bytes
	}
	if n := srv.Stats().WriteQueued; n < each || n > int64(sum)/4 {
		t.Errorf("%d bytes are counted; %d clients wait for %d, in %d parts", n, clients, sum, shards)
	}
	if n := srv.Clients(); n != clients {
		t.Errorf("%d clients, want %d: they wait for the same", n, clients)
	}
	for _, c := range all[:clients/2] {
		_ = c.Close()
	}
	for _, c := range all[clients/2:] { // what waited is still theirs
		for range 3 {
			if _, p, err := c.Next(); err != nil || len(p) != 32<<10 {
				t.Fatalf("%d bytes, %v", len(p), err)
			}
		}
		_ = c.Close()
	}
	nothingCounted(t, srv)
}

// TestReadBufferTotal has clients begin messages that they do not end.
func TestReadBufferTotal(t *testing.T) {
	h, log := newCollector(), new(conntest.Log)
	srv, addr := start(t, server.Config{Handler: h, MaxMessage: 256 << 10, ReadBufferTotal: 512 << 10, PingInterval: -1,
		Log: slog.New(slog.NewTextHandler(log, nil))})
	message := strings.Repeat("m", 200<<10)
	begin := func(bytes int) *conntest.Client {
		c, _ := h.dial(t, addr)
		before := srv.Stats().BytesIn
		go func() { _, _ = c.Write(conntest.Frame(true, ws.OpText, message)[:bytes]) }()
		eventually(t, "it is read", func() bool { return srv.Stats().BytesIn == before+uint64(bytes) })
		return c
	}
	small, large, late := begin(20<<10), begin(190<<10), begin(100<<10)
	if n := srv.Clients(); n != 3 {
		t.Fatalf("%d clients below the bound, want 3", n)
	}
	// How much memory a growing message takes is append's to say, up to twice its length.
	var more []*conntest.Client
	for srv.Stats().Ended[conn.ReasonReadBufferTotal] == 0 && srv.Stats().Closing == 0 {
		more = append(more, begin(60<<10))
	}
	if code := large.Closed(); code != conn.StatusTryAgainLater {
		t.Errorf("closed with %d, want 1013", code)
	}
	_ = large.Close()
	eventually(t, "it is counted", func() bool { return srv.Stats().Ended[conn.ReasonReadBufferTotal] == 1 })
	if n := srv.Stats().ReadKept; n > 512<<10 {
		t.Errorf("%d bytes are kept", n)
	}
	for _, c := range append(more, late) { // else the rest is one too many
		_ = c.Close()
	}
	eventually(t, "there is room for the rest", func() bool { return srv.Hub().Len() == 1 })
	rest := conntest.Frame(true, ws.OpText, message)[20<<10:]
	go small.Raw(rest)
	small.ExpectText(message)
	if s := log.String(); strings.Count(s, "level=WARN") != 1 || !strings.Contains(s, "--read-buffer-total") {
		t.Errorf("the log should say it once: %s", s)
	}
	_ = small.Close()
	nothingCounted(t, srv)
}

// TestTotalsUnderLoad has many clients of all kinds at bounds that are far too
// small. What is counted must agree with what is there when they have left.
func TestTotalsUnderLoad(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Chat(), Workers: 4, Shards: 3, MaxMessage: 64 << 10,
		WriteQueueBytes: 64 << 10, WriteQueueTotal: 128 << 10, ReadBufferTotal: 128 << 10})
	message := conntest.Frame(true, ws.OpText, strings.Repeat("m", 60<<10))
	var wg sync.WaitGroup
	for i := range 40 {
		c := conntest.DialNarrow(t, addr, "/ws", 16<<10)
		wg.Go(func() {
			defer c.Close()
			if i%2 != 0 { // the others read nothing
				wg.Go(func() {
					for {
						if _, _, err := c.Next(); err != nil {
							return
						}
					}
				})
			}
			// Whole messages and, at the end, half of one.
			for range 30 {
				if _, err := c.Write(message); err != nil {
					return
				}
			}
			_, _ = c.Write(message[:len(message)/2])
		})
	}
	wg.Wait()
	nothingCounted(t, srv)
	var ended strings.Builder
	for reason, n := range srv.Ended() {
		fmt.Fprintf(&ended, " %s=%d", reason, n)
	}
	t.Log(ended.String())
}

// TestShutWindowMeetsUserTimeout has a client that takes nothing. Its kernel
// answers, so that no other deadline but this one looks at the connection.
func TestShutWindowMeetsUserTimeout(t *testing.T) {
	h := newCollector()
	srv, addr := start(t, server.Config{Handler: h, UserTimeout: 100 * time.Millisecond, PingInterval: -1})
	_, its := h.dial(t, addr)
	fill(t, its, 1, prepared)
	eventually(t, "the kernel gives it up", func() bool { return srv.Stats().Ended[conn.ReasonPeerVanished] == 1 })
	nothingCounted(t, srv)
}
