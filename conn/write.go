//go:build linux

package conn

import (
	"bytes"
	"syscall"

	"roost/conn/frame"
	"roost/poller/socket"
)

// Send sends a prepared frame, shared by any number of connections. It never
// blocks: the frame goes to the kernel if nothing waits before it, else into the
// outbound queue. When that is full the slow-consumer policy decides, and the
// error is [ErrDropped] or [ErrSlowConsumer]; [ErrNotOpen] before the handshake
// and after the end.
func (c *Conn) Send(f *frame.Prepared) error {
	b := f.Bytes()
	if z := c.group.Compress; z != nil {
		if window := c.Window(); window > 0 {
			b = f.Deflated(z, window)
		}
	}
	err := c.send(b, nil, 1)
	if err == nil && !f.Opcode().IsControl() {
		c.group.Stats.sentBy(c).messages.Add(1)
	}
	return err
}

// SendShared is Send for the frames of s, which stay together unless s has parts.
// Afterwards s may be held, see [Shared.Held], and its watcher has been told or will be.
func (c *Conn) SendShared(s *Shared) error { return c.send(s.b, s, s.frames) }

// send sends b, which is all of whole unless that is nil.
func (c *Conn) send(b []byte, whole *Shared, frames int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() != StateOpen {
		return ErrNotOpen
	}
	left := 0
	if c.out == nil {
		var ok bool
		if left, ok = c.direct(b); !ok {
			return ErrNotOpen
		}
		if left == len(b) {
			whole.tell(Sent)
			return nil
		}
		c.out = new(outbound)
		c.reg.WantWrite()
	} else {
		if c.group.conflates(whole) {
			c.out.supersede(c.group, whole.takeApart())
		}
		if err := c.admitLocked(frames); err != nil {
			return err
		}
	}
	c.queueLocked(b, left, whole, frames)
	return nil
}

// queueLocked appends b, of which the first left bytes have been written, to the
// queue. Nothing waits there if left is not 0.
func (c *Conn) queueLocked(b []byte, left int, whole *Shared, frames int) {
	defer c.settleLocked()
	o, g := c.out, c.group
	if g.conflates(whole) {
		o.shareEach(g, whole.takeApart(), left)
		return
	}
	if whole != nil {
		whole.split = nil // nobody will ask for parts, and what it needs would be kept
		whole.retain(g)
	}
	o.partial = o.partial || left > 0
	o.share(b[left:], whole, frames)
	if left > 0 && whole == nil {
		o.behind = left
		o.compact()
	}
}

// Write sends one message, or a ping or pong, to this connection alone. op is
// frame.Text, Binary, Ping or Pong; payload is copied or written before Write
// returns. Errors and policy are those of Send.
func (c *Conn) Write(op frame.Opcode, payload []byte) error {
	var err error
	if d := c.deflate(op, payload); d != nil {
		err = c.write(op, payload, d.Bytes())
		d.Release()
	} else {
		err = c.write(op, payload, nil)
	}
	if err == nil && !op.IsControl() {
		c.group.Stats.sentBy(c).messages.Add(1)
	}
	return err
}

// deflate is the frame to send in compressed form, nil if it goes plain. It is made before
// the lock is taken, which broadcasters may wait for.
func (c *Conn) deflate(op frame.Opcode, payload []byte) *frame.Deflated {
	z := c.group.Compress
	if z == nil {
		return nil
	}
	window := c.Window()
	if window == 0 {
		return nil
	}
	return z.Deflate(op, payload, window)
}

// write sends the frame deflated, or encodes one if that is nil.
func (c *Conn) write(op frame.Opcode, payload, deflated []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() != StateOpen {
		return ErrNotOpen
	}
	if c.out == nil {
		c.out = new(outbound)
		c.out.encode(op, payload, deflated)
		c.flushLocked()
		if c.State() != StateOpen {
			return ErrNotOpen
		}
		return nil
	}
	if err := c.admitLocked(1); err != nil {
		return err
	}
	c.out.encode(op, payload, deflated)
	c.settleLocked()
	return nil
}

