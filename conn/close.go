//go:build linux

package conn

import (
	"errors"

	"roost/conn/frame"
)

// maxCloseFrame is a header and the most payload of a control frame, in bytes
// (RFC 6455 section 5.5).
const maxCloseFrame = 2 + 125

// Close begins the closing handshake with code and reason (RFC 6455 section
// 7.1.2), behind what is queued already. reason is cut to 123 bytes. It returns
// at once; OnClose follows when the peer has answered or CloseTimeout is over. A
// connection that is not open yet is closed without a word.
func (c *Conn) Close(code frame.StatusCode, reason string) {
	c.close(code, reason, ReasonApplication)
}

// Refuse is Close with status 1008 for a peer that sent what the handler does
// not take.
func (c *Conn) Refuse(reason string) {
	c.close(frame.StatusPolicyViolation, reason, ReasonPolicy)
}

// Shutdown is Close with Config.ShutdownCode because the server is stopping.
func (c *Conn) Shutdown() {
	code := c.group.ShutdownCode
	if code == 0 {
		code = frame.StatusGoingAway
	}
	c.close(code, "server is stopping", ReasonShutdown)
}

// End is Close for a reason of the server's own.
func (c *Conn) End(code frame.StatusCode, text string, why Reason) { c.close(code, text, why) }

// Abort ends the connection without a closing handshake.
func (c *Conn) Abort(why Reason) { c.fail(why) }

func (c *Conn) close(code frame.StatusCode, text string, why Reason) {
	c.mu.Lock()
	c.closeLocked(code, text, why)
	c.mu.Unlock()
}

func (c *Conn) closeLocked(code frame.StatusCode, text string, why Reason) {
	switch st := c.State(); {
	case st < StateOpen:
		c.failLocked(why)
		return
	case st > StateOpen:
		return
	}
	c.why, c.code = why, code
	c.enter(StateClosing)
	c.since.Store(c.group.now.Load())
	if why.unread() && c.out != nil {
		// It did not read what waits, and it would have to before the close frame.
		c.out.truncate(c.group)
	}
	var buf [maxCloseFrame]byte
	c.writeLocked(frame.AppendClose(buf[:0], code, text), 1)
	// What a paused connection has not read yet must be discarded to see its end.
	c.reg.Call()
}

// reject answers a frame that broke the rules: with its code, once, and TCP is
// closed by us (RFC 6455 section 7.1.7).
func (c *Conn) reject(err error) {
	code, text, why := frame.StatusProtocolError, err.Error(), ReasonProtocolError
	var bad *frame.Error
	if errors.As(err, &bad) {
		code, text = bad.Code, bad.Reason
		switch code {
		case frame.StatusInvalidPayload:
			why = ReasonInvalidPayload
		case frame.StatusTooBig:
			why = ReasonTooBig
		}
	}
	c.close(code, text, why)
}

// peerClose answers a close frame with the same code; when that has left, the
// server closes TCP first (RFC 6455 sections 5.5.1 and 7.1.1).
func (c *Conn) peerClose(payload []byte) {
	code, _, err := frame.ParseClose(payload)
	if err != nil {
		c.reject(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() != StateOpen {
		return
	}
	c.flag |= peerDone
	c.closeLocked(code, "", ReasonPeerClosed)
}

// fail ends the connection for a reason that leaves nothing to say to the peer.
// A reason already given stays.
func (c *Conn) fail(why Reason) {
	c.mu.Lock()
	c.failLocked(why)
	c.mu.Unlock()
}

func (c *Conn) failLocked(why Reason) {
	st := c.State()
	if st >= StateFailed {
		return
	}
	if c.why == ReasonNone {
		c.why, c.code = why, StatusAbnormal
	}
	c.enter(StateFailed)
	c.forgetLocked()
	if st != StateNew {
		c.reg.Call() // a worker closes the descriptor
	}
}
