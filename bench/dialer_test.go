package bench

import (
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

func mustPace(t *testing.T, text string) Pace {
	t.Helper()
	p, err := ParsePace(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSeveralDials opens three parts of the table at three paces.
func TestSeveralDials(t *testing.T) {
	d := newDriven(t, Config{URLs: []string{serve(t, answerClose)}, Conns: 70, Handshakes: 8})
	fast := d.Dial(Dial{From: 0, To: 30})
	even := d.Dial(Dial{From: 30, To: 50, Pace: mustPace(t, "200/s")})
	ramp := d.Dial(Dial{From: 50, To: 60, Pace: mustPace(t, "0/s-100/s:1s")})
	if !fast.Active() || fast.Done() {
		t.Error("a dialling that has not begun is done")
	}
	d.until("dial", func() bool { return fast.Done() && even.Done() && ramp.Done() })
	for name, test := range map[string]struct {
		dialling *Dialling
		wanted   int64
		least    time.Duration // the pace allows no less
	}{
		"fast": {fast, 30, 0}, "even": {even, 20, 19 * 5 * time.Millisecond}, "ramp": {ramp, 10, 424 * time.Millisecond}, // sqrt(2*9/100) s
	} {
		r := test.dialling.Report()
		if r.Wanted != test.wanted || r.Attempted != test.wanted || r.Opened != test.wanted || r.Failed != 0 || r.GaveUp {
			t.Errorf("%s: %+v, want %d opened", name, r, test.wanted)
		}
		if took := r.Last - test.dialling.since; took < test.least || r.Latency.Count() != test.wanted {
			t.Errorf("%s: took %v with %d latencies, want %v or more and %d", name, took, r.Latency.Count(), test.least, test.wanted)
		}
		if test.dialling.Active() {
			t.Errorf("%s is still active", name)
		}
	}
	slices.Sort(d.opened)
	if len(d.opened) != 60 || d.opened[0] != 0 || d.opened[59] != 59 || d.OpenCount() != 60 || d.Conn(60).Open() {
		t.Errorf("%d slots opened: %v", len(d.opened), d.opened)
	}
	if err := d.CloseAll(t.Context()); err != nil || d.OpenCount() != 0 || d.sockets != 0 {
		t.Errorf("error %v; %d open, %d sockets after CloseAll", err, d.OpenCount(), d.sockets)
	}
}

// TestDialTakesURLsInTurn counts connections at two servers.
func TestDialTakesURLsInTurn(t *testing.T) {
	var first, second atomic.Int64
	counted := func(n *atomic.Int64) func(net.Conn) {
		return func(c net.Conn) {
			u := ws.Upgrader{OnRequest: func(uri []byte) error {
				if string(uri) != "/path" {
					return errors.New("another path")
				}
				return nil
			}}
			if _, err := u.Upgrade(c); err == nil {
				n.Add(1)
				hold(c)
			}
		}
	}
	d := newDriven(t, Config{URLs: []string{serveRaw(t, counted(&first)) + "path", serveRaw(t, counted(&second)) + "path"}, Conns: 9})
	d.Dial(Dial{To: 9})
	d.until("dial", func() bool { return first.Load()+second.Load() == 9 })
	if first.Load() != 5 || second.Load() != 4 {
		t.Errorf("%d and %d connections, want 5 and 4", first.Load(), second.Load())
	}
}

// TestRecycle opens slots again as their connections end, in each of the ways
// they can, until it is stopped.
func TestRecycle(t *testing.T) {
	all := maps.Clone(endings)
	all["cut by the server"] = ending{serve: func(net.Conn) {}}
	for name, end := range all {
		t.Run(name, func(t *testing.T) { recycle(t, Config{URLs: []string{serve(t, end.serve)}}, end) })
	}
}

// ending is how a connection ends.
type ending struct {
	serve  func(net.Conn)
	onOpen func(*Client, *Conn) // nil: the server ends it
}

// endings are those that plain connections and those with TLS share.
var endings = map[string]ending{
	"closed by the server": {serve: func(c net.Conn) {
		ws.WriteFrame(c, ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "")))
		ws.ReadFrame(c) // the answer
	}},
	"closed by us":  {answerClose, (*Client).Close},
	"aborted by us": {hold, func(cl *Client, c *Conn) { cl.Abort(c, false) }},
	"reset by us":   {hold, func(cl *Client, c *Conn) { cl.Abort(c, true) }},
}

// recycle dials for every connection that ends, until it is told to stop.
func recycle(t *testing.T, cfg Config, end ending) {
	t.Helper()
	cfg.Conns = 4
	d := newDriven(t, cfg)
	if end.onOpen != nil {
		d.onOpen = func(c *Conn) { end.onOpen(d.Client, c) }
	}
	dialling := d.Dial(Dial{To: 4, Recycle: true})
	d.until("recycle", func() bool { return dialling.Report().Opened >= 30 })
	if !dialling.Active() {
		t.Error("it is not active")
	}
	d.StopDialling()
	d.until("stop", func() bool { return d.sockets == 0 })
	r, slots, failures := dialling.Report(), map[int]bool{}, d.Ending().Failures
	for _, slot := range d.opened {
		slots[slot] = true
	}
	if dialling.Active() || r.Failed != 0 || len(failures) != 0 || r.Attempted != r.Opened || r.Opened != int64(len(d.opened)) || len(slots) != 4 {
		t.Errorf("active %v, %+v, slots %v, failures %+v", dialling.Active(), r, slots, failures)
	}
}

// answerClose answers a close frame with one, as a server does.
func answerClose(c net.Conn) {
	for {
		frame, err := ws.ReadFrame(c)
		if err != nil {
			return
		}
		if frame.Header.OpCode == ws.OpClose {
			ws.WriteFrame(c, ws.NewCloseFrame(ws.UnmaskFrame(frame).Payload))
			return
		}
	}
}

// refuseFirst refuses the first n handshakes.
func refuseFirst(n int64) func(net.Conn) {
	var seen atomic.Int64
	return func(c net.Conn) {
		u := ws.Upgrader{OnRequest: func([]byte) error {
			if seen.Add(1) <= n {
				return ws.RejectConnectionError(ws.RejectionStatus(http.StatusServiceUnavailable))
			}
			return nil
		}}
		if _, err := u.Upgrade(c); err == nil {
			hold(c)
		}
	}
}

func TestRetryAfterRefusals(t *testing.T) {
	const refused = 150 // more than failuresInRow: with Retry nobody gives up
	d := newDriven(t, Config{URLs: []string{serveRaw(t, refuseFirst(refused))}, Conns: 10})
	dialling := d.Dial(Dial{To: 10, Retry: 2 * time.Millisecond})
	d.until("retry", dialling.Done)
	if r := dialling.Report(); r.Opened != 10 || r.Failed != refused || r.Attempted != 10+refused || r.GaveUp || r.Opening().NotAttempted != 0 {
		t.Errorf("%+v, want 10 opened after %d failures", r, refused)
	}
	failures := d.Ending().Failures
	if len(failures) != 1 || failures[0].Count != refused || !strings.HasPrefix(failures[0].Reason, "refused with HTTP 503") || failures[0].Remedy == "" {
		t.Errorf("failures %+v", failures)
	}
}

func TestGiveUpWithoutRetry(t *testing.T) {
	for url, want := range map[string]string{
		serveRaw(t, refuseFirst(1<<40)):  "refused with HTTP 503",
		serveRaw(t, func(c net.Conn) {}): "",
		"ws://127.0.0.1:1/":              "ECONNREFUSED",
	} {
		d := newDriven(t, Config{URLs: []string{url}, Conns: 300, Handshakes: 1})
		dialling := d.Dial(Dial{To: 300})
		d.until("give up", dialling.Done)
		if r := dialling.Report(); !r.GaveUp || r.Attempted != failuresInRow || r.Failed != failuresInRow || r.Opening().NotAttempted != 200 {
			t.Errorf("%s: %+v, want it to give up after %d", want, r, failuresInRow)
		}
		for _, f := range d.Ending().Failures {
			if !strings.HasPrefix(f.Reason, want) || f.Remedy == "" {
				t.Errorf("failure %+v, want %q and a remedy", f, want)
			}
		}
		if dialling.Active() || d.sockets != 0 || d.OpenCount() != 0 {
			t.Errorf("%s: active %v, %d sockets, %d open", want, dialling.Active(), d.sockets, d.OpenCount())
		}
	}
}

// TestStopRetrying ends a dialling that would go on for ever.
func TestStopRetrying(t *testing.T) {
	d := newDriven(t, Config{URLs: []string{serveRaw(t, refuseFirst(1<<40))}, Conns: 5})
	dialling := d.Dial(Dial{To: 5, Retry: time.Millisecond, Recycle: true})
	d.until("fail", func() bool { return dialling.Report().Failed > 20 })
	dialling.Stop()
	d.until("stop", dialling.Done)
	if r := dialling.Report(); r.Attempted != r.Failed || r.Opened != 0 || dialling.Active() {
		t.Errorf("%+v, active %v", r, dialling.Active())
	}
}

// TestStopOneDialling leaves the others alone.
func TestStopOneDialling(t *testing.T) {
	d := newDriven(t, Config{URLs: []string{serve(t, hold)}, Conns: 20})
	slow := d.Dial(Dial{To: 10, Pace: mustPace(t, "0.001/s")})
	var rest *Dialling
	d.onOpen = func(c *Conn) {
		if c.Index() < 10 && rest == nil {
			slow.Stop()
			rest = d.Dial(Dial{From: 10, To: 20})
		}
	}
	d.until("dial", func() bool { return rest != nil && rest.Done() })
	if a, b := slow.Report(), rest.Report(); a.Attempted != 1 || a.Opened != 1 || a.Opening().NotAttempted != 9 || b.Opened != 10 || slow.Active() {
		t.Errorf("%+v and %+v, want one of the stopped and all ten of the other", a, b)
	}
}

// TestHandshakeTimeout meets a server that accepts and says nothing, and gives
// up the handshakes in flight with CloseAll.
func TestHandshakeTimeout(t *testing.T) {
	url := serveRaw(t, hold)
	d := newDriven(t, Config{URLs: []string{url}, Conns: 3, HandshakeTimeout: 20 * time.Millisecond})
	dialling := d.Dial(Dial{To: 3})
	d.until("time out", dialling.Done)
	if r, f := dialling.Report(), d.Ending().Failures; r.Failed != 3 || len(f) != 1 || f[0].Reason != ErrHandshakeTimeout.Error() || f[0].Remedy == "" {
		t.Errorf("%+v, failures %+v", r, f)
	}

	d = newDriven(t, Config{URLs: []string{url}, Conns: 3})
	dialling = d.Dial(Dial{To: 3})
	d.until("connect", func() bool { return d.sockets == 3 })
	if err := d.CloseAll(t.Context()); err != nil || d.sockets != 0 || dialling.Active() {
		t.Errorf("error %v, %d sockets, active %v", err, d.sockets, dialling.Active())
	}
	if r := dialling.Report(); r.Attempted != 0 || r.Failed != 0 {
		t.Errorf("%+v, want what was given up not to count", r)
	}
}

// TestAbort looks from the server's side at how a connection ends.
func TestAbort(t *testing.T) {
	for reset, want := range map[bool]string{false: io.EOF.Error(), true: "connection reset by peer"} {
		var mu sync.Mutex
		var got string
		var seen error
		ended := make(chan struct{})
		url := serve(t, func(c net.Conn) {
			b, err := io.ReadAll(c)
			mu.Lock()
			defer mu.Unlock()
			if got, seen = string(b), err; err == nil {
				seen = io.EOF // which ReadAll leaves out
			}
			close(ended)
		})
		d := newDriven(t, Config{URLs: []string{url}, Conns: 1, ZeroMask: true})
		dialling := d.Dial(Dial{To: 1})
		d.until("dial", dialling.Done)
		c := d.Conn(0)
		d.Send(c, OpText, []byte("last words"))
		d.Abort(c, reset)
		d.Abort(c, reset) // nothing more
		d.Send(c, OpText, []byte("too late"))
		d.Close(c)
		<-ended
		mu.Lock()
		if !strings.Contains(seen.Error(), want) || (!reset && got != "\x81\x8a\x00\x00\x00\x00last words") {
			t.Errorf("reset %v: the server reads %q and then %v, want %s", reset, got, seen, want)
		}
		mu.Unlock()
		e := d.Ending()
		if len(d.ended) != 0 || len(e.Closes) != 0 || e.Closing != (Closing{}) || d.OpenCount() != 0 || d.sockets != 0 || c.Open() {
			t.Errorf("reset %v: ended %v, %+v, %d open", reset, d.ended, e, d.OpenCount())
		}
	}
}

// TestAbortInHandlers ends connections from within what tells of them.
func TestAbortInHandlers(t *testing.T) {
	w := newWired(t)
	stream := frames(ws.NewFrame(ws.OpText, false, []byte("a")), ws.NewFrame(ws.OpContinuation, true, []byte("b")), ws.NewTextFrame([]byte("c")))
	w.handler = aborting{w.probe, w.Client}
	w.feed(t, stream)
	if want := []string{"ab"}; !slices.Equal(w.messages, want) || w.c.Open() || w.c.held != nil || w.sockets != 0 {
		t.Errorf("messages %q, open %v, held %+v; want %q and no more", w.messages, w.c.Open(), w.c.held, want)
	}
	for _, h := range w.free {
		if !h.empty() {
			t.Errorf("%+v is on the free list", h)
		}
	}
}

// aborting ends a connection at its first message.
type aborting struct {
	*probe
	cl *Client
}

func (a aborting) Message(c *Conn, op byte, payload []byte, at time.Duration) {
	a.probe.Message(c, op, payload, at)
	a.cl.Abort(c, false)
}

// TestPing exchanges pings with a server, both ways.
func TestPing(t *testing.T) {
	url := serve(t, func(c net.Conn) {
		ws.WriteFrame(c, ws.NewPingFrame([]byte("from the server")))
		for {
			frame, err := ws.ReadFrame(c)
			if err != nil {
				return
			}
			frame = ws.UnmaskFrame(frame)
			switch frame.Header.OpCode {
			case ws.OpPing:
				ws.WriteFrame(c, ws.NewPongFrame(frame.Payload))
			case ws.OpPong:
				ws.WriteFrame(c, ws.NewTextFrame(frame.Payload))
			}
		}
	})
	d := newDriven(t, Config{URLs: []string{url}, Conns: 1})
	d.Ping(d.Conn(0), []byte("before it is open"))
	long := strings.Repeat("x", 125)
	d.onOpen = func(c *Conn) {
		d.Ping(c, nil)
		d.Ping(c, []byte(long))
	}
	d.Dial(Dial{To: 1})
	d.until("ping", func() bool { return len(d.pongs) == 2 && len(d.messages) == 1 })
	if want := []string{"", long}; !slices.Equal(d.pongs, want) || d.messages[0] != "from the server" || d.Ending().Pings != 1 {
		t.Errorf("pongs %q, the server's ping came back as %q, %d answered", d.pongs, d.messages, d.Ending().Pings)
	}
}

// TestSubprotocolIsChosen makes a whole handshake with one.
func TestSubprotocolIsChosen(t *testing.T) {
	var offered atomic.Value
	url := serveRaw(t, func(c net.Conn) {
		u := ws.Upgrader{ProtocolCustom: func(value []byte) (string, bool) {
			offered.Store(string(value))
			return "v2.chat", true
		}}
		if _, err := u.Upgrade(c); err == nil {
			hold(c)
		}
	})
	for names, want := range map[string]int64{"chat,v2.chat": 1, "chat": 0} {
		d := newDriven(t, Config{URLs: []string{url}, Conns: 1, Subprotocols: strings.Split(names, ",")})
		dialling := d.Dial(Dial{To: 1})
		d.until("dial", dialling.Done)
		if r := dialling.Report(); r.Opened != want || r.Failed != 1-want || offered.Load() != strings.ReplaceAll(names, ",", ", ") {
			t.Errorf("%s: %+v, the server saw %q", names, r, offered.Load())
		}
		if f := d.Ending().Failures; want == 0 && (len(f) != 1 || f[0].Reason != ErrHandshakeExtension.Error()) {
			t.Errorf("%s: failures %+v", names, f)
		}
	}
}

// TestProgress wants each phase to be reported as it began and as it ended.
func TestProgress(t *testing.T) {
	var shown []Snapshot
	d := newDriven(t, Config{URLs: []string{serve(t, answerClose)}, Conns: 3, Progress: func(s Snapshot) { shown = append(shown, s) }})
	dialling := d.Dial(Dial{To: 3})
	d.SetPhase("open", func() (int64, int64, string) { return dialling.Report().Opened, 3, "connections" })
	d.until("dial", dialling.Done)
	d.SetPhase("settle", nil)
	if err := d.CloseAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Release()
	last := map[string]Snapshot{}
	var phases []string
	for _, s := range shown {
		if len(phases) == 0 || phases[len(phases)-1] != s.Phase {
			phases = append(phases, s.Phase)
		}
		last[s.Phase] = s
	}
	if want := []string{"open", "settle", "close"}; !slices.Equal(phases, want) {
		t.Errorf("phases %v, want %v", phases, want)
	}
	if s := shown[0]; s.Done != 0 || s.Total != 3 || s.Conns != 3 || s.Open != 0 {
		t.Errorf("first %+v", s)
	}
	if s := last["open"]; s.Done != 3 || s.Total != 3 || s.Unit != "connections" || s.Open != 3 || s.Failed != 0 || s.Closed != 0 {
		t.Errorf("open ended as %+v", s)
	}
	if s := last["close"]; s.Done != 3 || s.Total != 3 || s.Open != 0 || s.Closed != 3 {
		t.Errorf("close ended as %+v", s)
	}
}
