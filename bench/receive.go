package bench

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// read takes one recv of at most limit bytes, receiveBytes or less, and handles
// what is complete in them. It returns how many there were, 0 when there are
// none or the connection has ended, and whether the limit was reached, so that
// there may be more.
func (cl *Client) read(c *Conn, limit int) (n int, full bool) {
	if c.held != nil && len(c.held.in) > headroom {
		return cl.readLarge(c, limit)
	}
	kept := 0
	if c.held != nil {
		kept = copy(cl.receive[headroom-len(c.held.in):], c.held.in)
	}
	n, more, errno := cl.recv(c, cl.receive[headroom:headroom+limit])
	if !cl.received(c, n, errno) {
		return 0, false
	}
	if kept > 0 {
		c.held.in = c.held.in[:0]
	}
	rest := cl.parse(c, cl.receive[headroom-kept:headroom+n], cl.Now())
	if c.state == stateIdle {
		return 0, false
	}
	if len(rest) > 0 {
		h := cl.hold(c)
		h.in = append(h.in[:0], rest...)
	}
	cl.settle(c)
	return n, more
}

// readLarge continues a frame that is larger than the headroom in a buffer of
// its own, which doubles until the frame fits: a length alone, before its
// bytes have come, costs no memory.
func (cl *Client) readLarge(c *Conn, limit int) (n int, full bool) {
	in := c.held.in
	h, _ := parseHeader(in, c.deflate) // read has parsed it before
	missing := h.size + h.payload - len(in)
	in = slices.Grow(in, min(missing, len(in)))
	c.held.in = in
	spare := in[len(in):min(cap(in), len(in)+min(missing, limit))]
	n, more, errno := cl.recv(c, spare)
	if !cl.received(c, n, errno) {
		return 0, false
	}
	c.held.in = in[:len(in)+n]
	if n < missing {
		return n, more
	}
	cl.parse(c, c.held.in, cl.Now())
	if c.state == stateIdle {
		return 0, false
	}
	c.held.in = reusable(c.held.in)
	cl.settle(c)
	return n, true
}

// received handles the end of the stream and errors. It returns whether there
// are bytes.
func (cl *Client) received(c *Conn, n int, errno unix.Errno) bool {
	switch {
	case errno == unix.EAGAIN:
		return false
	case errno == 0 && n > 0:
		return true
	}
	var cause error = errno
	switch {
	case errno == 0:
		cause = ErrHandshakeClosed
	case errno == unix.EPROTO && c.secure:
		cause = tlsFailure(cl.sessions[c.index].err)
	}
	switch c.state {
	case stateConnecting, stateHandshaking:
		cl.dialer.fail(c, cause)
	default:
		var alert *AlertError
		switch {
		case errors.As(cause, &alert):
			cl.tally.count(cause.Error(), "")
		case errno == unix.EPROTO:
			cl.tally.violated(cause)
		}
		cl.end(c)
	}
	return false
}

// parse handles every complete frame in b, in place, and returns the
// incomplete rest. It stops early when the connection is closed on the way.
func (cl *Client) parse(c *Conn, b []byte, at time.Duration) (rest []byte) {
	if c.state == stateHandshaking {
		size, deflate, err := cl.handshake.check(b, c.token())
		if err != nil {
			cl.dialer.fail(c, err)
			return nil
		}
		if size == 0 {
			return b
		}
		b = b[size:]
		c.deflate = deflate
		cl.tally.offered(cl.cfg.Compress, deflate)
		cl.dialer.succeed(c, at)
	}
	if c.raw {
		return nil
	}
	for c.state == stateOpen || c.state == stateClosing {
		h, err := parseHeader(b, c.deflate)
		if err == nil && h.payload > cl.cfg.MaxMessageBytes && h.payload > cl.mostBytes(h.op) {
			err = ErrMessageTooBig
		}
		if err != nil {
			cl.violated(c, err)
			return nil
		}
		end := h.size + h.payload
		if h.size == 0 || len(b) < end {
			return b
		}
		payload := b[h.size:end:end]
		b = b[end:]
		if h.fin && (h.op == OpBinary || h.op == OpText) && (c.held == nil || c.held.msgOp == 0) && !c.deflate {
			cl.tally.messages++
			cl.handler.Message(c, h.op, payload, at)
			continue
		}
		cl.unusual(c, h, payload, at)
	}
	return nil // after the server's close frame nothing counts, section 5.5.1
}

