package bench

import (
	"bytes"
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// probe is a handler that notes everything.
type probe struct {
	messages []string
	ops      []byte
	pongs    []string
	opened   []int // slots
	ended    []int // close codes
	count    int
	quiet    bool
	onOpen   func(*Conn) // may be nil
}

func (p *probe) Opened(c *Conn) {
	p.opened = append(p.opened, c.Index())
	if p.onOpen != nil {
		p.onOpen(c)
	}
}

func (p *probe) Message(_ *Conn, op byte, payload []byte, _ time.Duration) {
	p.count++
	if !p.quiet {
		p.messages = append(p.messages, string(payload))
		p.ops = append(p.ops, op)
	}
}

func (p *probe) Pong(_ *Conn, payload []byte) { p.pongs = append(p.pongs, string(payload)) }

func (p *probe) Ended(c *Conn) { p.ended = append(p.ended, c.CloseCode()) }

// wired is a client with one open connection over a socket pair.
type wired struct {
	*Client
	*probe
	c    *Conn
	peer int // the server's end, non-blocking
}

func newWired(t testing.TB) *wired {
	t.Helper()
	p := new(probe)
	cl, err := NewClient(Config{URLs: []string{"ws://127.0.0.1:1/"}, Conns: 1, ZeroMask: true, MaxMessageBytes: 1 << 20}, p)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cl.Release()
		unix.Close(fds[1])
	})
	c := cl.Conn(0)
	c.fd, c.state = int32(fds[0]), stateOpen
	cl.open, cl.sockets = 1, 1
	cl.Dial(Dial{}).sockets = 1
	if err := cl.loop.add(fds[0], c.token()); err != nil {
		t.Fatal(err)
	}
	return &wired{cl, p, c, fds[1]}
}

// feed writes b to the connection and reads it on the other side, in pieces
// that the socket takes.
func (w *wired) feed(t testing.TB, b []byte) {
	t.Helper()
	for len(b) > 0 && w.c.state != stateIdle {
		n, errno := socket.Send(w.peer, b)
		if errno != 0 && errno != unix.EAGAIN {
			t.Fatal(errno)
		}
		b = b[max(0, n):]
		w.drain()
	}
}

func (w *wired) drain() {
	for w.c.state != stateIdle {
		if n, _ := w.read(w.c, receiveBytes); n == 0 {
			break
		}
	}
	w.flush()
}

// replies is what the client has written.
func (w *wired) replies() (all []byte) {
	var b [64 << 10]byte
	for {
		n, errno := socket.Recv(w.peer, b[:])
		if errno != 0 || n == 0 {
			return all
		}
		all = append(all, b[:n]...)
	}
}

func frames(list ...ws.Frame) (b []byte) {
	for _, f := range list {
		b = append(b, ws.MustCompileFrame(f)...)
	}
	return b
}

func TestReceive(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789"), 60_000)
	stream := frames(
		ws.NewTextFrame([]byte("a")),
		ws.NewBinaryFrame(nil),
		ws.NewFrame(ws.OpText, false, []byte("b")),
		ws.NewPingFrame([]byte("p")),
		ws.NewFrame(ws.OpContinuation, true, []byte("c")),
		ws.NewPongFrame([]byte("q")),
		ws.NewBinaryFrame(large),
		ws.NewTextFrame([]byte("d")),
		ws.NewCloseFrame(ws.NewCloseFrameBody(4321, "bye")),
		ws.NewTextFrame([]byte("after the close frame")),
	)
	for _, size := range []int{1, 2, 7, 100, 5000, receiveBytes, len(stream)} {
		w := newWired(t)
		for piece := range slices.Chunk(stream, size) {
			w.feed(t, piece)
		}
		if want := []string{"a", "", "bc", string(large), "d"}; !reflect.DeepEqual(w.messages, want) {
			t.Errorf("pieces of %d: %d messages, want %d", size, len(w.messages), len(want))
		}
		if want := []byte{OpText, OpBinary, OpText, OpBinary, OpText}; !bytes.Equal(w.ops, want) {
			t.Errorf("pieces of %d: opcodes %v, want %v", size, w.ops, want)
		}
		if want := []string{"q"}; !slices.Equal(w.pongs, want) || w.Ending().Pings != 1 {
			t.Errorf("pieces of %d: pongs %q and %d pings, want %q and 1", size, w.pongs, w.Ending().Pings, want)
		}
		if w.c.held != nil {
			t.Errorf("pieces of %d: the connection still holds %+v", size, w.c.held)
		}
		if w.c.CloseCode() != 4321 || w.tally.closes[4321] != 1 {
			t.Errorf("pieces of %d: close code %d, want 4321", size, w.c.CloseCode())
		}
		want := frames(ws.MaskFrameWith(ws.NewPongFrame([]byte("p")), [4]byte{}),
			ws.MaskFrameWith(ws.NewCloseFrame(ws.NewCloseFrameBody(4321, "")), [4]byte{}))
		if got := w.replies(); !bytes.Equal(got, want) {
			t.Errorf("pieces of %d: answered % x, want % x", size, got, want)
		}
	}
}

