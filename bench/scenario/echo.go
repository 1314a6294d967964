package scenario

import (
	"time"

	"roost/bench"
)

// echo has every connection of a group send messages and checks that each comes
// back to it, once, whole and in order.
type echo struct {
	still
	s         *session
	group     *Group
	slots     slots
	payload   bench.PayloadSpec
	payloads  *bench.Payloads
	sequences *bench.Sequences
	latency   *bench.Recorder // round trip, from when the message was due or sent
	before    *bench.Recorder // the same in the warm-up
	scratch   []byte

	peers []peer // by slot of the group
	next  int    // the peer that sends next
	pacer bench.Pacer
	quota uint32 // per connection; 0: no limit
	left  int    // open connections with messages left
	begun bool

	planned, total, warm  int64
	received, measured    int64
	outstanding           int64 // only of open connections
	ends                  int64
	duplicate, outOfOrder int64
	corrupt, foreign      int64
	first, last, lag      time.Duration
	stopped, gaveUp       bool
}

// peer is one echoing connection.
type peer struct {
	sent, got uint32
	in, gone  bool
	times     []time.Duration // of the messages under way, when they bear no stamp
}

func newEcho(s *session, index int) (*echo, error) {
	g := &s.spec.Groups[index]
	payload, err := g.Payload.spec()
	if err != nil {
		return nil, err
	}
	own := s.ranges[index]
	return &echo{
		s: s, group: g, slots: own, payload: payload,
		payloads:  bench.NewPayloads(s.spec.Run+uint32(index), payload, time.Now().Add(-s.cl.Now())),
		sequences: bench.NewSequences(g.Conns, 1),
		latency:   bench.NewRecorder(),
		before:    bench.NewRecorder(),
		peers:     make([]peer, g.Conns),
		pacer:     bench.NewPacer(g.Rate),
		quota:     uint32(g.Messages),
		first:     -1,
	}, nil
}

func (w *echo) conn(i int) *bench.Conn { return w.s.cl.Conn(w.slots.from + i) }

// number is that of a connection among those of all agents.
func (w *echo) number(i int) uint32 { return uint32(w.group.First + i) }

func (w *echo) begin(time.Duration) {
	w.begun = true
	for i := range w.peers {
		if w.conn(i).Open() {
			w.peers[i].in = true
			w.left++
		}
	}
	w.planned = int64(w.left) * int64(w.quota)
}

func (w *echo) step(now time.Duration) time.Duration {
	switch {
	case w.stopped || !w.begun || w.left == 0:
		return -1
	case w.group.Rate.Limited():
		return w.sendScheduled(now - w.s.start)
	}
	// The closed loop starts here, a part of the connections at a time so that
	// answers are read in between, and goes on in message.
	for turn := 0; w.next < len(w.peers); turn++ {
		if turn == sendsPerTurn {
			return 0
		}
		for range w.group.InFlight {
			w.send(w.next, -1)
		}
		w.next++
	}
	return -1
}

// sendScheduled sends what is due by the clock, from the connections in turn.
func (w *echo) sendScheduled(since time.Duration) time.Duration {
	for range sendsPerTurn {
		if w.left == 0 {
			return -1
		}
		due := w.pacer.Due()
		if due > since {
			return due - since
		}
		for !w.ready(w.next) {
			w.next = (w.next + 1) % len(w.peers)
		}
		if w.conn(w.next).Pending() > pendingBytes {
			return time.Millisecond
		}
		lag := since - due
		w.lag = max(w.lag, lag)
		w.send(w.next, lag)
		w.next = (w.next + 1) % len(w.peers)
		w.pacer.Next()
	}
	return 0
}

// ready tells whether a connection has messages left. One that has is among
// those counted in left.
func (w *echo) ready(i int) bool {
	p := &w.peers[i]
	return p.in && !p.gone && (w.quota == 0 || p.sent < w.quota)
}

