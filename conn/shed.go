//go:build linux

package conn

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// Backlog is what waits to be written to one connection.
type Backlog struct {
	Frames  int
	Bytes   int
	Dropped uint64 // frames that were dropped since the queue was empty last
}

// Backlog may be called at any time. It is zero when nothing waits.
func (c *Conn) Backlog() Backlog {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.backlogLocked()
}

func (c *Conn) backlogLocked() Backlog {
	if c.out == nil {
		return Backlog{}
	}
	return Backlog{Frames: c.out.frames, Bytes: c.out.bytes, Dropped: c.out.dropped}
}

// WriteQueued is how many bytes wait for the connection, with what its queue takes
// itself; 0 when nothing waits. Shared bytes count in full here: it tells who is
// slow, not what is in memory.
func (c *Conn) WriteQueued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil || c.flag&corked != 0 { // what a worker collects is not counted
		return c.sealedLocked()
	}
	n := c.out.weight() - c.out.alone + c.out.bytes + c.sealedLocked()
	if c.out.partial && c.out.segs[0].whole != nil {
		n += c.out.stub() - len(c.out.segs[0].b) // the rest keeps all of it alive
	}
	return n
}

// ReadKept is about how many bytes are kept of what has not arrived whole, and
// whether they are about to be freed because the connection is ending.
func (c *Conn) ReadKept() (n int, ending bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.bytes(), c.State() > StateOpen
}

// HandshakeAge is for how long the peer's request has been awaited since the accept, as exact
// as Group.Tick is frequent. What a peer has waited in a handshake of TLS does not count: it is 0
// while one waits for its turn. It reports false when the connection is not waiting for its request.
func (c *Conn) HandshakeAge() (time.Duration, bool) {
	accepted := c.since.Load() // before the state, which it depends on
	age := elapsed(c.group.now.Load(), accepted)
	if c.State() != StateHandshaking {
		return age, false
	}
	// The kernel may be about to take the TLS over.
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() != StateHandshaking {
		return age, false
	}
	if t := c.tls(); t != nil && t.phase.Load() != hello {
		age = t.Idle(time.Now())
	}
	return age, true
}

// unread reports that a connection is closed for r because its peer does not read, or
// for the memory that costs.
func (r Reason) unread() bool {
	return r == ReasonSlowConsumer || r == ReasonWriteQueueTotal || r == ReasonMaxMemory
}

// Shed ends the connection because the server is short of memory; why is
// ReasonWriteQueueTotal, ReasonReadBufferTotal, ReasonMaxMemory or
// ReasonHandshakeFlood. Its peer is told with status 1013
// if that leaves nearly everything to be freed at once, else it is cut off: a frame
// that has begun to leave would have to be kept for a peer that does not read. It
// reports false when the connection is spared: in a flood, those whose request has come,
// and waits to be read or for a Seat.
func (c *Conn) Shed(why Reason) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if why == ReasonHandshakeFlood && (c.State() != StateHandshaking || c.flag&held != 0 || socket.Unread(c.reg.FD()) > 0) {
		return false
	}
	const most = 8 // the share that may be kept is one in most
	if o := c.out; o != nil && why.unread() && (c.State() != StateOpen || o.stub()*most > o.bytes) {
		c.failLocked(why)
		return true
	}
	c.closeLocked(StatusTryAgainLater, "server is short of memory", why)
	return true
}

// lost is the reason for which a read or write has failed.
func lost(errno syscall.Errno) Reason {
	switch errno {
	case unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENETUNREACH:
		return ReasonPeerVanished
	}
	if unsealed(errno) {
		return ReasonTLSProtocol
	}
	return ReasonPeerReset
}
