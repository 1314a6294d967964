package scenario_test

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/bench/scenario"
)

func TestBroadcastDeliversEverything(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*scenario.Options)
	}{
		{"closed loop", func(*scenario.Options) {}},
		{"one at a time", func(o *scenario.Options) { o.Publishers, o.InFlight = 1, 1 }},
		{"everyone publishes", func(o *scenario.Options) { o.Publishers = 30 }},
		{"more publishers than messages", func(o *scenario.Options) { o.Publishers, o.Messages = 30, 7 }},
		{"scheduled", func(o *scenario.Options) { o.Rate = pace(t, "1000/s") }},
		{"scheduled, all due at once", func(o *scenario.Options) { o.Rate = pace(t, "1000000000/s") }},
		{"largest payload of a 7-bit length", func(o *scenario.Options) { o.Payload.Bytes = "125" }},
		{"16-bit length", func(o *scenario.Options) { o.Payload.Bytes = "65535" }},
		{"64-bit length", func(o *scenario.Options) { o.Payload.Bytes, o.Messages = "1048577", 3 }},
		{"least payload", func(o *scenario.Options) { o.Payload.Bytes = "24" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := new(server).start(t)
			opt := options()
			test.change(&opt)
			before := descriptors(t)
			r := play(t, t.Context(), scenario.NameBroadcast, 30, config(s), opt)
			passed(t, r)
			m, want := r.Parts[0].Messages, int64(30*opt.Messages)
			if m.Sent != int64(opt.Messages) || m.Expected != want || m.Received != want || m.Missing != 0 {
				t.Errorf("sent %d, expected %d, received %d, missing %d; want %d messages and %d deliveries",
					m.Sent, m.Expected, m.Received, m.Missing, opt.Messages, want)
			}
			if m.Latency.Count != want || m.FanOut.Count != m.Sent {
				t.Errorf("%d latencies and %d fan-outs recorded, want %d and %d", m.Latency.Count, m.FanOut.Count, want, m.Sent)
			}
			if m.DistinctOrders != 1 {
				t.Errorf("%d orders, want 1", m.DistinctOrders)
			}
			if r.Closing.Answered != 30 || len(r.Closes) != 0 {
				t.Errorf("closing %+v, closes %v; want 30 answered", r.Closing, r.Closes)
			}
			// The server's own ends close a moment later, when it has seen ours.
			s.listener.Close()
			s.wg.Wait()
			if after := descriptors(t); after >= before {
				t.Errorf("%d descriptors open, %d before the run and with the listener", after, before)
			}
		})
	}
}

// TestBroadcastFindsFaults has one fault on connection 3, in its delivery 4,
// and wants exactly that fault counted.
func TestBroadcastFindsFaults(t *testing.T) {
	t.Parallel()
	type counts struct{ missing, duplicate, outOfOrder, corrupt int64 }
	var kept ws.Frame
	for _, test := range []struct {
		name    string
		fault   func(k int, f ws.Frame) []ws.Frame
		want    counts
		problem string
	}{
		{"lost", func(k int, f ws.Frame) []ws.Frame {
			if k == 4 {
				return nil
			}
			return []ws.Frame{f}
		}, counts{missing: 1}, "1 of 600 deliveries are missing, on 1 connection"},
		{"duplicate", func(k int, f ws.Frame) []ws.Frame {
			if k == 4 {
				return []ws.Frame{f, f}
			}
			return []ws.Frame{f}
		}, counts{duplicate: 1}, "came twice"},
		{"duplicate of the last", func(k int, f ws.Frame) []ws.Frame {
			if k == 19 {
				return []ws.Frame{f, f}
			}
			return []ws.Frame{f}
		}, counts{duplicate: 1}, "came twice"},
		{"swapped", func(k int, f ws.Frame) []ws.Frame {
			switch k {
			case 4:
				kept = ws.NewBinaryFrame(bytes.Clone(f.Payload))
				return nil
			case 5:
				return []ws.Frame{f, kept}
			}
			return []ws.Frame{f}
		}, counts{outOfOrder: 1}, "out of their publisher's order"},
		{"another byte", func(k int, f ws.Frame) []ws.Frame {
			if k == 4 {
				changed := bytes.Clone(f.Payload)
				changed[40] ^= 1
				return []ws.Frame{ws.NewBinaryFrame(changed)}
			}
			return []ws.Frame{f}
		}, counts{missing: 1, corrupt: 1}, "other content"},
		{"cut short", func(k int, f ws.Frame) []ws.Frame {
			if k == 4 {
				return []ws.Frame{ws.NewBinaryFrame(f.Payload[:50])}
			}
			return []ws.Frame{f}
		}, counts{missing: 1, corrupt: 1}, "other content"},
		{"never sent", func(k int, f ws.Frame) []ws.Frame {
			if k == 4 {
				changed := bytes.Clone(f.Payload)
				changed[12] += 200 // the sequence number; the filler no longer follows from it
				return []ws.Frame{f, ws.NewBinaryFrame(changed)}
			}
			return []ws.Frame{f}
		}, counts{corrupt: 1}, "other content"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := &server{deliver: func(n, k int, f ws.Frame) []ws.Frame {
				if n != 3 {
					return []ws.Frame{f}
				}
				return test.fault(k, f)
			}}
			opt := options()
			opt.Publishers = 1
			cfg := config(s.start(t))
			if test.want.missing > 0 {
				cfg = impatient(s)
			}
			r := play(t, t.Context(), scenario.NameBroadcast, 30, cfg, opt)
			m := r.Parts[0].Messages
			if got := (counts{m.Missing, m.Duplicate, m.OutOfOrder, m.Corrupt}); got != test.want {
				t.Errorf("counted %+v, want %+v", got, test.want)
			}
			failedWith(t, r, test.problem)
		})
	}
}

