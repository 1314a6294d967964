package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/bench"
	"roost/bench/scenario"
)

func TestIdleHolds(t *testing.T) {
	s := &server{opened: func(n int, p *peer) { p.send(ws.NewPingFrame([]byte{byte(n)})) }}
	cfg, opt := config(s.start(t), 40), options()
	cfg.PID = os.Getpid()
	opt.Duration = 50 * time.Millisecond
	r := play(t, t.Context(), scenario.Idle, cfg, opt)
	passed(t, r)
	if h := r.Hold; h.Open != 40 || h.Dropped != 0 || h.Seconds < 0.05 {
		t.Errorf("hold %+v, want 40 open for 50 ms", h)
	}
	if o := r.Opening; o.Opened != 40 || o.Handshake.Count != 40 || o.PerSecond <= 0 {
		t.Errorf("opening %+v, want 40", o)
	}
	if s.stop(); r.Pings != 40 || s.pongs != 40 {
		t.Errorf("%d pings answered, %d pongs received, want 40", r.Pings, s.pongs)
	}
	if r.Server == nil || r.Server.RSSBeforeBytes == 0 || r.Server.RSSOpenBytes == 0 {
		t.Errorf("server report %+v, want memory", r.Server)
	}
	for _, code := range s.codes {
		if code != ws.StatusNormalClosure {
			t.Errorf("client closed with %d, want 1000", code)
		}
	}
}

// stop ends the server and waits for its goroutines.
func (s *server) stop() {
	s.listener.Close()
	s.wg.Wait()
}

func TestIdleReportsDropped(t *testing.T) {
	s := &server{opened: func(n int, p *peer) {
		if n%4 == 0 {
			p.cut()
		}
	}}
	opt := options()
	opt.Duration = 50 * time.Millisecond
	r := play(t, t.Context(), scenario.Idle, config(s.start(t), 40), opt)
	failedWith(t, r, "the server ended 10 connections: 1006 (no close frame) x 10")
	if r.Hold.Dropped != 10 || r.Hold.Open != 30 {
		t.Errorf("hold %+v, want 10 dropped", r.Hold)
	}
}

// TestExpectedClose has the server close everyone when the last has joined.
func TestExpectedClose(t *testing.T) {
	const conns = 20
	for _, test := range []struct {
		name   string
		code   ws.StatusCode
		expect int
		cut    int // connections that end without a close frame
		pass   bool
		closes map[int]int64
	}{
		{"as expected", 1001, 1001, 0, true, map[int]int64{1001: conns}},
		{"nothing expected", 1001, 0, 0, false, map[int]int64{1001: conns}},
		{"another code", 1012, 1001, 0, false, map[int]int64{1012: conns}},
		{"one without a close frame", 1001, 1001, 1, false, map[int]int64{1001: conns - 1, 1006: 1}},
	} {
		for _, name := range []string{scenario.Idle, scenario.Broadcast, scenario.Echo} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				var joined sync.WaitGroup
				joined.Add(conns)
				s := &server{opened: func(int, *peer) { joined.Done() }, echo: name == scenario.Echo}
				s.start(t)
				s.wg.Go(func() {
					joined.Wait()
					for _, p := range s.peers[:test.cut] {
						p.cut()
					}
					s.closeAll(test.code)
				})
				opt := options()
				opt.ExpectClose, opt.Messages = test.expect, 0
				cfg := config(s, conns)
				cfg.Timeout = time.Minute // the end must come from the closes
				r := play(t, t.Context(), name, cfg, opt)
				if r.Passed() != test.pass {
					t.Errorf("passed %v, want %v: %q", r.Passed(), test.pass, r.Problems)
				}
				got := closes(r)
				for code, n := range test.closes {
					if got[code] != n || len(got) != len(test.closes) {
						t.Errorf("closes %v, want %v", got, test.closes)
					}
				}
				if s.stop(); test.cut == 0 && len(s.codes) != conns {
					t.Errorf("%d close frames answered, want %d", len(s.codes), conns)
				}
			})
		}
	}
}

func TestExpectedCloseNeverComes(t *testing.T) {
	opt := options()
	opt.ExpectClose = 1001
	r := play(t, t.Context(), scenario.Broadcast, impatient(new(server).start(t), 5), opt)
	failedWith(t, r, "expected the server to close all 5 connections with 1001, 0 were")
	if r.Messages.Missing != 0 {
		t.Errorf("%d missing, want the messages to have arrived", r.Messages.Missing)
	}
}

