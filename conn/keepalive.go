//go:build linux

package conn

import (
	"time"

	"roost/conn/frame"
)

var ping = frame.Prepare(frame.Ping, nil)

// Sweep applies the deadlines of the group. One goroutine calls it, for every
// connection, now and then: a deadline is as exact as that is frequent, and a
// connection needs no timer. It never blocks.
func (c *Conn) Sweep() {
	g := c.group
	now := g.now.Load()
	quiet := elapsed(now, c.since.Load())
	switch c.State() {
	case StateHandshaking:
		if over(quiet, g.HandshakeTimeout) {
			c.expire(StateHandshaking, ReasonHandshakeTimeout)
		}
	case StateOpen:
		switch {
		case over(elapsed(now, c.spoke.Load()), g.IdleTimeout) && !c.unheard():
			c.close(frame.StatusGoingAway, "idle timeout", ReasonIdleTimeout)
		case !over(quiet, g.PingInterval):
			c.pinged = false
		case !c.pinged:
			c.pinged = true
			_ = c.Send(ping) // a full queue has its own policy
		case over(quiet, 2*g.PingInterval):
			c.expire(StateOpen, ReasonPongTimeout)
		}
	case StateClosing:
		if over(quiet, g.CloseTimeout) {
			c.expire(StateClosing, ReasonNone)
		}
	}
}

// unheard reports that the peer may have spoken: it is not being read.
func (c *Conn) unheard() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flag&stopped != 0
}

// expire fails the connection if it is still in state st. Nobody can expect an
// answer of a connection that is not being read.
func (c *Conn) expire(st State, why Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() == st && (st != StateOpen || c.flag&stopped == 0) {
		c.failLocked(why)
	}
}

func over(d, limit time.Duration) bool { return limit > 0 && d >= limit }

// elapsed is the time between two values of the group's clock, which wraps. A
// stamp taken just after now counts as no time at all.
func elapsed(now, then uint32) time.Duration {
	return time.Duration(max(0, int32(now-then))) * time.Millisecond
}
