//go:build linux

package hub

import (
	"bytes"
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
)

// patience bounds what must happen soon.
func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), conntest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// ask publishes a message that asks for a receipt.
func ask(t *testing.T, h *Hub, m Message) *Receipt {
	t.Helper()
	m.Receipt = NewReceipt()
	if _, err := h.PublishWait(patience(t), m); err != nil {
		t.Fatal(err)
	}
	return m.Receipt
}

// now is what a receipt knows without waiting, when every broadcaster has been past.
func now(t *testing.T, h *Hub, r *Receipt) Report {
	t.Helper()
	if err := h.Drain(patience(t)); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return r.Wait(ended)
}

func counts(r Report) [5]int {
	return [5]int{r.Subscribers, r.Delivered, r.Dropped, r.Closed, r.Pending}
}

func text(n int) *frame.Prepared { return frame.Prepare(frame.Text, bytes.Repeat([]byte("x"), n)) }

func TestReceipt(t *testing.T) {
	h, _ := audience(t, 100, conn.Config{})
	var members []*conn.Conn
	h.Each(func(c *conn.Conn) { members = append(members, c) })
	for _, c := range members[:30] {
		_ = h.Subscribe(c, "few", 0)
	}
	for _, c := range members[20:50] {
		_ = h.Subscribe(c, "more", 0)
	}
	h.Unsubscribe(members[0], h.config.DefaultTopic)
	for _, x := range []struct {
		topics []string
		want   int
	}{{nil, 99}, {[]string{"few"}, 30}, {[]string{"few", "more"}, 50}, {[]string{"more", "all"}, 99}, {[]string{"few", "all"}, 100}, {[]string{"nobody"}, 0}} {
		r := ask(t, h, Message{Topics: x.topics, Frame: text(100)}).Wait(patience(t))
		if counts(r) != [5]int{x.want, x.want, 0, 0, 0} {
			t.Errorf("%v: %+v, want %d", x.topics, r, x.want)
		}
		if x.want > 0 && (r.P50 <= 0 || r.P50 > r.P99 || r.P99 > r.Max || r.Max > conntest.Patience) || x.want == 0 && r.Max != 0 {
			t.Errorf("%v: %+v", x.topics, r)
		}
	}
}

// Connections that do not read are pending until they have read, or gone.
func TestReceiptOfTheSlow(t *testing.T) {
	h, peers := audience(t, 5, conn.Config{})
	first := ask(t, h, Message{Frame: text(4 << 20)}) // more than a socket takes
	second := ask(t, h, Message{Frame: text(10)})
	third := ask(t, h, Message{Frame: text(10)})
	if r := now(t, h, first); counts(r) != [5]int{5, 0, 0, 0, 5} || r.Max != 0 {
		t.Errorf("nobody has read: %+v", r)
	}
	if r := now(t, h, third); counts(r) != [5]int{5, 0, 0, 0, 5} {
		t.Errorf("nobody has read: %+v", r)
	}
	_ = unix.Shutdown(peers[4], unix.SHUT_RDWR)
	began := time.Now()
	for _, fd := range peers[:4] {
		read(t, fd, len(text(4<<20).Bytes())+2*len(text(10).Bytes()))
	}
	for _, r := range []*Receipt{first, second, third} {
		if got := r.Wait(patience(t)); counts(got) != [5]int{5, 4, 0, 1, 0} || got.Max <= 0 {
			t.Errorf("all have read, and one has gone: %+v after %v", got, time.Since(began))
		}
	}
}

// read takes so many bytes from a peer's end.
func read(t *testing.T, fd, n int) {
	t.Helper()
	buf := make([]byte, 64<<10)
	for n > 0 {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if k, err := unix.Poll(ready, int(conntest.Patience.Milliseconds())); k != 1 {
			t.Fatal("nothing to read:", err)
		}
		k, err := unix.Read(fd, buf[:min(n, len(buf))])
		if err != nil || k == 0 {
			t.Fatal(k, err)
		}
		n -= k
	}
}

// Who does not wait any more can still ask, but for how long it took.
func TestReceiptIsForgotten(t *testing.T) {
	h, peers := audience(t, 3, conn.Config{})
	m := text(4 << 20)
	r := ask(t, h, Message{Frame: m})
	if got := now(t, h, r); counts(got) != [5]int{3, 0, 0, 0, 3} {
		t.Fatalf("%+v", got)
	}
	r.Forget()
	for _, fd := range peers {
		read(t, fd, len(m.Bytes()))
	}
	if got := r.Wait(patience(t)); counts(got) != [5]int{3, 3, 0, 0, 0} || got.Max != 0 || r.took != nil {
		t.Errorf("%+v", got)
	}
}