func TestEcho(t *testing.T) {
	for _, test := range []struct {
		name    string
		deliver func(n, k int, f ws.Frame) []ws.Frame
		problem string
	}{
		{"whole", nil, ""},
		{"lost", func(n, k int, f ws.Frame) []ws.Frame {
			if n == 2 && k == 7 {
				return nil
			}
			return []ws.Frame{f}
		}, "1 of 200 deliveries are missing, on 1 connection"},
		{"as text", func(n, k int, f ws.Frame) []ws.Frame {
			return []ws.Frame{ws.NewTextFrame(f.Payload)}
		}, "other content"},
		{"of another connection", func(n, k int, f ws.Frame) []ws.Frame {
			changed := bytes.Clone(f.Payload)
			changed[8] ^= 1
			return []ws.Frame{ws.NewBinaryFrame(changed)}
		}, "to the wrong connection"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &server{echo: true, deliver: test.deliver}
			cfg := config(s.start(t), 10)
			if test.problem != "" {
				cfg = impatient(s, 10)
			}
			r := play(t, t.Context(), scenario.Echo, cfg, options())
			if test.problem != "" {
				failedWith(t, r, test.problem)
				return
			}
			passed(t, r)
			if m := r.Messages; m.Planned != 200 || m.Sent != 200 || m.Received != 200 || m.Latency.Count != 200 {
				t.Errorf("messages %+v, want 200", m)
			}
		})
	}
}

func TestEchoForSomeTime(t *testing.T) {
	opt := options()
	opt.Messages, opt.Duration = 0, 50*time.Millisecond
	s := &server{echo: true}
	r := play(t, t.Context(), scenario.Echo, config(s.start(t), 10), opt)
	passed(t, r)
	if m := r.Messages; m.Received < 20 || m.Missing != 0 || m.Seconds <= 0 {
		t.Errorf("messages %+v, want at least the first of each", m)
	}
}

func TestChurn(t *testing.T) {
	opt := options()
	opt.Duration = 100 * time.Millisecond
	r := play(t, t.Context(), scenario.Churn, config(new(server).start(t), 8), opt)
	passed(t, r)
	if c := r.Churn; c.Handshakes <= 8 || c.Handshake.Count != c.Handshakes || c.PerSecond <= 0 {
		t.Errorf("churn %+v, want every slot used more than once", c)
	}
	if r.Closing.Answered != r.Churn.Handshakes {
		t.Errorf("%d closes answered of %d", r.Closing.Answered, r.Churn.Handshakes)
	}
}

// TestUnansweredClose meets a server that ignores close frames: the run must
// end by the deadline and say so.
func TestUnansweredClose(t *testing.T) {
	s := &server{onClose: func(*peer) {}}
	opt := options()
	opt.Duration = time.Millisecond
	r := play(t, t.Context(), scenario.Idle, impatient(s.start(t), 10), opt)
	passed(t, r)
	if r.Closing.Unanswered != 10 || !strings.Contains(strings.Join(r.Warnings, "\n"), "did not answer our close frame") {
		t.Errorf("closing %+v, warnings %q; want 10 unanswered", r.Closing, r.Warnings)
	}
}

// TestHandshakeFaults wants each fault named, and the run to end by itself.
func TestHandshakeFaults(t *testing.T) {
	const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	silent := func(_ int, c net.Conn) bool { io.Copy(io.Discard, c); return false }
	for _, test := range []struct {
		name      string
		handshake func(int, net.Conn) bool
		reason    string
	}{
		{"refused", answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", false), "refused with HTTP 503 Service Unavailable"},
		{"wrong accept", answer(head+"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", true), "Sec-WebSocket-Accept does not match"},
		{"no accept", answer(head+"\r\n", true), "Sec-WebSocket-Accept does not match"},
		{"not HTTP", answer("SSH-2.0-OpenSSH_9\r\n\r\n", true), "not HTTP/1.1"},
		{"endless head", answer(head+"X: "+strings.Repeat("x", 20<<10), true), "not HTTP/1.1"},
		{"closed", func(int, net.Conn) bool { return false }, ""}, // reset or end of stream, by timing
		{"silent", silent, "no answer to the handshake in time"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &server{handshake: test.handshake}
			cfg := config(s.start(t), 300)
			cfg.Handshakes, cfg.HandshakeTimeout = 50, 200*time.Millisecond
			r := play(t, t.Context(), scenario.Idle, cfg, options())
			failedWith(t, r, "nothing was measured")
			failedWith(t, r, "gave up connecting")
			if o := r.Opening; o.Opened != 0 || o.Failed < 100 || o.Failed+o.NotAttempted != 300 {
				t.Errorf("opening %+v, want 100 or more failed and the rest left", o)
			}
			if len(r.Failures) == 0 || !strings.Contains(r.Failures[0].Reason, test.reason) {
				t.Errorf("failures %+v, want %q", r.Failures, test.reason)
			}
		})
	}
}

