package scenario

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"

	"roost/bench"
)

const (
	// sendsPerTurn bounds the scheduled messages sent between two looks at the events.
	sendsPerTurn = 1024
	// pendingBytes is how much a publisher may have written that the server does
	// not take. Then the schedule waits, and the latencies show it.
	pendingBytes = 1 << 20
	// interruptedTimeout ends the wait for what is under way after an interrupt.
	interruptedTimeout = 2 * time.Second
)

// broadcast has some connections publish and checks that every connection
// receives everything, once, whole, and in each publisher's order.
type broadcast struct {
	s         *session
	payloads  *bench.Payloads
	sequences *bench.Sequences
	latency   *bench.Recorder // due or sent to received, per delivery
	fanOut    *bench.Recorder // to the last connection's receipt, per message
	scratch   []byte

	members    []member // by slot
	publishers []publisher
	sending    int   // publishers that have messages left and are open
	live       int64 // members that have not ended

	wanted, sent           int64 // messages
	scheduled              int64 // open loop: messages due so far
	participants           int64 // members at the start
	received, outstanding  int64 // deliveries; outstanding only of live members
	ended                  int64
	duplicate, outOfOrder  int64
	corrupt, foreign       int64
	first, last, worstLag  time.Duration
	started, stopped, late bool
}

// member is one receiving connection.
type member struct {
	order uint64 // hash of the messages in the order of their first arrival
	got   uint32 // distinct messages
	in    bool   // was open when the first message was sent
	gone  bool
}

type publisher struct {
	conn     *bench.Conn
	sent     uint32
	quota    uint32 // 0: no limit
	inFlight int
	left     []uint32 // per message: members that have not received it
}

func newBroadcast(s *session) *broadcast {
	return &broadcast{
		s:        s,
		payloads: newPayloads(s.opt.PayloadBytes),
		latency:  bench.NewRecorder(),
		fanOut:   bench.NewRecorder(),
		members:  make([]member, s.cfg.Conns),
		wanted:   int64(s.opt.Messages),
		first:    -1,
	}
}

func newPayloads(size int) *bench.Payloads {
	var run [4]byte
	rand.Read(run[:])
	return bench.NewPayloads(binary.LittleEndian.Uint32(run[:]), size)
}

func (w *broadcast) Opened(*bench.Conn) {}

