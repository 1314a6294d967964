//go:build linux

package hub

import (
	"context"
	"errors"
	"sync"
	"testing"
	"unsafe"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
)

func TestMain(m *testing.M) { conntest.Main(m) }

var group = conn.NewGroup(conn.Config{})

func newHub(t *testing.T, config Config) *Hub {
	t.Helper()
	h, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func TestChunkFillsItsSizeClass(t *testing.T) {
	if n := unsafe.Sizeof(chunk{}); n > 4096 || n < 4096-16 {
		t.Errorf("a chunk has %d bytes, want just below 4096", n)
	}
}

// TestSlots joins and leaves in every order that matters and checks that slots
// are distinct, reused, and freed with their chunks.
func TestSlots(t *testing.T) {
	h := newHub(t, Config{Shards: 3})
	const n = 5000
	conns := make([]*conn.Conn, n)
	taken := map[uint32]bool{}
	for i := range conns {
		conns[i] = conn.New(group)
		h.Join(conns[i])
		if taken[conns[i].Slot()] {
			t.Fatalf("slot %d was given twice", conns[i].Slot())
		}
		taken[conns[i].Slot()] = true
	}
	if h.Len() != n {
		t.Fatalf("%d connections, want %d", h.Len(), n)
	}
	slots := h.Slots()
	for i := 0; i < n; i += 2 {
		h.Leave(conns[i])
	}
	for i := 0; i < n; i += 2 {
		h.Join(conns[i])
	}
	if h.Slots() != slots {
		t.Errorf("%d slots after half have left and come back, want %d as before", h.Slots(), slots)
	}
	seen := map[*conn.Conn]int{}
	h.Each(func(c *conn.Conn) { seen[c]++ })
	for _, c := range conns {
		if seen[c] != 1 {
			t.Fatalf("a connection was visited %d times", seen[c])
		}
	}
	for _, c := range conns {
		h.Leave(c)
	}
	if h.Slots() != 0 || h.Len() != 0 {
		t.Errorf("%d slots and %d connections are left", h.Slots(), h.Len())
	}
}

// TestWalkDuringJoinsAndLeaves visits stable members exactly once per walk.
func TestWalkDuringJoinsAndLeaves(t *testing.T) {
	h := newHub(t, Config{Shards: 2})
	stable := map[*conn.Conn]bool{}
	for range 1500 {
		c := conn.New(group)
		h.Join(c)
		stable[c] = true
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					var few [100]*conn.Conn
					for i := range few {
						few[i] = conn.New(group)
						h.Join(few[i])
					}
					for _, c := range few {
						h.Leave(c)
					}
				}
			}
		})
	}
	for range 50 {
		visits := map[*conn.Conn]int{}
		var cur Cursor
		for !h.Walk(&cur, 100, func(c *conn.Conn) {
			visits[c]++
			// Whoever sees a connection sees its slot: under -race this is the test.
			if there := h.At(c.Slot()); there != c && stable[c] {
				t.Errorf("slot %d has another connection", c.Slot())
			}
		}) {
		}
		for c := range stable {
			if visits[c] != 1 {
				t.Errorf("a stable connection was visited %d times", visits[c])
			}
		}
	}
	close(stop)
	wg.Wait()
}

func TestFIFO(t *testing.T) {
	var q fifo
	to := newTopic("t", 1)
	next, want := byte(0), byte(0)
	for round := range 300 {
		for range round % 7 {
			q.push(item{frame: frame.Prepare(frame.Binary, []byte{next}), to: to.alone})
			next++
		}
		for range round % 5 {
			if q.frames == 0 {
				break
			}
			got := q.take(nil, 1, 1<<20)
			if len(got) != 1 || got[0].frame.Payload()[0] != want {
				t.Fatalf("got %v, want %d", got, want)
			}
			q.settle()
			want++
			if q.first != uint64(want) && round < 100 {
				t.Fatalf("%d have left, not %d", q.first, want)
			}
		}
		if q.bytes != 3*q.frames {
			t.Fatalf("%d bytes in %d frames of 3", q.bytes, q.frames)
		}
	}
	if cap(q.items) > 4*q.frames+64 {
		t.Errorf("%d places for %d frames", cap(q.items), q.frames)
	}
}

func TestClosedHub(t *testing.T) {
	h := newHub(t, Config{})
	f := frame.Prepare(frame.Text, nil)
	h.Close()
	if err := h.Broadcast(f); !errors.Is(err, ErrClosed) {
		t.Errorf("Broadcast: %v", err)
	}
	if err := h.BroadcastWait(context.Background(), f); !errors.Is(err, ErrClosed) {
		t.Errorf("BroadcastWait: %v", err)
	}
	if err := h.Drain(context.Background()); err != nil {
		t.Errorf("Drain: %v", err)
	}
}