// TestHandshakeByteByByte delivers the answer, and a message right behind it, in single bytes.
func TestHandshakeByteByByte(t *testing.T) {
	s := &server{
		handshake: func(_ int, c net.Conn) bool {
			_, err := ws.Upgrade(struct {
				io.Reader
				io.Writer
			}{c, slowWriter{c}})
			return err == nil
		},
		opened: func(_ int, p *peer) { p.send(ws.NewTextFrame([]byte("welcome"))) },
	}
	opt := options()
	opt.Duration = time.Millisecond
	r := play(t, t.Context(), scenario.Idle, config(s.start(t), 5), opt)
	passed(t, r)
}

type slowWriter struct{ w io.Writer }

func (s slowWriter) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := s.w.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

func TestSomeRefused(t *testing.T) {
	refuse := answer("HTTP/1.1 503 Service Unavailable\r\n\r\n", false)
	s := &server{handshake: func(n int, c net.Conn) bool {
		if n == 7 {
			return refuse(n, c)
		}
		_, err := ws.Upgrade(c)
		return err == nil
	}}
	r := play(t, t.Context(), scenario.Broadcast, config(s.start(t), 20), options())
	failedWith(t, r, "19 of 20 connections were opened: 1 failed")
	if m := r.Messages; m.Expected != 19*20 || m.Missing != 0 {
		t.Errorf("messages %+v, want everything on the 19 that opened", m)
	}
}

func TestProtocolErrors(t *testing.T) {
	masked := ws.MaskFrame(ws.NewBinaryFrame([]byte("hello")))
	for name, frame := range map[string]ws.Frame{
		"masked":        masked,
		"continuation":  ws.NewFrame(ws.OpContinuation, true, nil),
		"reserved":      {Header: ws.Header{Fin: true, Rsv: ws.Rsv(true, false, false), OpCode: ws.OpBinary}},
		"long ping":     {Header: ws.Header{Fin: true, OpCode: ws.OpPing, Length: 126}, Payload: make([]byte, 126)},
		"too big":       {Header: ws.Header{Fin: true, OpCode: ws.OpBinary, Length: 1 << 40}},
		"invalid close": ws.NewCloseFrame([]byte{0x03, 0xed}), // 1005
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{opened: func(n int, p *peer) {
				if name == "too big" {
					ws.WriteHeader(p.conn, frame.Header)
				} else {
					p.send(frame)
				}
			}}
			r := play(t, t.Context(), scenario.Idle, config(s.start(t), 3), options())
			failedWith(t, r, "1006")
			if len(r.Failures) != 1 || r.Failures[0].Count != 3 || !strings.Contains(r.Failures[0].Reason, "protocol error") {
				t.Errorf("failures %+v, want 3 protocol errors", r.Failures)
			}
			want := ws.StatusProtocolError
			if name == "too big" {
				want = ws.StatusMessageTooBig
			}
			s.stop()
			for _, code := range s.codes {
				if code != want {
					t.Errorf("closed with %d, want %d", code, want)
				}
			}
		})
	}
}

func TestConnectionRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := play(t, t.Context(), scenario.Idle, bench.Config{URL: "ws://" + l.Addr().String(), Conns: 1000}, options())
	failedWith(t, r, "nothing was measured")
	if f := r.Failures[0]; !strings.HasPrefix(f.Reason, "ECONNREFUSED") || !strings.Contains(f.Remedy, "start the server") {
		t.Errorf("failure %+v, want ECONNREFUSED explained", f)
	}
}

func TestAddressNotAvailable(t *testing.T) {
	cfg := config(new(server).start(t), 3)
	cfg.Sources = []string{"192.0.2.1"} // TEST-NET-1: nobody's
	r := play(t, t.Context(), scenario.Idle, cfg, options())
	if f := r.Failures[0]; !strings.HasPrefix(f.Reason, "EADDRNOTAVAIL") || !strings.Contains(f.Remedy, "--source") {
		t.Errorf("failure %+v, want EADDRNOTAVAIL explained", f)
	}
}

