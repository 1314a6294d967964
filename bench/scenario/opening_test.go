package scenario_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/bench"
	"roost/bench/fleet"
	"roost/bench/scenario"
)

// TestHandshakeFaults wants each fault named, and the run to end by itself.
func TestHandshakeFaults(t *testing.T) {
	t.Parallel()
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
			t.Parallel()
			s := &server{handshake: test.handshake}
			cfg := config(s.start(t))
			cfg.Handshakes = 50
			if test.name == "silent" { // a busy machine may be late with the other answers
				cfg.HandshakeTimeout = 200 * time.Millisecond
			}
			r := play(t, t.Context(), scenario.NameIdle, 300, cfg, options())
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
	r := play(t, t.Context(), scenario.NameIdle, 5, config(s.start(t)), opt)
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
	r := play(t, t.Context(), scenario.NameBroadcast, 20, config(s.start(t)), options())
	failedWith(t, r, "19 of 20 connections were opened: 1 failed")
	if m := r.Parts[0].Messages; m.Expected != 19*20 || m.Missing != 0 {
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
			r := play(t, t.Context(), scenario.NameIdle, 3, config(s.start(t)), options())
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
	r := play(t, t.Context(), scenario.NameIdle, 1000, bench.Config{URLs: []string{"ws://" + l.Addr().String()}}, options())
	failedWith(t, r, "nothing was measured")
	if f := r.Failures[0]; !strings.HasPrefix(f.Reason, "ECONNREFUSED") || !strings.Contains(f.Remedy, "start the server") {
		t.Errorf("failure %+v, want ECONNREFUSED explained", f)
	}
}

func TestAddressNotAvailable(t *testing.T) {
	cfg := config(new(server).start(t))
	cfg.Sources = []string{"192.0.2.1"} // TEST-NET-1: nobody's
	r := play(t, t.Context(), scenario.NameIdle, 3, cfg, options())
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
	cfg, opt := config(s.start(t)), options()
	cfg.Sources = []string{"127.0.0.9", "127.3.2.1"}
	opt.Duration = time.Millisecond
	passed(t, play(t, t.Context(), scenario.NameIdle, 20, cfg, opt))
	if s.stop(); len(seen) != 2 || seen["127.0.0.9"] != 10 || seen["127.3.2.1"] != 10 {
		t.Errorf("connections came from %v, want 10 from each source", seen)
	}
}

func TestRampPacesConnects(t *testing.T) {
	opt := options()
	opt.Ramp, opt.Duration = pace(t, "100/s"), time.Millisecond
	r := play(t, t.Context(), scenario.NameIdle, 11, config(new(server).start(t)), opt)
	passed(t, r)
	// The eleventh attempt is due 100 ms after the start; a slow machine only makes it later.
	if open := r.Phases[0]; open.Length < 0.1 {
		t.Errorf("11 connects at 100 per second took %.3f s, want 0.1 or more", open.Length)
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
	cfg := config(s.start(t))
	cfg.HandshakeTimeout = time.Minute
	r := play(t, ctx, scenario.NameIdle, 50, cfg, options())
	failedWith(t, r, "nothing was measured")
	if !r.Interrupted || r.Opening.Failed != 0 {
		t.Errorf("interrupted %v, opening %+v; want no failure counted", r.Interrupted, r.Opening)
	}
}

func TestLimitsEndTheRun(t *testing.T) {
	spec, err := scenario.Preset(scenario.NameIdle, scenario.Options{Conns: 1 << 29})
	if err != nil {
		t.Fatal(err)
	}
	_, err = fleet.Run(t.Context(), fleet.Order{Config: bench.Config{URLs: []string{"ws://127.0.0.1:1"}}, Spec: spec, Processes: 1})
	var limit *bench.DescriptorError
	if !errors.As(err, &limit) || !strings.Contains(err.Error(), "ulimit -Hn") {
		t.Errorf("error %v, want a DescriptorError with the remedy", err)
	}
}

// TestProgressEndsComplete wants the last word on every phase to be its end.
func TestProgressEndsComplete(t *testing.T) {
	last := map[string]bench.Snapshot{}
	cfg := config(new(server).start(t))
	cfg.Progress = func(s bench.Snapshot) { last[s.Phase] = s }
	passed(t, play(t, t.Context(), scenario.NameBroadcast, 30, cfg, options()))
	for phase, want := range map[string]int64{"open": 30, "drain": 600, "close": 30} {
		if s := last[phase]; s.Done != want || s.Total != want || s.Conns != 30 {
			t.Errorf("phase %s ended with %+v, want %d done", phase, s, want)
		}
	}
}