// direct writes b with nothing queued before it. It reports whether the
// connection is still good.
func (c *Conn) direct(b []byte) (n int, ok bool) {
	c.reg.BeforeWrite()
	var errno syscall.Errno
	if t := c.tls(); t == nil {
		n, errno = socket.Send(c.reg.FD(), b)
	} else {
		n, errno = t.send(b)
	}
	if errno != 0 && errno != socket.Again {
		c.failLocked(lost(errno))
		return n, false
	}
	c.group.Stats.sentBy(c).bytes.Add(uint64(n))
	return n, true
}

// settleLocked counts what the queue has grown or shrunk by. A cork is not
// counted: it is a worker's, empty again at the end of the run, and sums that every
// message changes would be fought over by all processors.
func (c *Conn) settleLocked() {
	if c.out == nil || c.flag&corked != 0 {
		return
	}
	if n := c.out.weight() - c.out.counted; n != 0 {
		c.out.counted += n
		c.group.queued(n)
	}
}

// forgetLocked gives the queue up, with what is in it.
func (c *Conn) forgetLocked() {
	if c.out != nil {
		c.out.discard(c.group)
		c.out = nil
	}
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
		c.out.dropped += uint64(frames)
		g.Stats.Dropped.Add(uint64(frames))
		if c.out.dropped == uint64(frames) {
			c.out.told = c.slowLocked(Lagging)
		}
		return ErrDropped
	}
	c.slowLocked(CutOff)
	c.closeLocked(frame.StatusPolicyViolation, "slow consumer", ReasonSlowConsumer)
	return ErrSlowConsumer
}

// slowLocked tells what the slow-consumer policy has done, and returns whether that
// was taken notice of.
func (c *Conn) slowLocked(what SlowEvent) bool {
	g := c.group
	return g.Slow != nil && g.Slow(Slow{c, socket.PeerAddr(c.reg.FD()), what, c.backlogLocked()})
}

// flush writes what waits, outside of Send and Write: when epoll has reported
// room, or there will be no later chance.
func (c *Conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil {
		if c.tls() != nil || c.inKernel() {
			c.flushLocked() // the last record may wait, or the alert behind it
		}
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
	t := c.tls()
	for o := c.out; o != nil && len(o.segs) > 0; {
		c.reg.BeforeWrite()
		var n int
		var errno syscall.Errno
		if t == nil {
			n, errno = o.writeTo(c.reg.FD())
		} else {
			n, errno = t.writeTo(o)
		}
		o.written(c.group, n)
		c.group.Stats.sentBy(c).bytes.Add(uint64(n))
		if errno == socket.Again {
			c.settleLocked()
			c.reg.WantWrite()
			return
		}
		if errno != 0 {
			c.failLocked(lost(errno))
			return
		}
	}
	if c.out != nil && c.out.told {
		c.slowLocked(CaughtUp)
		c.out.told = false
	}
	if c.flag&corked == 0 {
		c.forgetLocked()
	}
	if t != nil && !t.flushedLocked() {
		return
	}
	if c.State() == StateClosing && c.flag&finSent == 0 && c.notifyLocked() {
		c.flag |= finSent
		if c.flag&peerDone == 0 { // else close(2) comes right behind
			c.rememberPeerLocked()
			// An error means that the peer is gone; reading will say so.
			_ = socket.ShutdownWrite(c.reg.FD())
		}
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
			c.out, s.cork = &moved, outbound{}
			if seg := &moved.segs[0]; seg.own && cap(seg.b) > 2*len(seg.b) {
				// A few bytes must not take a large buffer along.
				s.cork.buf, seg.b = seg.b[:0], bytes.Clone(seg.b)
				moved.behind = 0
			}
			c.settleLocked()
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