func TestSourcesAreUsed(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	s := &server{opened: func(_ int, p *peer) {
		host, _, _ := net.SplitHostPort(p.conn.RemoteAddr().String())
		mu.Lock()
		seen[host]++
		mu.Unlock()
	}}
	cfg, opt := config(s.start(t), 20), options()
	cfg.Sources = []string{"127.0.0.9", "127.3.2.1"}
	opt.Duration = time.Millisecond
	passed(t, play(t, t.Context(), scenario.Idle, cfg, opt))
	if s.stop(); len(seen) != 2 || seen["127.0.0.9"] != 10 || seen["127.3.2.1"] != 10 {
		t.Errorf("connections came from %v, want 10 from each source", seen)
	}
}

func TestRatePacesConnects(t *testing.T) {
	cfg, opt := config(new(server).start(t), 11), options()
	cfg.Rate, opt.Duration = 100, time.Millisecond
	r := play(t, t.Context(), scenario.Idle, cfg, opt)
	passed(t, r)
	// The eleventh attempt is due 100 ms after the first; a slow machine only makes it later.
	if r.Opening.Seconds < 0.1 {
		t.Errorf("11 connects at 100 per second took %.3f s, want 0.1 or more", r.Opening.Seconds)
	}
}

// TestInterruptedOpening ends a run while a silent server keeps the handshakes waiting.
func TestInterruptedOpening(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &server{handshake: func(_ int, c net.Conn) bool {
		cancel()
		io.Copy(io.Discard, c)
		return false
	}}
	cfg := config(s.start(t), 50)
	cfg.HandshakeTimeout = time.Minute
	r := play(t, ctx, scenario.Idle, cfg, options())
	failedWith(t, r, "nothing was measured")
	if !r.Interrupted || r.Opening.Failed != 0 {
		t.Errorf("interrupted %v, opening %+v; want no failure counted", r.Interrupted, r.Opening)
	}
}

func TestInterruptedHold(t *testing.T) {
	const conns = 10
	ctx, cancel := context.WithCancel(t.Context())
	cfg := config(new(server).start(t), conns)
	cfg.Progress = func(s bench.Snapshot) {
		if s.Phase == "hold" {
			cancel()
		}
	}
	r := play(t, ctx, scenario.Idle, cfg, options()) // no duration: until interrupted
	passed(t, r)
	if !r.Interrupted || r.Hold.Open != conns {
		t.Errorf("interrupted %v, hold %+v; want %d open", r.Interrupted, r.Hold, conns)
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	opt := scenario.Options{Duration: -1, Settle: -1, PayloadBytes: 3, Messages: -1, Publishers: 9, Interval: -1, ExpectClose: 7}
	err := opt.Validate(scenario.Broadcast, 8)
	for _, word := range []string{"duration", "settle", "payload", "messages:", "in flight", "publishers", "interval", "close code"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not mentioned in: %v", word, err)
		}
	}
	if err := options().Validate("ramp", 8); err == nil {
		t.Error("scenario ramp was accepted")
	}
}

func TestLimitsEndTheRun(t *testing.T) {
	_, err := scenario.Run(t.Context(), scenario.Idle, bench.Config{URL: "ws://127.0.0.1:1", Conns: 1 << 29}, options())
	var limit *bench.DescriptorError
	if !errors.As(err, &limit) || !strings.Contains(err.Error(), "ulimit -Hn") {
		t.Errorf("error %v, want a DescriptorError with the remedy", err)
	}
}

// TestProgressEndsComplete wants the last word on every phase to be its end.
func TestProgressEndsComplete(t *testing.T) {
	last := map[string]bench.Snapshot{}
	cfg := config(new(server).start(t), 30)
	cfg.Progress = func(s bench.Snapshot) { last[s.Phase] = s }
	passed(t, play(t, t.Context(), scenario.Broadcast, cfg, options()))
	for phase, want := range map[string]int64{"open": 30, "broadcast": 600, "close": 30} {
		if s := last[phase]; s.Done != want || s.Total != want || s.Conns != 30 {
			t.Errorf("phase %s ended with %+v, want %d done", phase, s, want)
		}
	}
}
