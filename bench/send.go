package bench

import (
	"context"
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// Send sends a masked copy of payload as one message, OpText or OpBinary. Frames for one
// connection are written together when the loop turns to something else; what
// the socket does not take is kept, see Conn.Pending. It does nothing unless
// the connection is open.
func (cl *Client) Send(c *Conn, op byte, payload []byte) {
	if c.state == stateOpen {
		cl.sendFrame(c, op, payload)
	}
}

// Ping sends a ping with up to 125 bytes. It does nothing unless the connection
// is open.
func (cl *Client) Ping(c *Conn, payload []byte) { cl.Send(c, opPing, payload) }

// Abort ends the connection without a closing handshake: with FIN, or with RST
// and without delivering what is still to be sent. Ended is not called. It does
// nothing unless the connection is open.
func (cl *Client) Abort(c *Conn, reset bool) {
	if c.state != stateOpen {
		return
	}
	if !reset {
		cl.farewell(c)
	} else {
		_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // else it is FIN
	}
	cl.open--
	cl.drop(c)
	cl.dialer.freed(c)
}

// Close sends a close frame with CloseNormal and waits for the answer in the
// background, at most Config.CloseTimeout. It does nothing unless the
// connection is open.
func (cl *Client) Close(c *Conn) {
	if c.state != stateOpen {
		return
	}
	cl.sendFrame(c, opClose, binary.BigEndian.AppendUint16(nil, CloseNormal))
	c.state = stateClosing
	cl.open--
	cl.closing.push(c.token(), cl.Now()+cl.cfg.CloseTimeout)
}

// CloseAll abandons the handshakes in flight, closes every open connection and
// returns when all have ended, at the latest by their deadline, or when ctx ends.
func (cl *Client) CloseAll(ctx context.Context) error {
	cl.StopDialling()
	for i := range cl.conns {
		if s := cl.conns[i].state; s == stateConnecting || s == stateSecuring || s == stateHandshaking {
			cl.dialer.abandon(&cl.conns[i])
		}
	}
	total := int64(cl.sockets)
	cl.SetPhase("close", func() (int64, int64, string) { return total - int64(cl.sockets), total, "connections" })
	next := 0
	return cl.Drive(ctx, func(time.Duration) (time.Duration, bool) {
		for turn := 0; next < len(cl.conns) && turn < eventsPerWait; next++ {
			cl.Close(&cl.conns[next])
			turn++
		}
		if next < len(cl.conns) {
			return 0, false
		}
		return -1, cl.sockets == 0
	})
}

// sendFrame adds a frame to what is written to c next.
func (cl *Client) sendFrame(c *Conn, op byte, payload []byte) {
	if cl.outConn != c {
		cl.flush()
		cl.outConn = c
	}
	if c.deflate && (op == OpText || op == OpBinary) {
		op, payload = cl.compress(op, payload)
	}
	cl.out = appendFrame(cl.out, op, cl.maskKey(), payload)
}

// maskKey steps a splitmix64 sequence with a random start.
func (cl *Client) maskKey() uint32 {
	if cl.cfg.ZeroMask {
		return 0
	}
	cl.maskState += 0x9e3779b97f4a7c15
	return uint32(mix(cl.maskState))
}

// flush writes the collected frames.
func (cl *Client) flush() {
	c := cl.outConn
	if c == nil {
		return
	}
	cl.outConn = nil
	if len(cl.out) > 0 {
		cl.write(c, cl.out)
	}
	cl.out = reusableOut(cl.out)
}

func reusableOut(b []byte) []byte {
	if cap(b) > receiveBytes {
		return nil
	}
	return b[:0]
}

// write sends b, or keeps what the socket does not take. An error is left to
// recv, which meets it as well and knows how to end a connection.
func (cl *Client) write(c *Conn, b []byte) {
	if c.secure {
		cl.seal(c, b)
		cl.sendSealed(c)
		return
	}
	cl.transmit(c, b)
}

// transmit is write without TLS.
func (cl *Client) transmit(c *Conn, b []byte) {
	if c.Pending() == 0 {
		n, errno := socket.Send(int(c.fd), b)
		if errno != 0 && errno != unix.EAGAIN {
			return
		}
		b = b[max(0, n):]
	}
	if len(b) > 0 {
		h := cl.hold(c)
		h.out = append(h.out, b...)
	}
}

// writeHeld continues what the socket did not take before.
func (cl *Client) writeHeld(c *Conn) {
	h := c.held
	n, errno := socket.Send(int(c.fd), h.out)
	if errno == unix.EAGAIN {
		return
	}
	if errno != 0 {
		n = len(h.out) // recv will tell
	}
	h.out = h.out[:copy(h.out, h.out[n:])]
	cl.settle(c)
}

// expire ends connections whose closing took too long.
func (cl *Client) expire(now time.Duration) {
	late := func(c *Conn) {
		if c.state == stateClosing || c.state == stateLingering {
			cl.end(c)
		}
	}
	cl.closing.expire(cl, now, late)
	cl.linger.expire(cl, now, late)
}

// end counts how an opened connection ended and frees its slot.
func (cl *Client) end(c *Conn) {
	switch c.state {
	case stateOpen:
		c.code = CloseAbnormal
		cl.tally.closes[CloseAbnormal]++
		cl.open--
	case stateClosing:
		c.code = CloseAbnormal
		cl.tally.unanswered++
	}
	cl.farewell(c)
	cl.drop(c)
	cl.handler.Ended(c)
	cl.dialer.freed(c)
}

// drop closes the descriptor and empties the slot. The new generation makes
// every token of the old connection stale.
func (cl *Client) drop(c *Conn) {
	if cl.outConn == c {
		cl.flush()
	}
	if c.secure {
		cl.forget(c)
		c.secure = false
	}
	cl.release(c)
	if c.fd >= 0 {
		_ = cl.loop.remove(int(c.fd)) // the close takes it out of epoll in any case
		unix.Close(int(c.fd))
		c.fd = -1
		cl.sockets--
		cl.dialer.left(c)
	}
	c.state, c.slow, c.deaf, c.raw, c.deflate = stateIdle, false, false, false, false
	c.generation++
}
