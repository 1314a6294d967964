package scenario

import (
	"math"
	"time"

	"roost/bench"
)

const (
	// sendsPerTurn bounds the messages sent between two looks at the events.
	sendsPerTurn = 1024
	// pendingBytes is how much a publisher may have written that the server does
	// not take. Then the schedule waits, and the latencies show it.
	pendingBytes = 1 << 20
)

// room has some connections publish and checks that every member receives
// everything, once, whole, and in each publisher's order. It is the part of all
// groups that listen or publish.
type room struct {
	still
	s         *session
	name      string
	unstamped bool
	publish   []*publishing // the groups that publish

	members    []member // by slot of the client
	sequences  *bench.Sequences
	publishers []publisher // of all agents, in the order of groups, then agents
	live       int64       // members that have not ended
	in         int64       // members at the start

	received, measured    int64 // deliveries; measured after the warm-up
	receivedLive          int64 // by members that have not ended
	total                 int64 // messages of all agents; known in the end
	ends                  int64
	duplicate, outOfOrder int64
	corrupt, foreign      int64
	last                  time.Duration
	latency               *bench.Recorder // due or sent to received, per delivery
	before                *bench.Recorder // the same in the warm-up
	slowConns, slowClosed int64
	slowReceived          int64
	slowRate              int
	started, draining     bool
	gaveUp                bool
}

// member is one connection of the room.
type member struct {
	order uint64 // hash of the messages in the order of their first arrival
	got   uint32 // distinct messages
	in    bool   // was open when the traffic began
	slow  bool   // reads slowly: nothing is expected of it
	gone  bool
}

// publisher is one of all agents' publishers.
type publisher struct {
	local  *sender  // nil: another agent's
	left   []uint32 // per message: members that have not received it
	fanOut []uint32 // per message: microseconds until the last of them had, 0 before
}

func newRoom(s *session, name string) (*room, error) {
	w := &room{s: s, name: name, members: make([]member, s.cfg.Conns), latency: bench.NewRecorder(), before: bench.NewRecorder()}
	for i := range s.spec.Groups {
		g := &s.spec.Groups[i]
		if g.Role != Publish {
			continue
		}
		payload, err := g.Payload.spec()
		if err != nil {
			return nil, err
		}
		w.unstamped = w.unstamped || !payload.Stamped()
		epoch := time.Now().Add(-s.cl.Now())
		w.publish = append(w.publish, &publishing{
			room: w, group: g, index: i, slots: s.ranges[i],
			payload: payload, payloads: bench.NewPayloads(s.spec.Run+uint32(i), payload, epoch),
			pacer: bench.NewPacer(g.Rate), first: -1,
		})
	}
	return w, nil
}

// gather makes every open connection of the room a member and numbers the
// publishers of all agents alike.
func (w *room) gather(opened *Meeting) {
	for i, g := range w.s.spec.Groups {
		if g.Role != Listen && g.Role != Publish {
			continue
		}
		for slot := w.s.ranges[i].from; slot < w.s.ranges[i].to; slot++ {
			c := w.s.cl.Conn(slot)
			if !c.Open() {
				continue
			}
			m := &w.members[slot]
			m.in, m.slow = true, g.ReadRate > 0
			if m.slow {
				w.slowConns++
				w.slowRate = g.ReadRate
				w.s.cl.ReadSlowly(c, g.ReadRate)
				continue
			}
			w.in++
		}
	}
	w.live = w.in
	for _, p := range w.publish {
		p.gather(opened)
	}
	w.sequences = bench.NewSequences(len(w.members), len(w.publishers))
}

func (w *room) begin(time.Duration) {
	w.started = true
	for _, p := range w.publish {
		p.openFire()
	}
}

func (w *room) step(now time.Duration) time.Duration {
	wait := time.Duration(-1)
	for _, p := range w.publish {
		wait = sooner(wait, p.step(now))
	}
	return wait
}

