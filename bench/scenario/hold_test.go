package scenario_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/bench"
	"roost/bench/scenario"
)

func TestIdleHolds(t *testing.T) {
	s := &server{opened: func(n int, p *peer) { p.send(ws.NewPingFrame([]byte{byte(n)})) }}
	opt := options()
	opt.Duration = 50 * time.Millisecond
	r := play(t, t.Context(), scenario.NameIdle, 40, config(s.start(t)), opt)
	passed(t, r)
	if h := r.Parts[0].Hold; h.Open != 40 || h.Dropped != 0 || h.Seconds < 0.05 || h.Pinged != 40 || h.Ponged != 40 {
		t.Errorf("hold %+v, want 40 open for 50 ms, and all to answer", h)
	}
	if o := r.Opening; o.Opened != 40 || o.Handshake.Count != 40 || o.PerSecond <= 0 {
		t.Errorf("opening %+v, want 40", o)
	}
	if s.stop(); r.Pings != 40 || s.pongs != 40 {
		t.Errorf("%d pings answered, %d pongs received, want 40", r.Pings, s.pongs)
	}
	for _, code := range s.codes {
		if code != ws.StatusNormalClosure {
			t.Errorf("client closed with %d, want 1000", code)
		}
	}
}

func TestIdleReportsDropped(t *testing.T) {
	s := &server{opened: func(n int, p *peer) {
		if n%4 == 0 {
			p.cut()
		}
	}}
	opt := options()
	opt.Duration = 50 * time.Millisecond
	r := play(t, t.Context(), scenario.NameIdle, 40, config(s.start(t)), opt)
	failedWith(t, r, "the server ended 10 connections: 1006 (no close frame) x 10")
	if r.Parts[0].Hold.Dropped != 10 || r.Parts[0].Hold.Open != 30 {
		t.Errorf("hold %+v, want 10 dropped", r.Parts[0].Hold)
	}
}

func TestInterruptedHold(t *testing.T) {
	const conns = 10
	ctx, cancel := context.WithCancel(t.Context())
	cfg := config(new(server).start(t))
	cfg.Progress = func(s bench.Snapshot) {
		if s.Phase == "measure" {
			cancel()
		}
	}
	r := play(t, ctx, scenario.NameIdle, conns, cfg, options()) // no duration: until interrupted
	passed(t, r)
	if !r.Interrupted || r.Parts[0].Hold.Open != conns {
		t.Errorf("interrupted %v, hold %+v; want %d open", r.Interrupted, r.Parts[0].Hold, conns)
	}
}

// TestUnansweredClose meets a server that ignores close frames: the run must
// end by the deadline and say so.
func TestUnansweredClose(t *testing.T) {
	t.Parallel()
	s := &server{onClose: func(*peer) {}}
	opt := options()
	opt.Duration = time.Millisecond
	r := play(t, t.Context(), scenario.NameIdle, 10, impatient(s.start(t)), opt)
	passed(t, r)
	if r.Closing.Unanswered != 10 || !strings.Contains(strings.Join(r.Warnings, "\n"), "did not answer our close frame") {
		t.Errorf("closing %+v, warnings %q; want 10 unanswered", r.Closing, r.Warnings)
	}
}

// TestHoldAsksInTheEnd finds the connections that are open and dead.
func TestHoldAsksInTheEnd(t *testing.T) {
	s := &server{onPing: func(p *peer) {
		if p.n != 3 {
			p.send(ws.NewPongFrame(nil))
		}
	}}
	opt := options()
	opt.Duration = time.Millisecond
	r := play(t, t.Context(), scenario.NameIdle, 3000, impatient(s.start(t)), opt) // more than one turn of pings
	failedWith(t, r, "1 connection did not answer the ping in the end")
	if h := r.Parts[0].Hold; h.Open != 3000 || h.Pinged != 3000 || h.Ponged != 2999 || h.Dropped != 0 {
		t.Errorf("hold %+v, want one without an answer", h)
	}
}
