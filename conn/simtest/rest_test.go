//go:build roostsim

package simtest

import (
	"roost/conn"
	"roost/poller/sim"
)

// atRest is called when nobody can go on and nothing is on its way: whatever is
// possible must have been done.
func (r *run) atRest() {
	var handshaking, open, closing int64
	waits, kept := false, false
	for _, s := range r.sessions {
		switch st := s.conn.State(); st {
		case conn.StateHandshaking:
			handshaking++
		case conn.StateOpen:
			open++
		case conn.StateClosing:
			closing++
		case conn.StateClosed, conn.StateHandedOff:
			r.ended(s)
			continue
		default:
			sim.Fail("%v is %v at rest", s, st)
		}
		r.bounds(s)
		r.readAtRest(s)
		r.writtenAtRest(s)
		r.inTime(s)
		waits = waits || s.conn.Backlog().Bytes > 0
		n, _ := s.conn.ReadKept()
		kept = kept || n > 0
	}
	st := &r.group.Stats
	if st.Handshaking.Load() != handshaking || st.Open.Load() != open || st.Closing.Load() != closing {
		sim.Fail("gauges are %d %d %d, but %d are handshaking, %d open, %d closing",
			st.Handshaking.Load(), st.Open.Load(), st.Closing.Load(), handshaking, open, closing)
	}
	if n := st.WriteQueued.Load(); n < 0 || n > 0 != waits {
		sim.Fail("%d bytes are counted as waiting, something waits: %v", n, waits)
	}
	if n := st.ReadKept.Load(); n < 0 || n > 0 != kept {
		sim.Fail("%d bytes are counted as kept, something is kept: %v", n, kept)
	}
	if n, most := st.WriteQueued.Load(), r.plan.conn.WriteQueueTotal; most > 0 && n > most {
		sim.Fail("%d bytes wait in all, more than %d", n, most)
	}
	if n, most := st.ReadKept.Load(), r.plan.conn.ReadBufferTotal; most > 0 && n > most {
		sim.Fail("%d bytes are kept in all, more than %d", n, most)
	}
	if h := r.hub.Stats(); h.Waiting > 0 || h.Publishers > 0 || int(h.Published) != len(r.published) {
		sim.Fail("the hub rests with %+v, %d were published", h, len(r.published))
	}
	if r.poller.Stats().Queued != 0 {
		sim.Fail("%d registrations wait for a worker", r.poller.Stats().Queued)
	}
	if n, room := r.kernel.Backlog(); n > 0 && room && r.admits() && !r.kernel.Excuse {
		sim.Fail("%d connections wait to be accepted, and nobody does", n)
	}
	if r.sweeping {
		sim.Fail("the sweeper waits: %s", r.world.Waiting())
	}
}

// ended looks at a connection in a terminal state.
func (r *run) ended(s *session) {
	if !s.gone || s.opened != s.closed || !s.end.Closed() {
		sim.Fail("%v is over; gone %v, opened %v, OnClose %v, descriptor closed %v", s, s.gone, s.opened, s.closed, s.end.Closed())
	}
	c := s.client
	if c.eof && s.opened && !s.failed {
		if c.said == 0 {
			sim.Fail("%s sees the end without a close frame: %v", c.name, s.why)
		}
		r.allReceived(s, s.due)
	}
	switch s.why {
	case conn.ReasonProtocolError, conn.ReasonInvalidPayload, conn.ReasonTooBig, conn.ReasonPeerClosed:
		if s.opened && c.fault != s.why {
			sim.Fail("%v ends with %v, but its client has done %v", s, s.why, c.fault)
		}
	case conn.ReasonPeerReset:
		if !s.end.Dead() {
			sim.Fail("%v ends with %v, but nobody has reset it", s, s.why)
		}
	case conn.ReasonPeerGone, conn.ReasonHandshakeAbandoned:
		if !c.shut && !c.end.Closed() && !c.end.Dead() {
			sim.Fail("%v ends with %v, but its client is there", s, s.why)
		}
	}
}

// allReceived is for a connection that was sent its last byte, or all so far.
func (r *run) allReceived(s *session, due int) {
	if s.why != conn.ReasonSlowConsumer && s.why != conn.ReasonWriteQueueTotal {
		s.client.complete(due)
	}
}