// TestFullQueue stops the broadcasters by holding the hub's lock where they
// would take from the queue: between pushes nothing leaves it.
func TestFullQueue(t *testing.T) {
	h := newHub(t, Config{Shards: 1, QueueFrames: 4})
	f := frame.Prepare(frame.Text, nil)
	h.mu.Lock()
	for range 4 {
		h.publish(&Message{Frame: f}, h.topics.everyone.alone)
	}
	if !h.congested.Load() {
		t.Error("4 of 4 frames are no congestion")
	}
	full := h.shards[0].fifo.over(2*4, 1<<30)
	for range 4 {
		h.publish(&Message{Frame: f}, h.topics.everyone.alone)
	}
	if full || !h.shards[0].fifo.over(2*4, 1<<30) {
		t.Error("the hard limit is not twice the bound")
	}
	h.mu.Unlock()
	if err := h.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if h.congested.Load() {
		t.Error("congested although the queue is empty")
	}
	if err := h.BroadcastWait(context.Background(), f); err != nil {
		t.Error(err)
	}
}

func TestBroadcastWaitGivesUp(t *testing.T) {
	h := newHub(t, Config{Shards: 1, QueueFrames: 1})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// When a frame has been sent, the broadcaster waits for the next.
	f := frame.Prepare(frame.Text, nil)
	if err := errors.Join(h.Broadcast(f), h.Drain(context.Background())); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.congested.Store(true) // nothing waits, so no broadcaster will end it
	h.mu.Unlock()
	if err := h.BroadcastWait(ctx, f); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// Who can come again, or waits, leaves the slack to handlers: whatever others publish, one
// message of each handler that is running finds room.
func TestSlackIsForHandlers(t *testing.T) {
	const handlers, long = 3, 50
	h := newHub(t, Config{Shards: 1, QueueFrames: 8, QueueBytes: 100, SlackFrames: handlers, SlackBytes: handlers * (long + 2)})
	message := func(n int) Message { return Message{Frame: frame.Prepare(frame.Binary, make([]byte, n-2))} }
	for _, c := range []struct {
		before []int // bytes of the frames that wait already
		size   int
		err    error
	}{
		{nil, 60, nil}, {nil, 100, nil}, {nil, 120, nil}, // a longer one goes alone
		{[]int{40}, 60, nil}, {[]int{40}, 61, ErrBusy}, {[]int{40, 20}, 40, nil}, {[]int{40, 20}, 41, ErrBusy},
		{[]int{100}, 2, ErrBusy}, {[]int{2, 2, 2, 2, 2, 2, 2}, 2, nil}, {[]int{2, 2, 2, 2, 2, 2, 2, 2}, 2, ErrBusy},
	} {
		h.mu.Lock() // and the broadcaster takes nothing
		for _, n := range c.before {
			m := message(n)
			h.publish(&m, h.topics.everyone.alone)
		}
		m := message(c.size)
		full := h.full(&m)
		if !full {
			h.publish(&m, h.topics.everyone.alone)
		}
		if full != (c.err != nil) {
			t.Errorf("%v, then %d: full is %v", c.before, c.size, full)
		}
		// All handlers have been admitted just before.
		for i := range handlers {
			if f := &h.shards[0].fifo; c.size <= 100 && f.over(h.config.QueueFrames+h.config.SlackFrames, h.config.QueueBytes+h.config.SlackBytes) {
				t.Errorf("%v, then %d: no room for handler %d", c.before, c.size, i)
			}
			last := message(long + 2)
			h.publish(&last, h.topics.everyone.alone)
		}
		h.mu.Unlock()
		if err := h.Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// TryPublish refuses where PublishWait waits, and both go on when there is room.
func TestTryPublish(t *testing.T) {
	h := newHub(t, Config{Shards: 1})
	m := Message{Frame: frame.Prepare(frame.Text, []byte("x"))}
	if got, err := h.TryPublish(m); err != nil || got.Seq != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := h.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.congested.Store(true) // nothing waits, so no broadcaster will end it
	h.mu.Unlock()
	if _, err := h.TryPublish(m); !errors.Is(err, ErrBusy) {
		t.Errorf("congested: %v", err)
	}
	if _, err := h.Publish(m); err != nil { // a handler's
		t.Errorf("the slack: %v", err)
	}
	if err := h.Drain(context.Background()); err != nil { // and with it the congestion has ended
		t.Fatal(err)
	}
	if got, err := h.TryPublish(m); err != nil || got.Seq != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if st := h.Stats(); st.Refused != 0 {
		t.Errorf("%d are counted as refused", st.Refused)
	}
	h.Seal()
	if _, err := h.TryPublish(m); !errors.Is(err, ErrClosed) {
		t.Errorf("sealed: %v", err)
	}
}

func TestConfigFaults(t *testing.T) {
	if _, err := New(Config{Shards: -1, QueueBytes: -1}); err == nil {
		t.Error("no error")
	}
}
