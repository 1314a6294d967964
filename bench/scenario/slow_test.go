package scenario_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/bench"
	"roost/bench/scenario"
)

// Of ten connections one is slow: opened after those that listen, before the
// one that publishes.
const (
	slowConns = 10
	slowOne   = 8
)

// slowly plays slow against s, with connections opened one after the other, so
// that the server's numbers are those of the slots.
func slowly(t *testing.T, ctx context.Context, s *server, opt scenario.Options) *bench.Result {
	t.Helper()
	opt.Publishers = 1
	cfg := config(s.start(t))
	cfg.Handshakes = 1
	r := play(t, ctx, scenario.NameSlow, slowConns, cfg, opt)
	passed(t, r)
	if m := r.Parts[0].Messages; m.Expected != 9*m.Sent || m.Received != m.Expected || m.ConnsIncomplete != 0 || m.DistinctOrders != 1 ||
		m.Slow == nil || m.Slow.Conns != 1 {
		t.Errorf("messages %+v, slow %+v; want the nine others complete", m, m.Slow)
	}
	return r
}

func TestSlowReaderMisses(t *testing.T) {
	s := &server{deliver: func(n, k int, f ws.Frame) []ws.Frame {
		if n == slowOne && k >= 5 {
			return nil
		}
		return []ws.Frame{f}
	}}
	r := slowly(t, t.Context(), s, options())
	if slow := r.Parts[0].Messages.Slow; slow.Received > 5 || slow.Closed != 0 || slow.BytesPerSecond != 1000 {
		t.Errorf("slow %+v, want five at most", slow)
	}
}

// TestSlowReaderIsClosed ends the run when the client has answered the close frame.
func TestSlowReaderIsClosed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &server{deliver: func(n, k int, f ws.Frame) []ws.Frame {
		switch {
		case n != slowOne || k < 5:
			return []ws.Frame{f}
		case k == 5:
			return []ws.Frame{ws.NewCloseFrame(ws.NewCloseFrameBody(1008, "too slow"))}
		}
		return nil
	}}
	s.onClose = func(p *peer) {
		if p.n == slowOne {
			cancel()
		} else {
			p.send(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))
		}
		p.cut()
	}
	opt := options()
	opt.Messages, opt.SlowRate = 0, 100_000
	r := slowly(t, ctx, s, opt)
	if slow := r.Parts[0].Messages.Slow; slow.Closed != 1 || slow.Received != 5 || closes(r)[1008] != 1 {
		t.Errorf("slow %+v, closes %v; want one closed after five", slow, closes(r))
	}
	if warnings := strings.Join(r.Warnings, "\n"); !strings.Contains(warnings, "1 of 1 slow readers were ended by the server: 1008 x 1") {
		t.Errorf("warnings %q do not say so", warnings)
	}
}

// TestSlowReaderIsSlow has the server notice: what it writes does not fit into
// the buffers, and it cuts the connection off.
func TestSlowReaderIsSlow(t *testing.T) {
	var stuck atomic.Bool
	s := &server{opened: func(n int, p *peer) {
		if n == slowOne {
			p.conn.(*net.TCPConn).SetWriteBuffer(4096)
		}
	}}
	s.write = func(w io.Writer, b []byte) {
		c := w.(net.Conn)
		if s.numberOf(c) == slowOne {
			c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		}
		if _, err := c.Write(b); err != nil && !stuck.Swap(true) {
			c.Close()
		}
	}
	opt := options()
	opt.Messages, opt.Payload.Bytes = 40, "16384"
	r := slowly(t, t.Context(), s, opt)
	if slow := r.Parts[0].Messages.Slow; slow.Received >= 40 || !stuck.Load() {
		t.Errorf("slow %+v, stuck %v; want a server that cannot get rid of its messages", slow, stuck.Load())
	}
}