// FuzzReceive compares a stream that comes whole with the same in pieces.
func FuzzReceive(f *testing.F) {
	f.Add(frames(ws.NewTextFrame([]byte("a")), ws.NewPingFrame(nil), ws.NewCloseFrame(nil)), uint16(3))
	f.Add(frames(ws.NewFrame(ws.OpText, false, []byte("b")), ws.NewFrame(ws.OpContinuation, true, []byte("c"))), uint16(1))
	f.Add(frames(ws.NewBinaryFrame(make([]byte, 130)), ws.NewTextFrame(nil)), uint16(50))
	f.Add([]byte{0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3}, uint16(2))
	fuzzPieces(f, newWired)
}

// FuzzReceiveCompressed does so where compression was agreed on.
func FuzzReceiveCompressed(f *testing.F) {
	hello := deflated(f, "Hello")
	f.Add(frames(compressed(true, hello), ws.NewTextFrame([]byte("plain")), compressed(true, hello)), uint16(3))
	f.Add(frames(compressed(false, hello[:2]), ws.NewPingFrame(nil), ws.NewFrame(ws.OpContinuation, true, hello[2:])), uint16(1))
	f.Add(frames(compressed(true, finalBlock), compressed(true, []byte{0xff})), uint16(4))
	fuzzPieces(f, newDeflating)
}

func fuzzPieces(f *testing.F, newWired func(testing.TB) *wired) {
	f.Helper()
	f.Fuzz(func(t *testing.T, stream []byte, size uint16) {
		whole, pieces := newWired(t), newWired(t)
		whole.feed(t, stream)
		for piece := range slices.Chunk(stream, int(size)+1) {
			pieces.feed(t, piece)
		}
		if !reflect.DeepEqual(whole.messages, pieces.messages) || !bytes.Equal(whole.ops, pieces.ops) {
			t.Errorf("messages %q whole, %q in pieces", whole.messages, pieces.messages)
		}
		if !reflect.DeepEqual(whole.tally, pieces.tally) || !slices.Equal(whole.ended, pieces.ended) || whole.c.code != pieces.c.code {
			t.Errorf("endings %+v %v %d whole, %+v %v %d in pieces",
				whole.tally, whole.ended, whole.c.code, pieces.tally, pieces.ended, pieces.c.code)
		}
		if a, b := whole.replies(), pieces.replies(); !bytes.Equal(a, b) {
			t.Errorf("answered % x whole, % x in pieces", a, b)
		}
	})
}

// TestReceiveAllocatesNothing counts a batch of small frames whose last one
// comes in two reads.
func TestReceiveAllocatesNothing(t *testing.T) {
	w := newWired(t)
	w.quiet = true
	var batch []byte
	for range 100 {
		batch = append(batch, frames(ws.NewBinaryFrame(make([]byte, 128)))...)
	}
	half := len(batch) - 70
	got := testing.AllocsPerRun(100, func() {
		w.feed(t, batch[:half])
		w.feed(t, batch[half:])
	})
	if got != 0 || w.count != 101*100 {
		t.Errorf("%v allocations, %d messages; want 0 and %d", got, w.count, 101*100)
	}
}

