//go:build linux

package conn

import (
	"math/bits"
	"unsafe"

	"roost/conn/frame"
	"roost/poller"
	"roost/poller/socket"
)

// inbound is what a connection keeps while something is incomplete. The
// goroutine that holds the registration owns it.
type inbound struct {
	parser   frame.Parser
	rest     []byte // bytes read and not consumed: part of a head, a frame header or a control frame
	searched int    // how much of rest is known to hold no end of the request head
	msg      []byte // payload so far of a message that did not arrive whole
	counted  int    // part in Stats.ReadKept
	prelude  bool   // Config.Prelude has to judge what comes first
	later    bool   // Config.Seat has answered Later
	unread   bool   // rest and the socket may hold more than an event will announce
}

// Ready runs the connection: it flushes, reads, parses and delivers. It is called
// by the poller.
func (c *Conn) Ready(w *poller.Worker, ev poller.Events) poller.Next {
	s := w.Scratch.(*Scratch)
	next := c.run(w, s, ev)
	s.count(&c.group.Stats)
	if c.uncork(s) {
		c.end()
		return poller.Closed
	}
	return next
}

// run is Ready without its end, so that a panic in the handler reaches it.
func (c *Conn) run(w *poller.Worker, s *Scratch, ev poller.Events) (next poller.Next) {
	defer func() {
		if v := recover(); v != nil {
			c.logPanic(v)
			c.close(frame.StatusInternalError, "", ReasonHandlerPanic)
			next = poller.Again // the rest of the input is discarded there
		}
	}()
	s.emptied = false
	if ev&(poller.Writable|poller.Hangup) != 0 {
		// After a reset a write fails at once, even while reading is paused.
		c.flush()
	}
	if c.State() <= StateOpen {
		next = c.read(w, s, ev)
	}
	if c.State() == StateClosing && !(s.emptied && c.ending()) {
		// Also when reading has just found the reason to close: the edge of the
		// peer's FIN may be among those this run was called for.
		next = c.discard(w)
	}
	return next
}

// read moves bytes from the kernel through the parser until there are no more,
// the budget is spent, or the connection may not go on.
func (c *Conn) read(w *poller.Worker, s *Scratch, ev poller.Events) poller.Next {
	buf := w.Buffer
	budget := max(c.group.ReadBudget, len(buf))
	s.room = budget
	// A read shorter than the buffer has emptied the socket, and the next byte
	// raises an edge (epoll(7)). But the edge of a FIN may have come already, and
	// after a pause nothing is known: then only the kernel's own word ends the loop.
	short := ev&^poller.Writable == poller.Readable
	pending := ev&^poller.Writable != 0 // else there is only room to write
	raw := short                        // what holds for the socket, while records are decrypted one by one
	plain := c.tls() == nil && !c.inKernel()
	short = short && plain
	for {
		kept := 0
		if in := c.in; in != nil {
			kept = len(in.rest)
			if in.unread {
				short, raw, pending = false, false, true
				if c.stalled() {
					if in.later && ev&poller.Hangup != 0 {
						c.seeWhetherGone(s, in)
					}
					return poller.Wait
				}
				in.unread, in.later = false, false
				if kept > 0 {
					// Bytes that were read before the pause come first. They may be more than
					// the buffer holds, and they are ours to unmask.
					rest := in.rest
					in.rest = nil
					if !c.consume(s, rest) {
						return poller.Wait
					}
					continue
				}
			}
			copy(buf, in.rest)
		}
		if !pending {
			return poller.Wait
		}
		n, errno := c.recv(buf[kept:], raw)
		cost := c.cost(n)
		if t := c.tls(); t != nil {
			cost = max(cost, t.session.Wire()) // tiny records are as much work as large ones
		}
		switch {
		case errno == socket.Again:
			return poller.Wait
		case errno != 0:
			c.fail(lost(errno))
			return poller.Wait
		case n == 0:
			// The peer may have closed its own side only, and still read our answers.
			c.flush()
			c.fail(c.eofReason())
			return poller.Wait
		}
		s.bytes += uint64(n)
		s.emptied = n < len(buf)-kept && plain
		if !c.consume(s, buf[:kept+n]) {
			return poller.Wait
		}
		if short && n < len(buf)-kept {
			return poller.Wait
		}
		if budget -= cost; budget <= 0 || s.room <= 0 {
			return poller.Again
		}
	}
}

// seeWhetherGone ends a connection that waits for its Seat if its peer has left: it has
// nothing to say before the answer (RFC 6455 section 4.1). The event may be untrue, and only
// reading tells; a byte that comes of that is kept, and then the peer is thought to wait.
func (c *Conn) seeWhetherGone(s *Scratch, in *inbound) {
	var b [1]byte
	switch n, errno := c.recv(b[:], false); {
	case errno == socket.Again:
	case errno != 0:
		c.fail(lost(errno))
	case n == 0:
		c.fail(ReasonHandshakeAbandoned)
	default:
		s.bytes++
		c.keep(s, in, append(in.rest, b[0]))
	}
}

// ending reports that the descriptor is closed as soon as our last bytes are out.
func (c *Conn) ending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flag&peerDone != 0
}

