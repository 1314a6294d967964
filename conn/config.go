package conn

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/conn/secure"
)

// SlowConsumer is what happens to a connection whose outbound queue is full.
type SlowConsumer uint8

const (
	// Disconnect closes the connection with status 1008. Its client can reconnect
	// and knows that it missed something.
	Disconnect SlowConsumer = iota
	// Drop drops the newest frame and keeps the connection.
	Drop
	// Conflate keeps the newest frame of each key, see [Shared.SetKey]: it enters the
	// queue at its end, and what waits there with the same key and has not begun to leave
	// is taken out. A queue that is full nevertheless is treated as by Disconnect, so a
	// client is never closed if a frame of each key fits, beside the one that is leaving.
	Conflate
)

// Slow is what happened to a slow consumer.
type Slow struct {
	Conn    *Conn
	Peer    netip.AddrPort // at that time
	What    SlowEvent
	Backlog // when it happened
}

// SlowEvent says what happened.
type SlowEvent uint8

const (
	// Lagging: its queue is full, and the first frame was dropped.
	Lagging SlowEvent = iota
	// CaughtUp: everything that was not dropped has left.
	CaughtUp
	// CutOff: its queue is full, and it is being closed.
	CutOff
)

// Config is what all connections of a group have in common: limits, and whom to
// tell. It is read-only once the first connection exists.
type Config struct {
	// Handler serves the connections. Required.
	Handler Handler
	// Policy decides on opening handshakes, until Group.SetPolicy. Required.
	Policy *handshake.Policy
	// Log receives panics as errors and the end of each connection at debug level. Required.
	Log *slog.Logger

	// Blocking says that the Handler may wait. Answers are then not collected
	// until the end of a run.
	Blocking bool
	// MaxMessage is the longest message taken from a client, in bytes over all its
	// fragments, and inflated if it is compressed. 0 means no limit.
	MaxMessage int64
	// Compress serves the connections whose handshake has agreed to permessage-deflate.
	// Required with handshake.Policy.Compress, and nil without.
	Compress *frame.Compressor
	// ReadBudget is how many bytes one connection may read, or inflate, before others get
	// their turn. 0 means one buffer.
	ReadBudget int
	// WriteQueueFrames and WriteQueueBytes bound what waits for one connection. A
	// frame is taken when the queue holds less than both, so the queue may exceed
	// the bytes by one frame. 0 means no limit.
	WriteQueueFrames int
	WriteQueueBytes  int
	// WriteQueueTotal bounds the bytes that the outbound queues of all connections
	// keep alive together: frames of their own, the places in the queues, and frames
	// of a [Shared] once for all queues that hold it. 0 means no limit.
	WriteQueueTotal int64
	// ReadBufferTotal bounds the bytes that all connections together keep of messages
	// and request heads that have not arrived whole. 0 means no limit.
	ReadBufferTotal int64
	// Exceeded is called when a total has grown beyond its bound, each time it grows
	// until somebody has made it shrink, see [Conn.Shed]. It is called under the lock
	// of a connection, so it must not block and must not call one. Required with a total.
	Exceeded func()
	// SlowConsumer is the policy when the queue is full.
	SlowConsumer SlowConsumer
	// Slow is told when the policy meets a connection: once, when its first frame is
	// dropped or it is closed, and again when it has caught up if the answer was true.
	// It is called under the lock of the connection, so it must not block and must
	// not call it. Nil means that nobody wants to know.
	Slow func(Slow) bool

	// HandshakeTimeout is how long a client may take for its request, counted from
	// the accept. 0 means for ever.
	HandshakeTimeout time.Duration
	// PingInterval is how long a connection may be silent before it is sent a ping;
	// after as long again without a byte from it, it is closed. 0 means no pings.
	PingInterval time.Duration
	// IdleTimeout closes connections that have sent no message (pings and pongs do
	// not count) for this long. 0 means never.
	IdleTimeout time.Duration
	// CloseTimeout is how long the peer has to take our last bytes and close. 0
	// means for ever.
	CloseTimeout time.Duration
	// ShutdownCode is the status with which Shutdown closes. 0 means 1001.
	ShutdownCode frame.StatusCode

	// Admit is asked before bytes are read and before each message is delivered.
	// When it answers false it has called Hold and will see to Release. Nil means yes.
	Admit func(*Conn) bool
	// Prelude is given all bytes that have come on a connection that expects some before
	// its request, see [Conn.ExpectPrelude]. It returns how many of them are none of the
	// request's, or a refusal; a negative number says that more must come, and it is asked
	// again. It must not keep b. Required for such connections.
	Prelude func(c *Conn, b []byte) (int, *Refusal)
	// Seat is asked when a good request is complete, r being valid until it returns. A
	// refusal is the answer then. When it answers Later it has called Hold and will see to
	// Release: then it is asked again. Nothing is read meanwhile, and the handshake deadline
	// goes on; a peer that leaves is not waited for. Nil means that there is a seat for everybody.
	Seat func(c *Conn, r *handshake.Request) *Refusal
	// Secure makes the TLS session of a connection from [Conn.StartTLS] when its first record
	// has come; first becomes the session's. Shake has [TLS.Handshake] called, soon and once, by a
	// goroutine that may wait; it must not block itself. Required for such connections.
	Secure func(first []byte) *secure.Session
	Shake  func(t *TLS)
	// KernelTLS decides for connections whose sessions are from [secure.Offloadable].
	KernelTLS KernelTLS
	// HandOff takes over the descriptor of a connection whose request is for another
	// path and no WebSocket handshake, with all bytes received so far. received is the callee's.
	// Required.
	HandOff func(c *Conn, fd int, received []byte)
	// Client is the address of whom c serves, for the log, or the zero AddrPort when that
	// is the peer. It is called under the lock of c, and not when c has ended. Nil means
	// that it always is the peer.
	Client func(c *Conn) netip.AddrPort
	// Gone is told when a connection has reached a terminal state; seated is
	// whether it had been given a Seat. Required.
	Gone func(c *Conn, seated bool)
}