func TestSendAllocatesNothing(t *testing.T) {
	w := newWired(t)
	payload, sink := make([]byte, 128), make([]byte, 64<<10)
	got := testing.AllocsPerRun(100, func() {
		for range 10 {
			w.Send(w.c, OpBinary, payload)
		}
		w.flush()
		socket.Recv(w.peer, sink)
	})
	if got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

// TestSendBackpressure writes more than the socket takes: nothing may be lost
// or reordered, and what waits must be given back.
func TestSendBackpressure(t *testing.T) {
	w := newWired(t)
	var want []byte
	for i := range 2000 {
		payload := bytes.Repeat([]byte{byte(i)}, 1000)
		w.Send(w.c, OpBinary, payload)
		w.flush()
		want = append(want, frames(ws.MaskFrameWith(ws.NewBinaryFrame(payload), [4]byte{}))...)
	}
	if w.c.Pending() == 0 {
		t.Fatal("the socket took everything: no backpressure")
	}
	var got []byte
	deadline := w.Now() + 10*time.Second
	err := w.Drive(t.Context(), func(now time.Duration) (time.Duration, bool) {
		got = append(got, w.replies()...)
		return time.Second, len(got) == len(want) || now > deadline
	})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("error %v, %d bytes of %d arrived", err, len(got), len(want))
	}
	if w.c.held != nil {
		t.Error("the connection still holds a buffer")
	}
}

func TestPeerEndsWithoutCloseFrame(t *testing.T) {
	w := newWired(t)
	w.feed(t, frames(ws.NewBinaryFrame([]byte("half")))[:3])
	unix.Shutdown(w.peer, unix.SHUT_WR)
	if err := w.Drive(t.Context(), func(time.Duration) (time.Duration, bool) { return -1, len(w.ended) > 0 }); err != nil {
		t.Fatal(err)
	}
	if w.tally.closes[CloseAbnormal] != 1 || w.OpenCount() != 0 || w.sockets != 0 || w.count != 0 {
		t.Errorf("closes %v, %d open, %d sockets, %d messages; want one 1006", w.tally.closes, w.OpenCount(), w.sockets, w.count)
	}
}

func TestDriveEndsWithContext(t *testing.T) {
	w := newWired(t)
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan struct{}, 1)
	go func() {
		<-waiting
		cancel()
	}()
	err := w.Drive(ctx, func(time.Duration) (time.Duration, bool) {
		select {
		case waiting <- struct{}{}:
		default:
		}
		return -1, false
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestWakeAfterClose(t *testing.T) {
	e, err := newEpoll()
	if err != nil {
		t.Fatal(err)
	}
	e.wake()
	if events, err := e.wait(-1); err != nil || len(events) != 0 {
		t.Errorf("events %v, error %v; want to be woken with none", events, err)
	}
	before := openDescriptors()
	e.close()
	e.wake() // must not write to a number that may be someone else's by now
	if after := openDescriptors(); after != before-2 {
		t.Errorf("%d descriptors before close, %d after; want two less", before, after)
	}
}

// TestWaitCoarse takes the path of kernels without epoll_pwait2.
func TestWaitCoarse(t *testing.T) {
	e, err := newEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	e.coarse = true
	start := time.Now()
	if events, err := e.wait(1500 * time.Microsecond); err != nil || len(events) != 0 {
		t.Errorf("events %v, error %v; want none", events, err)
	}
	if took := time.Since(start); took < 1500*time.Microsecond {
		t.Errorf("waited %v, want 1.5 ms or more", took)
	}
}

func BenchmarkReceive(b *testing.B) {
	w := newWired(b)
	w.quiet = true
	var batch []byte
	for range 400 {
		batch = append(batch, frames(ws.NewBinaryFrame(make([]byte, 128)))...)
	}
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		w.feed(b, batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(w.count), "ns/frame")
	if w.count == 0 {
		b.Fatal(os.ErrInvalid)
	}
}