// message hands over a whole message, inflated where op has rsv1.
func (cl *Client) message(c *Conn, op byte, payload []byte, at time.Duration) {
	message, err := cl.inflated(c, op, payload)
	if err != nil {
		cl.violated(c, err)
		return
	}
	cl.tally.messages++
	cl.handler.Message(c, op&^rsv1, message, at)
}

// unusual handles every frame but a whole message where no compression was
// agreed on.
func (cl *Client) unusual(c *Conn, h frameHeader, payload []byte, at time.Duration) {
	switch h.op {
	case opPing:
		// Section 5.5.3: a pong carries the data of its ping.
		cl.tally.pings++
		cl.sendFrame(c, opPong, payload)
	case opPong: // Section 5.5.3: an unsolicited pong needs no answer.
		cl.handler.Pong(c, payload)
	case opClose:
		cl.peerClosed(c, payload)
	default:
		cl.fragment(c, h, payload, at)
	}
}

// fragment collects a fragmented message, section 5.4, or hands over a whole one.
func (cl *Client) fragment(c *Conn, h frameHeader, payload []byte, at time.Duration) {
	if h.fin && h.op != opContinuation && (c.held == nil || c.held.msgOp == 0) {
		cl.message(c, h.op, payload, at)
		return
	}
	held := cl.hold(c)
	if (h.op == opContinuation) != (held.msgOp != 0) {
		cl.violated(c, ErrFrameSequence)
		return
	}
	if h.op != opContinuation {
		held.msgOp = h.op
	}
	if len(held.msg)+len(payload) > cl.mostBytes(held.msgOp) {
		cl.violated(c, ErrMessageTooBig)
		return
	}
	held.msg = append(held.msg, payload...)
	if !h.fin {
		return
	}
	op, msg := held.msgOp, held.msg
	held.msgOp, held.msg = 0, nil
	cl.message(c, op, msg, at)
	held.msg = reusable(msg)
}

// peerClosed records and answers the server's close frame, section 5.5.1. The
// server then closes TCP; a deadline stands in when it does not.
func (cl *Client) peerClosed(c *Conn, payload []byte) {
	code := uint16(CloseNoStatus)
	if len(payload) > 0 {
		if len(payload) == 1 {
			cl.violated(c, ErrFrameClose)
			return
		}
		code = binary.BigEndian.Uint16(payload)
		if !sendableCode(code) {
			cl.violated(c, ErrFrameClose)
			return
		}
	}
	c.code = code
	if c.state == stateClosing {
		cl.tally.answered++
		c.state = stateLingering
		cl.linger.push(c.token(), cl.Now()+lingerTime)
		return
	}
	cl.tally.closes[int(code)]++
	cl.open--
	cl.sendFrame(c, opClose, payload[:min(len(payload), 2)])
	c.state = stateLingering
	cl.closing.push(c.token(), cl.Now()+cl.cfg.CloseTimeout)
}

// violated counts a fault of the server's frames and fails the connection,
// section 7.1.7.
func (cl *Client) violated(c *Conn, err error) {
	cl.tally.violated(err)
	code := uint16(closeProtocol)
	if errors.Is(err, ErrMessageTooBig) {
		code = closeTooBig
	}
	cl.sendFrame(c, opClose, binary.BigEndian.AppendUint16(nil, code))
	cl.flush()
	cl.end(c)
}