// Group is a set of connections under one Config. Its zero value is not usable.
type Group struct {
	Config

	Stats  Stats
	policy atomic.Pointer[handshake.Policy]
	now    atomic.Uint32 // milliseconds; wraps after 49 days
	second atomic.Uint32 // the same in seconds, which does not
	start  time.Time

	leaving leaving
	samples [Reasons]atomic.Pointer[netip.AddrPort]
}

// NewGroup returns a Group. config is copied.
func NewGroup(config Config) *Group {
	g := &Group{Config: config, start: time.Now()}
	g.policy.Store(config.Policy)
	return g
}

// Policy is the one in force.
func (g *Group) Policy() *handshake.Policy { return g.policy.Load() }

// SetPolicy has p decide on handshakes from now on. Its path, subprotocols
// and compression must be those of the policy before: connections remember them. It may be called
// at any time.
func (g *Group) SetPolicy(p *handshake.Policy) { g.policy.Store(p) }

// queued adds to Stats.WriteQueued.
func (g *Group) queued(n int) { g.add(&g.Stats.WriteQueued, n, g.WriteQueueTotal) }

// kept adds to Stats.ReadKept.
func (g *Group) kept(n int) { g.add(&g.Stats.ReadKept, n, g.ReadBufferTotal) }

func (g *Group) add(sum *atomic.Int64, n int, bound int64) {
	if n == 0 {
		return
	}
	if now := sum.Add(int64(n)); n > 0 && bound > 0 && now > bound {
		g.Exceeded()
	}
}

// Tick sets the clock that connections are stamped with. Deadlines are as exact
// as Tick is frequent. Reading a coarse clock instead of the system's keeps two
// clock calls out of every message. The clock never goes back; Tick may be called from
// any goroutine.
func (g *Group) Tick(now time.Time) {
	ran := now.Sub(g.start)
	advance(&g.now, uint32(ran.Milliseconds()))
	advance(&g.second, uint32(ran/time.Second))
}

// advance moves a clock that wraps, and never back.
func advance(clock *atomic.Uint32, to uint32) {
	for {
		now := clock.Load()
		if int32(to-now) <= 0 || clock.CompareAndSwap(now, to) {
			return
		}
	}
}
