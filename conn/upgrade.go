//go:build linux

package conn

import (
	"bytes"

	"roost/conn/handshake"
)

// shake handles a request head, b being all of it that has come. When the
// connection is open afterwards it returns the bytes behind the head and true.
func (c *Conn) shake(s *Scratch, in *inbound, b []byte) (rest []byte, ok bool) {
	if in.prelude {
		n, refusal := c.group.Prelude(c, b)
		switch {
		case refusal != nil:
			c.refuse(refusal)
			return nil, false
		case n < 0:
			c.keep(s, in, b)
			return nil, false
		}
		in.prelude = false
		b = b[n:]
	}
	if t := c.tls(); t != nil && t.phase.Load() == hello {
		t.hello(s, in, b)
		return nil, false
	}
	res := c.group.Policy().NegotiateFrom(s.response[:0], b, in.searched)
	s.response = res.Response[:0]
	switch res.Kind {
	case handshake.Incomplete:
		in.searched = len(b)
		c.keep(s, in, b)
		return nil, false
	case handshake.HTTP:
		c.handOff(b)
		return nil, false
	case handshake.Refuse:
		c.group.Log.Debug("handshake refused", "status", res.Status, "why", res.Reason)
		c.refuse(&Refusal{Response: res.Response, Reason: ReasonHandshakeRefused})
		return nil, false
	}
	if c.group.Seat != nil {
		switch refusal := c.group.Seat(c, &res.Request); refusal {
		case nil:
		case Later:
			in.later, in.unread = true, true
			c.keep(s, in, b)
			return nil, false
		default:
			c.refuse(refusal)
			return nil, false
		}
	}
	c.mu.Lock()
	c.flag |= seated
	c.mu.Unlock()
	c.agreed = agreedOn(res.Subprotocol, res.Window)
	c.cork(s)
	c.mu.Lock()
	if c.State() > StateOpen { // Sweep or a shutdown was faster
		c.mu.Unlock()
		return nil, false
	}
	c.enter(StateOpen)
	c.group.Stats.Opened.Add(1)
	c.flag |= opened
	// Under the same lock as the state: nothing can get in front of the answer.
	c.writeLocked(res.Response, 1)
	c.mu.Unlock()
	c.spoke.Store(c.group.now.Load())
	c.group.Handler.OnOpen(c, &res.Request)
	*in = inbound{counted: in.counted}
	return b[res.N:], c.State() == StateOpen
}

// handOff gives the descriptor away, with every byte that has come.
func (c *Conn) handOff(received []byte) {
	c.mu.Lock()
	if c.State() > StateOpen {
		c.mu.Unlock()
		return
	}
	c.why = ReasonHandedOff
	fd := c.reg.Detach()
	c.enter(StateHandedOff)
	c.mu.Unlock()
	c.group.HandOff(c, fd, bytes.Clone(received))
}
