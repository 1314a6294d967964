package scenario

import (
	"time"

	"roost/bench"
)

// publishing is this agent's share of a group that publishes in a room.
type publishing struct {
	room     *room
	group    *Group
	index    int // of the group
	slots    slots
	payload  bench.PayloadSpec
	payloads *bench.Payloads
	poster   *poster // nil: the publishers are connections
	scratch  []byte

	senders   []sender
	base      int // number of the first in room.publishers
	sending   int // senders that have messages left and are open
	pacer     bench.Pacer
	scheduled int64 // open loop: messages due so far

	total, planned, warm int64
	refused              int64         // messages that the URL did not take
	first                time.Duration // first counted send, -1 before
	lag                  time.Duration // worst
	stopped              bool
}

// sender is one local publisher.
type sender struct {
	group    *publishing
	conn     *bench.Conn // nil: posts to a URL
	number   uint32      // in room.publishers
	sent     uint32
	quota    uint32 // 0: no limit, unless none
	none     bool   // its share of the messages is nothing
	ended    bool
	inFlight int
	times    []time.Duration // of each message, when they bear no stamp
}

// gather numbers the group's publishers of all agents and gives each its quota.
func (p *publishing) gather(opened *Meeting) {
	w := p.room
	count, before := 0, 0
	for agent, share := range opened.Shares {
		if agent == opened.Own {
			before = count
		}
		count += share.Publishers[p.index]
	}
	p.base = len(w.publishers)
	w.publishers = append(w.publishers, make([]publisher, count)...)
	own := opened.Shares[opened.Own].Publishers[p.index]
	p.senders = make([]sender, 0, own)
	add := func(c *bench.Conn) {
		if len(p.senders) == own {
			return // opened since the count; it listens only
		}
		at := before + len(p.senders)
		s := sender{group: p, conn: c, number: uint32(p.base + at)}
		if total := p.group.Messages; total > 0 {
			s.quota = uint32(total / count)
			if at < total%count {
				s.quota++
			}
			s.none = s.quota == 0
			p.planned += int64(s.quota)
		}
		if !s.none {
			p.sending++
		}
		p.senders = append(p.senders, s)
	}
	if p.group.PublishURL != "" {
		add(nil)
	}
	for slot := p.slots.from; slot < p.slots.to; slot++ {
		if c := w.s.cl.Conn(slot); c.Open() {
			add(c)
		}
	}
	for i := range p.senders {
		w.publishers[p.senders[i].number].local = &p.senders[i]
	}
}

// openFire starts the closed loop; it goes on when messages return.
func (p *publishing) openFire() {
	if p.group.PublishURL != "" {
		p.poster = newPoster(p.group, p.room.s.cl.Wake)
	}
	if p.group.Rate.Limited() {
		return
	}
	for i := range p.senders {
		for range p.group.InFlight {
			p.send(&p.senders[i], -1)
		}
	}
}

// step sends what is due by the clock and returns the wait until the next
// message is.
func (p *publishing) step(now time.Duration) time.Duration {
	if p.poster != nil {
		p.collect()
	}
	if p.stopped || p.sending == 0 || !p.group.Rate.Limited() {
		return -1
	}
	since := now - p.room.s.start
	for range sendsPerTurn {
		if p.sending == 0 {
			return -1
		}
		due := p.pacer.Due()
		if due > since {
			return due - since
		}
		s := &p.senders[int(p.scheduled)%len(p.senders)]
		if s.busy() {
			return time.Millisecond
		}
		lag := since - due
		p.lag = max(p.lag, lag)
		p.send(s, lag)
		p.scheduled++
		p.pacer.Next()
	}
	return 0
}

// busy tells whether the server does not take what was sent before.
func (s *sender) busy() bool {
	if s.conn == nil {
		return s.group.poster.full()
	}
	return s.conn.Pending() > pendingBytes
}

// send publishes one message that was due lag ago; a negative lag means now.
func (p *publishing) send(s *sender, lag time.Duration) {
	if p.stopped || s.none || s.ended || (s.conn != nil && !s.conn.Open()) || (s.quota > 0 && s.sent == s.quota) {
		return
	}
	w := p.room
	s.sent++
	s.inFlight++
	p.total++
	if s.sent == s.quota {
		p.sending--
	}
	stamp := bench.Stamp{Publisher: s.number, Sequence: s.sent, Sent: w.s.cl.Now() - max(0, lag)}
	if w.s.inMeasure(stamp) {
		if p.first < 0 {
			p.first = stamp.Sent
		}
	} else {
		p.warm++
	}
	if w.unstamped {
		s.times = append(s.times, stamp.Sent)
	}
	p.scratch = p.payloads.Append(p.scratch[:0], stamp)
	if s.conn == nil {
		p.poster.post(p.scratch)
		return
	}
	w.s.cl.Send(s.conn, p.payloads.Op(), p.scratch)
}

// returned is called when a publisher has one of its own messages back.
func (s *sender) returned() {
	s.inFlight--
	if p := s.group; !p.group.Rate.Limited() && s.inFlight < p.group.InFlight {
		p.send(s, -1)
	}
}

// collect takes the URL's answers. They return a message in the closed loop.
func (p *publishing) collect() {
	accepted, refused := p.poster.collect()
	p.refused += refused
	for range accepted + refused {
		p.senders[0].returned()
	}
}

func (p *publishing) ended(c *bench.Conn) {
	for i := range p.senders {
		if s := &p.senders[i]; s.conn == c && !s.ended {
			s.ended = true
			if !s.none && (s.quota == 0 || s.sent < s.quota) {
				p.sending--
			}
		}
	}
}

func (p *publishing) stop() {
	p.stopped, p.sending = true, 0
	if p.poster != nil {
		p.poster.stop()
	}
}

// complete tells whether the URL has answered everything.
func (p *publishing) complete() bool { return p.poster == nil || p.poster.done() }

// tell adds what this group sent, and ends its requests.
func (p *publishing) tell(t *Traffic) {
	if p.poster != nil {
		p.poster.end()
	}
	t.Planned += p.planned
	t.Sent += p.total
	t.WarmUp += p.warm
	t.Refused += p.refused
	if p.first >= 0 && (t.First < 0 || p.first < t.First) {
		t.First = p.first
	}
	t.Lag = max(t.Lag, p.lag)
}