// readAtRest fails if something has come for s that it should have read.
func (r *run) readAtRest(s *session) {
	bytes, end := s.end.Unread()
	c, st := s.client, s.conn.State()
	if s.end.Closed() {
		sim.Fail("the descriptor of %v is closed, but it is %v", s, st)
	}
	if st == conn.StateClosing {
		// Whoever is paused or stalled is read now, and forgotten. At the end it waits
		// for its last bytes to leave.
		if bytes > 0 || end && s.conn.Backlog().Bytes == 0 {
			sim.Fail("%v is closing and has not read %d bytes, end %v", s, bytes, end)
		}
		if s.why == conn.ReasonPeerClosed && s.conn.Backlog().Bytes == 0 {
			sim.Fail("%v has answered the close frame and does not close", s) // RFC 6455 section 7.1.1
		}
		return
	}
	if s.stalled() {
		return
	}
	if bytes > 0 || end {
		sim.Fail("%v is %v and has not read %d bytes, end %v", s, st, bytes, end)
	}
	if !s.end.Drained() {
		return
	}
	if st == conn.StateHandshaking {
		if c.head > 0 && len(c.written) >= c.head {
			sim.Fail("%v has its request and is %v", s, st)
		}
		return
	}
	for _, m := range c.messages[s.got:] {
		if m.end <= len(c.written) {
			sim.Fail("%v has not handled %q", s, m.payload)
		}
	}
	if c.last > 0 && c.last <= len(c.written) {
		sim.Fail("%v is open, although its client has done %v", s, c.fault)
	}
}

// writtenAtRest fails if something waits for s that could leave, or has got lost.
func (r *run) writtenAtRest(s *session) {
	c, b := s.client, s.conn.Backlog()
	if (b.Bytes > 0 || b.Frames > 0) && (s.end.Writable() || s.end.Dead()) {
		sim.Fail("%+v waits for %v, and its socket has room", b, s)
	}
	if s.conn.State() != conn.StateOpen || b.Bytes > 0 || c.end.Closed() || c.end.Dead() {
		return
	}
	if unread, end := c.end.Unread(); unread > 0 || end || !c.end.Drained() {
		return
	}
	r.allReceived(s, len(r.published))
	if !s.stalled() && len(c.queue) == 0 && r.plan.conn.SlowConsumer != conn.Drop && c.pongs != len(c.pings) {
		sim.Fail("%v has sent %d pings and got %d pongs", s, len(c.pings), c.pongs)
	}
}

// inTime fails if a deadline is over, counted from the rest that saw s in its state first.
func (r *run) inTime(s *session) {
	st := s.conn.State()
	if s.seen != st {
		s.seen, s.since = st, r.clock
	}
	limit := r.plan.conn.CloseTimeout
	switch st {
	case conn.StateOpen:
		return
	case conn.StateHandshaking:
		limit = r.plan.conn.HandshakeTimeout
	}
	if r.clock-s.since >= limit {
		sim.Fail("%v is %v for %v", s, st, r.clock-s.since)
	}
}

// atEnd is called when the server has stopped.
func (r *run) atEnd() {
	if !r.done || r.world.Alive() > 0 {
		sim.Fail("it does not end: %s", r.world.Waiting())
	}
	if open := r.kernel.Open(); len(open) > 0 {
		sim.Fail("still open: %q", open)
	}
	st := &r.group.Stats
	ended, opened, got, missed := uint64(0), uint64(0), uint64(0), r.dropped
	for reason := range st.Ended {
		ended += st.Ended[reason].Load()
	}
	for _, s := range r.sessions {
		if st := s.conn.State(); st < conn.StateHandedOff {
			sim.Fail("%v is %v at the end", s, st)
		}
		if s.opened {
			opened++
		}
		s.fates()
		got += uint64(s.got)
		missed += s.client.missed
	}
	r.receiptsAtEnd()
	if ended != uint64(len(r.sessions)) || st.Ended[conn.ReasonNone].Load() > 0 || st.Opened.Load() != opened || st.MessagesIn.Load() != got {
		sim.Fail("%d of %d have ended, %d of %d opened, %d of %d messages", ended, len(r.sessions), st.Opened.Load(), opened, st.MessagesIn.Load(), got)
	}
	if n := st.Dropped.Load(); n < uint64(missed) || n > 0 && r.plan.conn.SlowConsumer != conn.Drop {
		sim.Fail("%d frames are counted as dropped, at least %d were", n, missed)
	}
	if n := st.Conflated.Load(); n < uint64(r.conflated) || n > uint64(r.conflated) && !r.keyed {
		sim.Fail("%d frames are counted as conflated, %d were", n, r.conflated)
	}
	if st.WriteQueued.Load() != 0 || st.ReadKept.Load() != 0 || r.hub.Len() != 0 || r.seated != 0 {
		sim.Fail("at the end: %d bytes wait, %d are kept, %d in the hub, %d seated", st.WriteQueued.Load(), st.ReadKept.Load(), r.hub.Len(), r.seated)
	}
}