func TestReceiptOfDrops(t *testing.T) {
	h, _ := audience(t, 3, conn.Config{WriteQueueFrames: 1, SlowConsumer: conn.Drop})
	first := ask(t, h, Message{Frame: text(4 << 20)})
	if r := now(t, h, first); counts(r) != [5]int{3, 0, 0, 0, 3} {
		t.Errorf("%+v", r)
	}
	if r := ask(t, h, Message{Frame: text(10)}).Wait(patience(t)); counts(r) != [5]int{3, 0, 3, 0, 0} {
		t.Errorf("%+v", r)
	}
}

func TestReceiptOfCloses(t *testing.T) {
	h, _ := audience(t, 3, conn.Config{WriteQueueFrames: 1})
	first := ask(t, h, Message{Frame: text(4 << 20)})
	if r := now(t, h, first); counts(r) != [5]int{3, 0, 0, 0, 3} {
		t.Errorf("%+v", r)
	}
	if r := ask(t, h, Message{Frame: text(10)}).Wait(patience(t)); counts(r) != [5]int{3, 0, 0, 3, 0} {
		t.Errorf("%+v", r)
	}
	if r := ask(t, h, Message{Frame: text(10)}).Wait(patience(t)); counts(r) != [5]int{0, 0, 0, 0, 0} {
		t.Errorf("they are closing: %+v", r)
	}
}

// Who is behind gets the latest value of each key; others get all.
func TestLatestValues(t *testing.T) {
	h, peers := audience(t, 2, conn.Config{SlowConsumer: conn.Conflate, WriteQueueFrames: 8})
	var slow *conn.Conn
	h.Each(func(c *conn.Conn) { slow = c })
	_ = h.Subscribe(slow, "wall", 0)
	ask(t, h, Message{Topics: []string{"wall"}, Frame: text(4 << 20)})
	if err := h.Drain(patience(t)); err != nil {
		t.Fatal(err)
	}
	value := func(topic, key string, n byte) *Receipt {
		return ask(t, h, Message{Topics: []string{topic}, Key: key, Frame: frame.Prepare(frame.Text, []byte{key[0], n})})
	}
	_ = h.Subscribe(slow, "other", 0)
	var old, last []*Receipt
	for _, s := range h.shards {
		s.mu.Lock() // broadcasters stop at their next step, and the values are joined
	}
	for n := range byte(50) {
		for _, key := range []string{"a", "b", "c"} {
			r := value("all", key, 'A'+n)
			if n < 49 {
				old = append(old, r)
			} else {
				last = append(last, r)
			}
		}
	}
	last = append(last, value("other", "a", '!')) // of another topic
	for _, s := range h.shards {
		s.mu.Unlock()
	}
	if err := h.Drain(patience(t)); err != nil {
		t.Fatal(err)
	}
	for _, r := range old {
		if got := r.Wait(patience(t)); counts(got) != [5]int{2, 1, 1, 0, 0} {
			t.Fatalf("an old value: %+v", got)
		}
	}
	for i, r := range last {
		want := [5]int{2, 1, 0, 0, 1}
		if i == 3 {
			want = [5]int{1, 0, 0, 0, 1}
		}
		if got := now(t, h, r); counts(got) != want {
			t.Errorf("the last value: %+v, want %v", got, want)
		}
	}
	wall := len(text(4 << 20).Bytes())
	for _, fd := range peers {
		var first [2]byte
		if _, _, err := unix.Recvfrom(fd, first[:], unix.MSG_PEEK); err != nil {
			t.Fatal(err)
		}
		if first[1] == 127 { // a long frame: the slow one
			read(t, fd, wall)
			waiting := make([]byte, 100)
			n, err := unix.Read(fd, waiting)
			if want := "\x81\x02ar\x81\x02br\x81\x02cr\x81\x02a!"; err != nil || string(waiting[:n]) != want {
				t.Errorf("%q %v, want %q", waiting[:max(0, n)], err, want)
			}
		}
	}
	for _, r := range last {
		if got := r.Wait(patience(t)); got.Pending != 0 || got.Delivered != got.Subscribers {
			t.Errorf("at the end: %+v", got)
		}
	}
}
