//go:build roostsim

package simtest

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"roost/conn"
	"roost/conn/frame"
	"roost/poller/sim"
	"roost/poller/sim/kernel"
)

// received is what has come from the server, and how it was judged.
type received struct {
	appetite int    // bytes it will read before it rests; -1 without end
	rest     []byte // read and not understood yet
	upgraded bool
	refused  bool
	bcast    map[string]int  // by topic: place of the last broadcast
	heard    map[string]bool // broadcasts that have come
	missed   int             // broadcasts that did not come
	lanes    map[string]int
	pongs    int
	said     frame.StatusCode // in the close frame, 0 none has come
	eof      bool             // the end of the stream has come
	shut     bool             // our side is closed
}

func (r *received) last0() {
	r.bcast, r.heard, r.lanes = map[string]int{}, map[string]bool{}, map[string]int{}
}

func (c *client) read() {
	lingers := sim.Chance(4)
	buf := make([]byte, one(1, 10, 1000))
	for {
		for c.appetite == 0 {
			c.run.hungry.Park("appetite")
		}
		p := buf
		if c.appetite > 0 {
			p = buf[:min(len(buf), c.appetite)]
		}
		n, errno := c.end.Read(p)
		if errno == kernel.Closed {
			return
		}
		if n == 0 {
			c.eof = errno == 0
			break
		}
		if c.appetite > 0 {
			c.appetite -= n
		}
		if c.said != 0 {
			sim.Fail("%s gets %q behind the close frame", c.name, p[:n])
		}
		c.rest = append(c.rest, p[:n]...)
		c.judge()
		if c.said != 0 && sim.Chance(4) {
			c.end.Close()
			return
		}
	}
	sim.Note("%s sees the end, in order: %v", c.name, c.eof)
	if !lingers {
		c.end.Close()
	}
}

// judge takes whatever is complete off the front of c.rest.
func (c *client) judge() {
	if c.refused {
		return
	}
	if len(c.rest) > 4*longest+1000 {
		sim.Fail("%s cannot make sense of %.200q", c.name, c.rest)
	}
	if !c.upgraded {
		head, _, ok := strings.Cut(string(c.rest), "\r\n\r\n")
		if !ok {
			return
		}
		if c.refused = !strings.HasPrefix(head, "HTTP/1.1 101 "); c.refused {
			if !strings.HasPrefix(head, "HTTP/1.1 4") && !strings.HasPrefix(head, "HTTP/1.1 503 ") {
				sim.Fail("%s gets %q", c.name, head)
			}
			return
		}
		if !strings.Contains(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") || c.session.state < conn.StateOpen {
			sim.Fail("%s gets %q", c.name, head)
		}
		c.agreed(head)
		c.upgraded = true
		c.rest = c.rest[len(head)+4:]
	}
	for c.said == 0 {
		op, payload, n, fault := parseFrame(c.rest)
		if fault != "" {
			sim.Fail("%s gets %q: %s", c.name, c.rest, fault)
		}
		if n == 0 {
			return
		}
		message := c.inflate(op, c.rest[:n], payload)
		sim.Note("%s reads %v %.40q", c.name, op, message)
		c.judgeFrame(op, message)
		c.rest = c.rest[n:]
	}
	if len(c.rest) > 0 {
		sim.Fail("%s gets %q behind the close frame", c.name, c.rest)
	}
}

func (c *client) judgeFrame(op frame.Opcode, payload string) {
	drop := c.run.plan.conn.SlowConsumer == conn.Drop
	switch {
	case op == frame.Close:
		c.said = frame.StatusNoStatus
		if len(payload) >= 2 {
			c.said = frame.StatusCode(binary.BigEndian.Uint16([]byte(payload)))
		}
		if s := c.session; c.said != s.code {
			sim.Fail("%s is told %d, but the server ends with %d", c.name, c.said, s.code)
		}
	case op == frame.Ping:
		if c.run.plan.conn.PingInterval == 0 || payload != "" {
			sim.Fail("%s gets a ping %q", c.name, payload)
		}
	case op == frame.Pong:
		for c.pongs < len(c.pings) && c.pings[c.pongs] != payload && drop {
			c.pongs++
		}
		if c.pongs == len(c.pings) || c.pings[c.pongs] != payload {
			sim.Fail("%s gets the pong %q out of order, of %q", c.name, payload, c.pings)
		}
		c.pongs++
	case strings.HasPrefix(payload, "B"):
		c.judgeBroadcast(payload)
	default:
		x := c.session.sent[payload]
		if x == nil || x.op != op {
			sim.Fail("%s gets %v %q, which is not for it", c.name, op, payload)
		}
		for next := c.lanes[x.lane]; next != x.n; next++ {
			if next > x.n || !c.session.lanes[x.lane][next].lost() {
				sim.Fail("%s gets %q where number %d from %q is due", c.name, payload, next, x.lane)
			}
		}
		c.lanes[x.lane] = x.n + 1
	}
}

// complete fails unless everything has come that was sent, with broadcasts before due.
func (c *client) complete(due int) {
	s := c.session
	if len(c.rest) > 0 {
		sim.Fail("%s has got a part of a frame only: %q", c.name, c.rest)
	}
	for _, name := range slices.Sorted(maps.Keys(s.lanes)) {
		lane := s.lanes[name]
		for _, x := range lane[c.lanes[name]:] {
			if !x.lost() && !x.pending {
				sim.Fail("%s has not got %q", c.name, x.payload)
			}
		}
	}
	c.missing(due)
}
