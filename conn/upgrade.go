//go:build linux

package conn

import (
	"bytes"

	"roost/conn/handshake"
)

// overloaded is the answer when the server has too many connections (RFC 9110
// section 15.6.4).
const overloaded = "HTTP/1.1 503 Service Unavailable\r\n" +
	"Connection: close\r\n" +
	"Retry-After: 5\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"Content-Length: 37\r\n\r\n" +
	"the server is full; try again later.\n"

// shake handles a request head, b being all of it that has come. When the
// connection is open afterwards it returns the bytes behind the head and true.
func (c *Conn) shake(s *Scratch, in *inbound, b []byte) (rest []byte, ok bool) {
	res := c.group.Policy.NegotiateFrom(s.response[:0], b, in.searched)
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
		c.refuse(res.Response, ReasonHandshakeRefused)
		return nil, false
	}
	if c.group.Seat != nil && !c.group.Seat() {
		c.refuse([]byte(overloaded), ReasonOverloaded)
		return nil, false
	}
	c.mu.Lock()
	c.flag |= seated
	c.mu.Unlock()
	c.subprotocol = int8(res.Subprotocol)
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

// refuse sends an HTTP answer and closes.
func (c *Conn) refuse(response []byte, why Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() >= StateClosing {
		return
	}
	c.why = why
	c.enter(StateClosing)
	c.since.Store(c.group.now.Load())
	c.writeLocked(response, 1)
	c.flushLocked()
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
	c.group.HandOff(fd, bytes.Clone(received))
}