func (w *room) message(c *bench.Conn, _ byte, payload []byte, at time.Duration) {
	m := &w.members[c.Index()]
	if !m.in {
		w.foreign++
		return
	}
	stamp, match := w.check(m, payload)
	switch {
	case match == bench.MatchForeign:
		w.foreign++
		return
	case match == bench.MatchCorrupt, int(stamp.Publisher) >= len(w.publishers), stamp.Sequence == 0,
		w.publishers[stamp.Publisher].local != nil && stamp.Sequence > w.publishers[stamp.Publisher].local.sent:
		w.corrupt++
		return
	case m.slow:
		w.slowReceived++
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
	w.receivedLive++
	m.got++
	m.order = (m.order ^ (uint64(stamp.Publisher)<<32 | uint64(stamp.Sequence))) * 0x100000001b3 // FNV-1a's step
	p := &w.publishers[stamp.Publisher]
	p.arrived(stamp, at, w.live, w.s.inMeasure(stamp))
	if w.s.inMeasure(stamp) {
		w.measured++
		w.last = at
		w.latency.Record(at - stamp.Sent)
	} else {
		w.before.Record(at - stamp.Sent)
	}
	if p.local != nil && p.local.conn == c {
		p.local.returned()
	}
}

// check finds out which message it is. Without a stamp it is the next one of the
// only publisher.
func (w *room) check(m *member, payload []byte) (stamp bench.Stamp, match bench.Match) {
	for _, p := range w.publish {
		if stamp, match = p.payloads.Check(payload); match != bench.MatchForeign {
			break
		}
	}
	if match != bench.MatchUnstamped {
		return stamp, match
	}
	stamp.Sequence = m.got + 1
	if len(w.publishers) == 0 || w.publishers[0].local == nil || stamp.Sequence > w.publishers[0].local.sent {
		return stamp, bench.MatchForeign
	}
	stamp.Sent = w.publishers[0].local.times[m.got]
	return stamp, bench.MatchOurs
}

// arrived notes when the last member has a message.
func (p *publisher) arrived(stamp bench.Stamp, at time.Duration, live int64, counts bool) {
	for len(p.left) < int(stamp.Sequence) {
		p.left = append(p.left, uint32(live))
		p.fanOut = append(p.fanOut, 0)
	}
	left := &p.left[stamp.Sequence-1]
	if *left == 0 {
		return
	}
	if *left--; *left == 0 && counts {
		us := max(1, (at - stamp.Sent).Microseconds())
		p.fanOut[stamp.Sequence-1] = uint32(min(us, math.MaxUint32))
	}
}

func (w *room) ended(c *bench.Conn) {
	m := &w.members[c.Index()]
	if !m.in || m.gone {
		return
	}
	m.gone = true
	w.ends++
	if m.slow {
		w.slowClosed++
		return
	}
	w.live--
	w.receivedLive -= int64(m.got)
	for _, p := range w.publish {
		p.ended(c)
	}
}

func (w *room) limited() bool {
	for _, p := range w.publish {
		if p.group.Messages > 0 {
			return true
		}
	}
	return false
}

func (w *room) sending() bool {
	for _, p := range w.publish {
		if p.sending > 0 {
			return true
		}
	}
	return false
}

func (w *room) pacing() bool {
	for _, p := range w.publish {
		if p.sending > 0 && p.group.Rate.Limited() {
			return true
		}
	}
	return false
}

func (w *room) waiting() bool { return w.sending() && !w.pacing() }

func (w *room) stop() {
	for _, p := range w.publish {
		p.stop()
	}
}

func (w *room) sent() (sent []uint32) {
	for _, p := range w.publish {
		for i := range p.senders {
			sent = append(sent, p.senders[i].sent)
		}
	}
	return sent
}

// drain learns how much there is to come.
func (w *room) drain(sent *Meeting) {
	w.draining = true
	for _, share := range sent.Shares {
		for _, n := range share.Sent {
			w.total += int64(n)
		}
	}
}

// complete tells whether every member that is left has everything. Publishers
// that are not connections are asked, too.
func (w *room) complete() bool {
	for _, p := range w.publish {
		if !p.complete() {
			return false
		}
	}
	return w.draining && w.receivedLive >= w.live*(w.total-w.refused())
}

// refused is how many messages the URLs did not take.
func (w *room) refused() (sum int64) {
	for _, p := range w.publish {
		sum += p.refused
	}
	return sum
}

func (w *room) giveUp() { w.gaveUp = w.live > 0 }

func (w *room) moved() int64 {
	return w.received + w.ends + w.slowReceived + w.sentCount() + w.refused()
}

func (w *room) sentCount() (sum int64) {
	for _, p := range w.publish {
		sum += p.total
	}
	return sum
}

func (w *room) counted() (sent, received int64, latency *bench.Recorder) {
	return w.sentCount(), w.received, w.latency
}

func (w *room) progress() (done, total int64, unit string) {
	for _, p := range w.publish {
		total += int64(p.group.Messages)
	}
	return w.received, total * w.in, "deliveries"
}

func (w *room) report() PartReport {
	r := PartReport{Name: w.name, Role: "room"}
	for _, g := range w.s.spec.Groups {
		if g.Role == Listen || g.Role == Publish {
			r.Conns += int64(g.Conns)
		}
	}
	if !w.started {
		return r
	}
	t := &Traffic{
		Room: true, Members: w.in, Received: w.received, Counted: w.measured,
		Duplicate: w.duplicate, OutOfOrder: w.outOfOrder, Corrupt: w.corrupt, Foreign: w.foreign,
		First: -1, Last: w.last, Late: w.gaveUp, Latency: w.latency, Before: w.before,
		SlowConns: w.slowConns, SlowReceived: w.slowReceived, SlowClosed: w.slowClosed, SlowReadBytes: int64(w.slowRate),
	}
	for _, p := range w.publish {
		p.tell(t)
	}
	for i := range w.publishers {
		t.FanOut = append(t.FanOut, w.publishers[i].fanOut)
	}
	wanted := w.total - w.refused()
	orders := map[uint64]bool{}
	for i := range w.members {
		switch m := &w.members[i]; {
		case !m.in || m.slow:
		case int64(m.got) != wanted:
			t.Incomplete++
		case len(orders) < maxOrders:
			orders[m.order] = true
		}
	}
	for order := range orders {
		t.Orders = append(t.Orders, order)
	}
	r.Traffic = t
	return r
}