func (c *Conn) eofReason() Reason {
	if c.State() == StateOpen {
		return ReasonPeerGone
	}
	return ReasonHandshakeAbandoned
}

// consume handles b, all bytes that were read and not consumed so far. It reports
// whether reading may go on; if not, the reason is in the state, or in.unread.
func (c *Conn) consume(s *Scratch, b []byte) bool {
	in := c.in
	if in == nil {
		in = &s.in
		*in = inbound{}
	}
	if c.State() < StateOpen {
		rest, ok := c.shake(s, in, b)
		if !ok {
			return c.State() < StateOpen
		}
		b = rest
		if t := c.tls(); t != nil {
			t.offload()
		}
	}
	c.since.Store(c.group.now.Load())
	c.cork(s)
	rest, ok := c.parse(s, in, b)
	if c.State() != StateOpen {
		c.forgetInbound()
		return false
	}
	c.keep(s, in, rest)
	return ok
}

// keep stores what is incomplete, or forgets everything when nothing is.
func (c *Conn) keep(s *Scratch, in *inbound, rest []byte) {
	if len(rest) == 0 && !in.unread && in.msg == nil && in.parser.AtRest() {
		c.forgetInbound()
		*in = inbound{}
		return
	}
	if in == &s.in {
		in = new(inbound)
		*in = s.in
		s.in = inbound{}
	}
	in.rest = append(in.rest[:0], rest...)
	if len(rest) == 0 {
		in.rest = nil
	}
	c.in = in
	c.settleInbound(int(unsafe.Sizeof(*in)) + cap(in.rest) + cap(in.msg))
}

// settleInbound counts the n bytes that the inbound takes now.
func (c *Conn) settleInbound(n int) {
	more := n - c.in.counted
	if more == 0 {
		return
	}
	c.in.counted = n
	if more < 0 {
		// Before the share: whoever sheds takes what has no share for freed already.
		c.group.kept(more)
	}
	if kept := compress(n); kept != c.kept {
		c.mu.Lock()
		c.kept = kept
		c.mu.Unlock()
	}
	if more > 0 {
		// Behind the share: it may ring, and whoever comes then looks for those that
		// hold most.
		c.group.kept(more)
	}
}

// kept is a number of bytes in few bits: 11 and an exponent, rounded down.
type kept uint16

func compress(n int) kept {
	shift := max(0, bits.Len(uint(n))-11)
	return kept(shift<<11 | n>>shift)
}

func (k kept) bytes() int { return int(k&(1<<11-1)) << (k >> 11) }

// forgetInbound gives up what is incomplete.
func (c *Conn) forgetInbound() {
	if c.in != nil {
		c.settleInbound(0)
		c.in = nil
	}
}

// parse takes frames off the front of b until it is empty, the last frame is
// incomplete (ok), or the connection may not go on now (!ok). It returns the rest.
func (c *Conn) parse(s *Scratch, in *inbound, b []byte) (rest []byte, ok bool) {
	for len(b) > 0 {
		stalled := c.stalled()
		if stalled || s.room <= 0 {
			if !stalled {
				c.reg.Call() // behind those who wait for a worker
			}
			in.unread = true
			return b, false
		}
		part, n, complete, err := in.parser.Next(b, c.group.MaxMessage, c.agreed.compressed())
		b = b[n:]
		if err != nil {
			c.reject(err)
			return nil, false
		}
		if !complete {
			return b, true
		}
		switch part.Op {
		case frame.Ping:
			// RFC 6455 section 5.5.2: a pong carries the ping's application data.
			_ = c.Write(frame.Pong, part.Data)
		case frame.Pong:
			// Having been read is all a pong is for: it moved c.since.
		case frame.Close:
			c.peerClose(part.Data)
			return nil, false
		default:
			c.collect(s, in, part)
		}
		if c.State() != StateOpen {
			return nil, false
		}
	}
	return nil, true
}

// collect delivers a part of a message when it completes one: straight from the
// worker's buffer if it is the whole, else from what was collected.
func (c *Conn) collect(s *Scratch, in *inbound, part frame.Part) {
	payload := part.Data
	if !part.First || !part.Last {
		in.msg = append(in.msg, part.Data...)
		if !part.Last {
			return
		}
		payload, in.msg = in.msg, nil
	}
	if part.Deflated {
		var err error
		if payload, err = c.group.Compress.Inflate(&s.inflater, part.Op, payload, c.group.MaxMessage); err != nil {
			c.reject(err)
			return
		}
		s.room -= len(payload)
	}
	s.messages++
	c.spoke.Store(c.group.now.Load())
	c.group.Handler.OnMessage(c, part.Op, payload)
}

// stalled reports whether reading has to wait: because the connection is paused,
// its own answers do not leave, or the group does not admit more. Whatever ends
// the stall runs the connection again.
func (c *Conn) stalled() bool {
	c.mu.Lock()
	if c.flag&corked != 0 && c.out.half(c.group) {
		c.flushLocked()
	}
	stalled := c.stalledLocked()
	c.mu.Unlock()
	return stalled || c.group.Admit != nil && !c.group.Admit(c)
}

func (c *Conn) stalledLocked() bool {
	return c.flag&stopped != 0 || c.out.half(c.group)
}