// send sends the next message of a connection, if it has one left, which was
// due lag ago; a negative lag means now.
func (w *echo) send(i int, lag time.Duration) {
	p, c := &w.peers[i], w.conn(i)
	if w.stopped || !w.ready(i) {
		return
	}
	p.sent++
	if p.sent == w.quota {
		w.left--
	}
	w.total++
	w.outstanding++
	stamp := bench.Stamp{Publisher: w.number(i), Sequence: p.sent, Sent: w.s.cl.Now() - max(0, lag)}
	if w.s.inMeasure(stamp) {
		if w.first < 0 {
			w.first = stamp.Sent
		}
	} else {
		w.warm++
	}
	if !w.payload.Stamped() {
		p.times = append(p.times, stamp.Sent)
	}
	w.scratch = w.payloads.Append(w.scratch[:0], stamp)
	w.s.cl.Send(c, w.payloads.Op(), w.scratch)
}

func (w *echo) message(c *bench.Conn, op byte, payload []byte, at time.Duration) {
	i := c.Index() - w.slots.from
	p := &w.peers[i]
	if !w.begun {
		w.foreign++
		return
	}
	stamp, match := w.check(p, i, payload)
	switch {
	case match == bench.MatchForeign:
		w.foreign++
		return
	case match == bench.MatchCorrupt, stamp.Publisher != w.number(i), stamp.Sequence == 0, stamp.Sequence > p.sent,
		len(w.payload.Templates) == 0 && op != w.payloads.Op():
		w.corrupt++
		return
	}
	switch w.sequences.Observe(i, 0, stamp.Sequence) {
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
	if w.s.inMeasure(stamp) {
		w.measured++
		w.last = at
		w.latency.Record(at - stamp.Sent)
	} else {
		w.before.Record(at - stamp.Sent)
	}
	if !w.group.Rate.Limited() {
		w.send(i, -1)
	}
}

// check finds out which message it is. Without a stamp it answers the oldest
// that has no answer yet.
func (w *echo) check(p *peer, i int, payload []byte) (bench.Stamp, bench.Match) {
	stamp, match := w.payloads.Check(payload)
	if match != bench.MatchUnstamped {
		return stamp, match
	}
	if len(p.times) == 0 {
		return stamp, bench.MatchForeign
	}
	stamp = bench.Stamp{Publisher: w.number(i), Sequence: p.got + 1, Sent: p.times[0]}
	p.times = p.times[:copy(p.times, p.times[1:])]
	return stamp, bench.MatchOurs
}

func (w *echo) ended(c *bench.Conn) {
	p := &w.peers[c.Index()-w.slots.from]
	if !p.in || p.gone {
		return
	}
	p.gone = true
	w.ends++
	w.outstanding -= int64(p.sent - p.got)
	if w.quota == 0 || p.sent < w.quota {
		w.left--
	}
}

func (w *echo) limited() bool  { return w.quota > 0 }
func (w *echo) sending() bool  { return w.begun && !w.stopped && w.left > 0 }
func (w *echo) pacing() bool   { return w.sending() && w.group.Rate.Limited() }
func (w *echo) waiting() bool  { return w.sending() && !w.group.Rate.Limited() }
func (w *echo) stop()          { w.stopped = true }
func (w *echo) complete() bool { return w.outstanding == 0 }
func (w *echo) giveUp()        { w.gaveUp = true }
func (w *echo) moved() int64   { return w.received + w.total + w.ends }

func (w *echo) counted() (sent, received int64, latency *bench.Recorder) {
	return w.total, w.received, w.latency
}

func (w *echo) progress() (done, total int64, unit string) { return w.received, w.planned, "echoes" }

func (w *echo) report() PartReport {
	r := PartReport{Name: w.group.Name, Role: string(Echo), Conns: int64(w.group.Conns)}
	if !w.begun {
		return r
	}
	t := &Traffic{
		Planned: w.planned, Sent: w.total, WarmUp: w.warm, Received: w.received, Counted: w.measured,
		Duplicate: w.duplicate, OutOfOrder: w.outOfOrder, Corrupt: w.corrupt, Foreign: w.foreign,
		First: w.first, Last: w.last, Lag: w.lag, Late: w.gaveUp, Latency: w.latency, Before: w.before,
	}
	for i := range w.peers {
		if p := &w.peers[i]; p.in {
			t.Members++
			if p.got != p.sent {
				t.Incomplete++
			}
		}
	}
	r.Traffic = t
	return r
}