func TestBroadcastCountsForeignMessagesOnly(t *testing.T) {
	s := &server{deliver: func(n, k int, f ws.Frame) []ws.Frame {
		return []ws.Frame{ws.NewTextFrame([]byte("welcome")), f}
	}}
	r := play(t, t.Context(), scenario.NameBroadcast, 10, config(s.start(t)), options())
	passed(t, r)
	if r.Parts[0].Messages.Foreign != 200 {
		t.Errorf("%d foreign messages, want 200", r.Parts[0].Messages.Foreign)
	}
}

// TestBroadcastTellsOrdersApart swaps messages of two publishers on one
// connection: each publisher's order holds, the order of all does not.
func TestBroadcastTellsOrdersApart(t *testing.T) {
	var kept ws.Frame
	s := &server{deliver: func(n, k int, f ws.Frame) []ws.Frame {
		switch {
		case n == 3 && k == 0:
			kept = ws.NewBinaryFrame(bytes.Clone(f.Payload))
			return nil
		case n == 3 && k == 1:
			return []ws.Frame{f, kept}
		}
		return []ws.Frame{f}
	}}
	opt := options()
	opt.InFlight, opt.Messages = 1, 2 // one of each publisher
	r := play(t, t.Context(), scenario.NameBroadcast, 10, config(s.start(t)), opt)
	passed(t, r)
	if r.Parts[0].Messages.DistinctOrders != 2 {
		t.Errorf("%d orders, want 2", r.Parts[0].Messages.DistinctOrders)
	}
}

// TestBroadcastWireForms has the server write what is allowed but rare.
func TestBroadcastWireForms(t *testing.T) {
	byteByByte := func(w io.Writer, b []byte) {
		for i := range b {
			if _, err := w.Write(b[i : i+1]); err != nil {
				return
			}
		}
	}
	// fragments splits a message in three and puts a ping into the middle.
	fragments := func(n, k int, f ws.Frame) []ws.Frame {
		p := f.Payload
		return []ws.Frame{
			ws.NewFrame(ws.OpBinary, false, p[:10]),
			ws.NewPingFrame([]byte("here?")),
			ws.NewFrame(ws.OpContinuation, false, nil),
			ws.NewFrame(ws.OpContinuation, true, p[10:]),
		}
	}
	for _, test := range []struct {
		name    string
		server  *server
		payload string
	}{
		{"byte by byte", &server{write: byteByByte}, "64"},
		{"byte by byte, long header", &server{write: byteByByte}, "300"},
		{"fragments", &server{deliver: fragments}, "64"},
		{"fragments, byte by byte", &server{deliver: fragments, write: byteByByte}, "64"},
		{"large fragments", &server{deliver: fragments}, "600000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			opt := options()
			opt.Payload.Bytes, opt.Messages = test.payload, 5
			cfg := config(test.server.start(t))
			cfg.Timeout = 5 * time.Second // large and byte by byte are slow
			r := play(t, t.Context(), scenario.NameBroadcast, 5, cfg, opt)
			passed(t, r)
			if test.server.deliver != nil && r.Pings != 25 {
				t.Errorf("%d pings answered, want 25", r.Pings)
			}
		})
	}
}

