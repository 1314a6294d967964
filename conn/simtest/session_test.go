//go:build roostsim

package simtest

import (
	"math"
	"time"

	"roost/conn"
	"roost/conn/frame"
	"roost/conn/hub"
	"roost/poller/sim"
	"roost/poller/sim/kernel"
)

// session is the server's side of a connection, and what it was sent.
type session struct {
	run    *run
	conn   *conn.Conn
	end    *kernel.Endpoint
	client *client

	state  conn.State
	seen   conn.State    // at rest
	since  time.Duration // on the group's clock: of the first rest in state seen
	opened bool
	closed bool // OnClose was called
	gone   bool
	failed bool // its end is not a closing handshake
	code   frame.StatusCode
	why    conn.Reason // of its end, once that has begun

	asked int // 1 while somebody finds out whether it has a seat, 2 then

	got int // messages handed to the handler

	topics map[string]bool
	moved  bool // it has changed its topics while open, so nobody knows what it gets

	sent  map[string]*sending
	lanes map[string][]*sending
	first int // broadcasts before are of no concern: published before OnOpen
	due   int // broadcasts before must have been delivered if the end is in order

	deaf    bool // paused by its own handler: no message may come
	pausing int  // calls of Pause and Resume in progress
	paused  bool // after the last of them
	unsure  bool // calls overlapped, so nobody knows
}

// sending is one frame that somebody has sent; a lane is one sender's, in order.
type sending struct {
	lane, payload string
	n             int
	op            frame.Opcode
	pending       bool
	early         bool // sent when the connection was not open
	err           error
	received      bool

	// Of those in a conn.Shared.
	watched bool
	session *session
	key     string
	told    int
	fate    conn.Fate
}

func (r *run) newSession(c *conn.Conn, e *kernel.Endpoint) *session {
	s := &session{run: r, conn: c, end: e, client: r.client(e.Peer()),
		sent: map[string]*sending{}, lanes: map[string][]*sending{}, topics: map[string]bool{hub.DefaultTopic: true}, first: math.MaxInt}
	s.client.session = s
	r.sessions = append(r.sessions, s)
	r.byConn[c] = s
	return s
}

func (s *session) String() string { return s.end.String() }

// enter is told each new state, while it is entered.
func (s *session) enter(to conn.State) {
	if to < s.state || to == s.state && to != conn.StateNew {
		sim.Fail("%v goes from %v to %v", s, s.state, to)
	}
	sim.Note("%v is %v", s, to)
	s.state = to
	if to == conn.StateFailed {
		s.failed = true
	}
}

// record notes a frame that is going to be sent.
func (s *session) record(lane string, op frame.Opcode, payload string) *sending {
	if s.sent[payload] != nil {
		sim.Fail("the test sends %q twice", payload)
	}
	x := &sending{lane: lane, payload: payload, op: op, n: len(s.lanes[lane]), pending: true, session: s, early: s.state < conn.StateOpen}
	s.sent[payload] = x
	s.lanes[lane] = append(s.lanes[lane], x)
	return x
}

// send records a frame before it is sent by f.
func (s *session) send(lane string, op frame.Opcode, payload string, f func() error) error {
	x := s.record(lane, op, payload)
	x.err = f()
	x.pending = false
	if x.err == conn.ErrDropped {
		s.run.dropped++
	}
	if x.err == conn.ErrDropped && s.run.plan.conn.SlowConsumer != conn.Drop {
		sim.Fail("%v drops a frame", s)
	}
	return x.err
}

// pause calls Pause or Resume.
func (s *session) pause(on bool) {
	if s.pausing++; s.pausing == 1 {
		s.unsure = false
	} else {
		s.unsure = true
	}
	if on {
		s.conn.Pause()
	} else {
		s.deaf = false
		s.conn.Resume()
	}
	s.paused = on
	s.pausing--
}

// stalled reports whether nobody reads s, with a reason.
func (s *session) stalled() bool {
	return s.paused || s.unsure || s.run.draining || !s.end.Writable() && s.half()
}

// half reports whether half of what may wait does.
func (s *session) half() bool {
	b, c := s.conn.Backlog(), &s.run.plan.conn
	return c.WriteQueueFrames > 0 && b.Frames >= (c.WriteQueueFrames+1)/2 ||
		c.WriteQueueBytes > 0 && b.Bytes >= (c.WriteQueueBytes+1)/2
}
