//go:build linux

package conn

import (
	"roost/conn/frame"
	"roost/poller/socket"
)

// Send sends a prepared frame, shared by any number of connections. It never
// blocks: the frame goes to the kernel if nothing waits before it, else into the
// outbound queue. When that is full the slow-consumer policy decides, and the
// error is [ErrDropped] or [ErrSlowConsumer]; [ErrNotOpen] before the handshake
// and after the end.
func (c *Conn) Send(f *frame.Prepared) error {
	_, err := c.SendShared(f.Bytes(), 1)
	return err
}

// SendShared is Send for several frames encoded one behind the other, which stay
// together. When it reports that b was retained, nobody may change b any more;
// otherwise the connection has no use for it after the call.
func (c *Conn) SendShared(b []byte, frames int) (retained bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() != StateOpen {
		return false, ErrNotOpen
	}
	if c.out == nil {
		n, ok := c.direct(b)
		if !ok {
			return false, ErrNotOpen
		}
		if n == len(b) {
			return false, nil
		}
		c.out = &outbound{partial: n > 0}
		c.out.share(b[n:], frames)
		c.reg.WantWrite()
		return true, nil
	}
	if err := c.admitLocked(frames); err != nil {
		return false, err
	}
	c.out.share(b, frames)
	return true, nil
}

// Write sends one message, or a ping or pong, to this connection alone. op is
// frame.Text, Binary, Ping or Pong; payload is copied or written before Write
// returns. Errors and policy are those of Send.
func (c *Conn) Write(op frame.Opcode, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() != StateOpen {
		return ErrNotOpen
	}
	if c.out == nil {
		c.out = new(outbound)
		c.out.encode(op, payload)
		c.flushLocked()
		if c.State() != StateOpen {
			return ErrNotOpen
		}
		return nil
	}
	if err := c.admitLocked(1); err != nil {
		return err
	}
	c.out.encode(op, payload)
	return nil
}

// direct writes b with nothing queued before it. It reports whether the
// connection is still good.
func (c *Conn) direct(b []byte) (n int, ok bool) {
	c.reg.BeforeWrite()
	n, errno := socket.Send(c.reg.FD(), b)
	if errno != 0 && errno != socket.Again {
		c.failLocked(ReasonPeerReset)
		return n, false
	}
	return n, true
}

// writeLocked appends bytes that must not be dropped: an answer to a handshake, a
// close frame. The caller holds mu and flushes when the connection is not corked.
func (c *Conn) writeLocked(b []byte, frames int) {
	if c.out == nil {
		c.out = new(outbound)
	}
	c.out.append(b, frames)
	if c.flag&corked == 0 {
		c.flushLocked()
	}
}

// admitLocked applies the limits to the queue, which is not nil, before another
// frame enters it.
func (c *Conn) admitLocked(frames int) error {
	g := c.group
	if !c.out.full(g) {
		return nil
	}
	if c.flag&corked != 0 {
		// What a worker collects has not been offered to the kernel yet.
		c.flushLocked()
		if c.State() != StateOpen {
			return ErrNotOpen
		}
		if !c.out.full(g) {
			return nil
		}
	}
	if g.SlowConsumer == Drop {
		g.Stats.Dropped.Add(uint64(frames))
		return ErrDropped
	}
	c.closeLocked(frame.StatusPolicyViolation, "slow consumer", ReasonSlowConsumer)
	return ErrSlowConsumer
}

// flush writes what waits, outside of Send and Write: when epoll has reported
// room, or there will be no later chance.
func (c *Conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil {
		return
	}
	before := c.out.bytes
	c.flushLocked()
	if c.State() == StateOpen && (c.out == nil || c.out.bytes < before) {
		// Room came because the peer has acknowledged something: it lives, even if
		// its pongs cannot be read while its answers wait.
		c.since.Store(c.group.now.Load())
	}
}

// flushLocked offers the queue to the kernel until it is empty, the socket is
// full (WantWrite is set then) or the connection has failed. An empty queue
// vanishes unless a worker collects in it; in state Closing FIN follows it.
func (c *Conn) flushLocked() {
	if st := c.State(); st != StateOpen && st != StateClosing {
		return
	}
	for o := c.out; o != nil && len(o.segs) > 0; {
		c.reg.BeforeWrite()
		n, errno := o.writeTo(c.reg.FD())
		o.written(n)
		if errno == socket.Again {
			c.reg.WantWrite()
			return
		}
		if errno != 0 {
			c.failLocked(ReasonPeerReset)
			return
		}
	}
	if c.flag&corked == 0 {
		c.out = nil
	}
	if c.State() == StateClosing && c.flag&finSent == 0 {
		c.flag |= finSent
		// An error means that the peer is gone; reading will say so.
		_ = socket.ShutdownWrite(c.reg.FD())
	}
}

// cork has what is sent from now on collected until uncork.
func (c *Conn) cork(s *Scratch) {
	if c.group.Blocking {
		return
	}
	c.mu.Lock()
	if c.out == nil && c.State() < StateClosing {
		c.out = &s.cork
		c.flag |= corked
	}
	c.mu.Unlock()
}

// uncork ends a run. It reports whether the connection has to be ended.
func (c *Conn) uncork(s *Scratch) (end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flag&corked != 0 {
		c.flag &^= corked
		c.flushLocked()
		if c.out == &s.cork {
			// The socket is full: the connection takes the queue along.
			moved := s.cork
			c.out = &moved
			s.cork = outbound{}
		}
		s.cork.reset()
	}
	switch c.State() {
	case StateOpen:
		if c.in != nil && c.in.unread && !c.stalledLocked() {
			// Reading stopped because answers waited, and they have left by now: in
			// this very run, perhaps, so that no event will announce the room.
			c.reg.Call()
		}
	case StateFailed, StateHandedOff:
		return true
	case StateClosing:
		return c.flag&(peerDone|finSent) == peerDone|finSent
	}
	return false
}
