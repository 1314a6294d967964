package scenario

import (
	"context"
	"time"

	"roost/bench"
)

// echo has every connection keep messages in flight and checks that each comes
// back to it, once, whole and in order.
type echo struct {
	s         *session
	payloads  *bench.Payloads
	sequences *bench.Sequences
	latency   *bench.Recorder // round trip
	scratch   []byte

	peers   []peer // by slot
	next    int    // the slot whose first messages are sent next
	sending int    // open connections with messages left
	quota   uint32 // per connection; 0: no limit

	planned, sent          int64
	received, outstanding  int64 // outstanding only of open connections
	ended                  int64
	duplicate, outOfOrder  int64
	corrupt, foreign       int64
	first, last            time.Duration
	started, stopped, late bool
}

// peer is one echoing connection.
type peer struct {
	sent, got uint32
	in, gone  bool
}

func newEcho(s *session) *echo {
	return &echo{
		s:         s,
		payloads:  newPayloads(s.opt.PayloadBytes),
		sequences: bench.NewSequences(s.cfg.Conns, 1),
		latency:   bench.NewRecorder(),
		peers:     make([]peer, s.cfg.Conns),
		quota:     uint32(s.opt.Messages),
		first:     -1,
	}
}

func (w *echo) Opened(*bench.Conn) {}

func (w *echo) run(ctx context.Context, s *session) error {
	w.started = true
	for i := range w.peers {
		if s.cl.Conn(i).Open() {
			w.peers[i].in = true
			w.sending++
		}
	}
	w.planned = int64(w.sending) * int64(w.quota)
	s.cl.SetPhase("echo", func() (int64, int64, string) { return w.received, w.planned, "echoes" })
	s.cl.Count(func() bench.Counts { return bench.Counts{Sent: w.sent, Received: w.received, Latency: w.latency} })
	start := s.cl.Now()
	quiet := idleTimeout{limit: timeout(s.cfg)}
	step := func(now time.Duration) (time.Duration, bool) {
		wait := w.begin()
		if w.quota == 0 && s.opt.Duration > 0 && !w.stopped {
			if left := start + s.opt.Duration - now; left > 0 {
				wait = sooner(wait, left)
			} else {
				w.stopped = true
			}
		}
		if w.complete() {
			return 0, true
		}
		left, over := quiet.expired(now, w.received+w.sent+w.ended)
		w.late = over
		return sooner(wait, left), over
	}
	err := s.cl.Drive(ctx, step)
	if ctx.Err() != nil {
		w.stopped = true
		quiet = idleTimeout{limit: min(timeout(s.cfg), interruptedTimeout)}
		err = s.cl.Drive(context.WithoutCancel(ctx), step)
	}
	return err
}

// begin sends the first messages, a part of the connections at a time so that
// answers are read in between.
func (w *echo) begin() time.Duration {
	for turn := 0; w.next < len(w.peers); turn++ {
		if turn == sendsPerTurn {
			return 0
		}
		c := w.s.cl.Conn(w.next)
		w.next++
		for range w.s.opt.InFlight {
			w.send(c)
		}
	}
	return -1
}

// send sends the next message of a connection, if it has one left.
func (w *echo) send(c *bench.Conn) {
	p := &w.peers[c.Index()]
	if w.stopped || !p.in || !c.Open() || (w.quota > 0 && p.sent == w.quota) {
		return
	}
	now := w.s.cl.Now()
	if w.first < 0 {
		w.first = now
	}
	p.sent++
	w.sent++
	w.outstanding++
	if p.sent == w.quota {
		w.sending--
	}
	stamp := bench.Stamp{Publisher: uint32(c.Index()), Sequence: p.sent, Sent: now}
	w.scratch = w.payloads.Append(w.scratch[:0], stamp)
	w.s.cl.Send(c, w.scratch)
}

func (w *echo) Message(c *bench.Conn, op byte, payload []byte, at time.Duration) {
	stamp, match := w.payloads.Check(payload)
	if match == bench.MatchForeign || !w.started {
		w.foreign++
		return
	}
	p := &w.peers[c.Index()]
	if match == bench.MatchCorrupt || op != bench.OpBinary || int(stamp.Publisher) != c.Index() ||
		stamp.Sequence == 0 || stamp.Sequence > p.sent {
		w.corrupt++
		return
	}
	switch w.sequences.Observe(c.Index(), 0, stamp.Sequence) {
	case bench.ArrivalDuplicate:
		w.duplicate++
		return
	case bench.ArrivalStale:
		w.outOfOrder++
		return
	case bench.ArrivalLate:
		w.outOfOrder++
	}
	p.got++
	w.received++
	w.outstanding--
	w.last = at
	w.latency.Record(at - stamp.Sent)
	w.send(c)
}

func (w *echo) Ended(c *bench.Conn) {
	p := &w.peers[c.Index()]
	if !p.in || p.gone {
		return
	}
	p.gone = true
	w.ended++
	w.outstanding -= int64(p.sent - p.got)
	if w.quota == 0 || p.sent < w.quota {
		w.sending--
	}
}

// complete tells whether nothing more is to come.
func (w *echo) complete() bool {
	switch {
	case w.s.cl.OpenCount() == 0:
		return true
	case w.s.opt.ExpectClose != 0 && !w.stopped:
		return false
	}
	return (w.stopped || w.sending == 0) && w.outstanding == 0
}

func (w *echo) fill(s *session) {
	if !w.started {
		return
	}
	m := &bench.Messages{
		PayloadBytes: s.opt.PayloadBytes,
		Planned:      w.planned,
		Sent:         w.sent,
		Expected:     w.sent,
		Received:     w.received,
		Missing:      w.sent - w.received,
		Duplicate:    w.duplicate,
		OutOfOrder:   w.outOfOrder,
		Corrupt:      w.corrupt,
		Foreign:      w.foreign,
		Latency:      w.latency.Quantiles(),
		InTime:       !w.late,
	}
	m.Seconds, m.PerSecond = rate(w.first, w.last, m.Received)
	for i := range w.peers {
		if w.peers[i].got != w.peers[i].sent {
			m.ConnsIncomplete++
		}
	}
	s.res.AddHistogram(bench.MessageLatency, w.latency)
	s.res.Messages = m
}

func (w *echo) units() int64 { return w.received }