// TestBroadcastPublisherEndsEarly cuts the publisher's connection after five
// deliveries: the run must end without waiting for what cannot come.
func TestBroadcastPublisherEndsEarly(t *testing.T) {
	var s *server
	s = &server{deliver: func(n, k int, f ws.Frame) []ws.Frame {
		if n == s.last() && k == 5 {
			s.peers[len(s.peers)-1].cut() // s.mu is held by receive
			return nil
		}
		return []ws.Frame{f}
	}}
	opt := options()
	opt.Publishers, opt.InFlight = 1, 1
	cfg := config(s.start(t))
	cfg.Handshakes = 1 // so that slots and the server's numbers agree
	cfg.Timeout = time.Minute
	r := play(t, t.Context(), scenario.NameBroadcast, 10, cfg, opt)
	failedWith(t, r, "6 of 20 messages were sent")
	if got := closes(r); got[1006] != 1 || len(got) != 1 {
		t.Errorf("closes %v, want one 1006", got)
	}
	if r.Parts[0].Messages.Missing != 1 || r.Parts[0].Messages.ConnsIncomplete != 1 {
		t.Errorf("%d missing on %d connections, want 1 on 1", r.Parts[0].Messages.Missing, r.Parts[0].Messages.ConnsIncomplete)
	}
}

func (s *server) last() int { return s.peers[len(s.peers)-1].n }

// TestBroadcastSilentServer takes messages and delivers none: the run must end
// by its timeout and fail.
func TestBroadcastSilentServer(t *testing.T) {
	t.Parallel()
	s := &server{deliver: func(int, int, ws.Frame) []ws.Frame { return nil }}
	r := play(t, t.Context(), scenario.NameBroadcast, 10, impatient(s.start(t)), options())
	failedWith(t, r, "nothing was measured")
	failedWith(t, r, "gave up after 1s")
	if m := r.Parts[0].Messages; m.InTime || m.Received != 0 || m.Missing != 40 || m.Latency != nil {
		t.Errorf("result %+v, want 40 missing", m)
	}
}

// TestBroadcastInterrupted ends an unlimited run from outside and wants what
// was under way to be counted still.
func TestBroadcastInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var deliveries atomic.Int64
	s := &server{deliver: func(n, k int, f ws.Frame) []ws.Frame {
		if deliveries.Add(1) == 100 {
			cancel()
		}
		return []ws.Frame{f}
	}}
	opt := options()
	opt.Messages = 0
	r := play(t, ctx, scenario.NameBroadcast, 10, config(s.start(t)), opt)
	passed(t, r)
	if !r.Interrupted || r.Parts[0].Messages.Received < 100 || r.Parts[0].Messages.Missing != 0 {
		t.Errorf("interrupted %v, %+v; want the deliveries under way", r.Interrupted, r.Parts[0].Messages)
	}
}

// TestBroadcastFrozenServer holds the server still once, in the middle of an
// open-loop run: the messages that were due meanwhile must show it, not one.
func TestBroadcastFrozenServer(t *testing.T) {
	const freeze = 400 * time.Millisecond
	s := &server{deliver: func(n, k int, f ws.Frame) []ws.Frame {
		if n == 0 && k == 20 {
			time.Sleep(freeze) // the fault itself
		}
		return []ws.Frame{f}
	}}
	opt := options()
	opt.Publishers, opt.Rate, opt.Messages = 1, pace(t, "100/s"), 60
	cfg := config(s.start(t))
	cfg.Timeout = 5 * time.Second
	r := play(t, t.Context(), scenario.NameBroadcast, 1, cfg, opt)
	passed(t, r)
	// 40 of 60 messages fall into the freeze, half of them into its first half.
	if q := r.Parts[0].Messages.Latency; q.P50 < 50_000 || q.P90 < 250_000 || q.Max < 390_000 {
		t.Errorf("p50 %d us, p90 %d us, max %d us: the freeze of %v is hidden", q.P50, q.P90, q.Max, freeze)
	}
}