func (w *broadcast) run(ctx context.Context, s *session) error {
	w.enlist()
	s.cl.SetPhase("broadcast", func() (int64, int64, string) {
		return w.received, w.wanted * w.participants, "deliveries"
	})
	s.cl.Count(func() bench.Counts { return bench.Counts{Sent: w.sent, Received: w.received, Latency: w.latency} })
	start := s.cl.Now()
	quiet := idleTimeout{limit: timeout(s.cfg)}
	step := func(now time.Duration) (time.Duration, bool) {
		if w.wanted == 0 && s.opt.Duration > 0 && now-start >= s.opt.Duration {
			w.stopped = true
		}
		wait := w.publish(now - start)
		if w.wanted == 0 && s.opt.Duration > 0 && !w.stopped {
			wait = sooner(wait, start+s.opt.Duration-now)
		}
		if w.complete() {
			return 0, true
		}
		if s.opt.Interval > 0 && w.publishing() {
			return wait, false // silence between two scheduled messages is no fault
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

// enlist makes every open connection a member and the last ones publishers: a
// server that walks its connections in the order of joining serves those last,
// so that a publisher which has its own message back knows most others have it.
func (w *broadcast) enlist() {
	w.started = true
	count := min(w.s.opt.Publishers, w.s.cl.OpenCount())
	w.sequences = bench.NewSequences(len(w.members), count)
	for i := range w.members {
		if w.s.cl.Conn(i).Open() {
			w.members[i].in = true
			w.participants++
		}
	}
	w.live = w.participants
	for i := len(w.members) - 1; len(w.publishers) < count; i-- {
		if w.members[i].in {
			w.publishers = append(w.publishers, publisher{conn: w.s.cl.Conn(i)})
		}
	}
	for i := range w.publishers {
		if w.wanted > 0 {
			quota := w.wanted / int64(count)
			if int64(i) < w.wanted%int64(count) {
				quota++
			}
			if quota == 0 {
				continue
			}
			w.publishers[i].quota = uint32(quota)
		}
		w.sending++
	}
}

// publish sends what is due and returns the wait until the next message is.
func (w *broadcast) publish(sinceStart time.Duration) time.Duration {
	if !w.publishing() {
		return -1
	}
	if w.s.opt.Interval > 0 {
		return w.publishSchedule(sinceStart)
	}
	if w.sent == 0 { // the closed loop starts here and goes on in Message
		for i := range w.publishers {
			for range w.s.opt.InFlight {
				w.send(uint32(i), -1)
			}
		}
	}
	return -1
}

// publishSchedule sends by the clock: message i of all is due at i times
// Interval/Publishers, from the publishers in turn.
func (w *broadcast) publishSchedule(sinceStart time.Duration) time.Duration {
	count := int64(len(w.publishers))
	step := float64(w.s.opt.Interval) / float64(count)
	for range sendsPerTurn {
		if !w.publishing() {
			return -1
		}
		due := time.Duration(float64(w.scheduled) * step)
		if due > sinceStart {
			return due - sinceStart
		}
		p := uint32(w.scheduled % count)
		if w.publishers[p].conn.Pending() > pendingBytes {
			return time.Millisecond
		}
		lag := sinceStart - due
		w.worstLag = max(w.worstLag, lag)
		w.send(p, lag)
		w.scheduled++
	}
	return 0
}

// send publishes one message that was due lag ago; a negative lag means now.
func (w *broadcast) send(index uint32, lag time.Duration) {
	p := &w.publishers[index]
	if w.stopped || !p.conn.Open() || (p.quota > 0 && p.sent == p.quota) || (p.quota == 0 && w.wanted > 0) {
		return
	}
	now := w.s.cl.Now()
	if w.first < 0 {
		w.first = now
	}
	p.sent++
	p.inFlight++
	p.left = append(p.left, uint32(w.live))
	w.sent++
	w.outstanding += w.live
	if p.quota > 0 && p.sent == p.quota {
		w.sending--
	}
	stamp := bench.Stamp{Publisher: index, Sequence: p.sent, Sent: now - max(0, lag)}
	w.scratch = w.payloads.Append(w.scratch[:0], stamp)
	w.s.cl.Send(p.conn, w.scratch)
}

func (w *broadcast) Message(c *bench.Conn, _ byte, payload []byte, at time.Duration) {
	stamp, match := w.payloads.Check(payload)
	if match == bench.MatchForeign || !w.started {
		w.foreign++
		return
	}
	if match == bench.MatchCorrupt || int(stamp.Publisher) >= len(w.publishers) ||
		stamp.Sequence == 0 || stamp.Sequence > w.publishers[stamp.Publisher].sent {
		w.corrupt++
		return
	}
	switch w.sequences.Observe(c.Index(), stamp.Publisher, stamp.Sequence) {
	case bench.ArrivalDuplicate:
		w.duplicate++
		return
	case bench.ArrivalStale:
		w.outOfOrder++
		return
	case bench.ArrivalLate:
		w.outOfOrder++
	}
	w.received++
	w.outstanding--
	w.last = at
	w.latency.Record(at - stamp.Sent)
	m := &w.members[c.Index()]
	m.got++
	m.order = (m.order ^ (uint64(stamp.Publisher)<<32 | uint64(stamp.Sequence))) * 0x100000001b3 // FNV-1a's step
	p := &w.publishers[stamp.Publisher]
	if left := &p.left[stamp.Sequence-1]; *left > 0 {
		if *left--; *left == 0 {
			w.fanOut.Record(at - stamp.Sent)
		}
	}
	if p.conn == c {
		p.inFlight--
		if w.s.opt.Interval == 0 && p.inFlight < w.s.opt.InFlight {
			w.send(stamp.Publisher, -1)
		}
	}
}

func (w *broadcast) Ended(c *bench.Conn) {
	m := &w.members[c.Index()]
	if !m.in || m.gone {
		return
	}
	m.gone = true
	w.ended++
	w.live--
	w.outstanding -= w.sent - int64(m.got)
	for i := range w.publishers {
		if p := &w.publishers[i]; p.conn == c && (w.wanted == 0 || p.sent < p.quota) {
			w.sending--
		}
	}
}

// publishing tells whether more messages are to be sent.
func (w *broadcast) publishing() bool { return !w.stopped && w.sending > 0 }

// complete tells whether nothing more is to come.
func (w *broadcast) complete() bool {
	switch {
	case w.s.cl.OpenCount() == 0:
		return true
	case w.s.opt.ExpectClose != 0 && !w.stopped:
		return false // the server is to close first; the timeout bounds the wait
	}
	return !w.publishing() && w.outstanding == 0
}

func (w *broadcast) fill(s *session) {
	if !w.started {
		return
	}
	m := &bench.Messages{
		PayloadBytes: s.opt.PayloadBytes,
		Planned:      w.wanted,
		Sent:         w.sent,
		Expected:     w.sent * w.participants,
		Received:     w.received,
		Duplicate:    w.duplicate,
		OutOfOrder:   w.outOfOrder,
		Corrupt:      w.corrupt,
		Foreign:      w.foreign,
		Latency:      w.latency.Quantiles(),
		FanOut:       w.fanOut.Quantiles(),
		SendLagUS:    w.worstLag.Microseconds(),
		InTime:       !w.late,
	}
	m.Missing = m.Expected - m.Received
	m.Seconds, m.PerSecond = rate(w.first, w.last, m.Received)
	orders := map[uint64]bool{}
	for i := range w.members {
		switch {
		case !w.members[i].in:
		case int64(w.members[i].got) != w.sent:
			m.ConnsIncomplete++
		default:
			orders[w.members[i].order] = true
		}
	}
	m.DistinctOrders = len(orders)
	s.res.AddHistogram(bench.MessageLatency, w.latency)
	s.res.AddHistogram(bench.FanOutLatency, w.fanOut)
	s.res.Messages = m
}

func (w *broadcast) units() int64 { return w.received }

// rate is the time from the first send to the last receipt and what it makes
// per second.
func rate(first, last time.Duration, n int64) (seconds, perSecond float64) {
	if n == 0 || last <= first {
		return 0, 0
	}
	seconds = (last - first).Seconds()
	return seconds, float64(n) / seconds
}

func sooner(a, b time.Duration) time.Duration {
	if a < 0 || (b >= 0 && b < a) {
		return b
	}
	return a
}
