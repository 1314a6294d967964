//go:build linux

package conn

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"roost/conn/frame"
	"roost/poller"
	"roost/poller/socket"
)

// Conn is one connection. Its methods may be called from any goroutine and at
// any time, also after its end, except where they say otherwise.
type Conn struct {
	// Static after New. reg is written by the poller's rules.
	reg   poller.Registration
	group *Group

	// Owned by the goroutine that holds reg.
	in *inbound // nil unless something is incomplete

	// Owned by the Handler.
	data any

	mu   sync.Mutex
	out  *outbound        // guarded by mu; nil when nothing waits and no worker collects
	code frame.StatusCode // guarded by mu; see CloseInfo
	why  Reason           // guarded by mu; set when the end begins
	flag flags            // guarded by mu

	agreed agreed // static once Open
	pinged bool   // owned by Sweep: a ping was sent and nothing came since

	kept kept // bytes that in takes; written by the goroutine that holds reg, under mu

	slot uint32 // owned by the hub

	state atomic.Uint32 // a State in the low stateBits, kernel, and above them the second it was accepted in; written under mu
	since atomic.Uint32 // group clock: accepted, last byte read, or close begun, by state
	spoke atomic.Uint32 // group clock: last message from the peer
}

const (
	// stateBits is how much of Conn.state a State takes.
	stateBits = 3
	// kernel is the bit of Conn.state which says that the kernel does the TLS of the connection.
	kernel = 1 << stateBits
	// secondShift leaves the rest of Conn.state to seconds since the group was made, for 8 years.
	secondShift = stateBits + 1
)

// flags are bits of Conn.flag.
type flags uint8

const (
	paused   flags = 1 << iota // Pause was called, Resume not yet
	held                       // Hold was called, Release not yet
	seated                     // counted by Config.Seat
	opened                     // OnOpen was called, so OnClose is owed
	corked                     // a worker runs the connection: out is flushed at the end of the run
	finSent                    // our last byte is in the kernel, and FIN behind it or next
	peerDone                   // nothing else will come: end as soon as our last bytes are out
	missed                     // Resume or Release came before Start had begun: that runs the connection
)

// agreed is what the handshake has settled: in the low bits the index of the subprotocol
// in the policy's list and 1, or 0 for none; above them how much
// the window of compression exceeds noWindow, or 0 for none.
type agreed uint8

const (
	subprotocolBits = 5
	// MaxSubprotocols is the most names that Policy.Subprotocols may have.
	MaxSubprotocols = 1<<subprotocolBits - 1

	noWindow = frame.LeastWindow - 1
)

func agreedOn(subprotocol, window int) agreed {
	return agreed(max(0, window-noWindow)<<subprotocolBits | (subprotocol + 1))
}

func (a agreed) subprotocol() int { return int(a&MaxSubprotocols) - 1 }

func (a agreed) compressed() bool { return a>>subprotocolBits != 0 }

func (a agreed) window() int {
	if !a.compressed() {
		return 0
	}
	return noWindow + int(a>>subprotocolBits)
}

// stopped are the reasons for which nobody reads the connection.
const stopped = paused | held

// New returns a connection without a descriptor; Start gives it one.
func New(g *Group) *Conn {
	c := &Conn{group: g}
	now := g.now.Load()
	c.since.Store(now)
	c.spoke.Store(now)
	c.state.Store(g.second.Load()<<secondShift | uint32(StateNew))
	g.Stats.Handshaking.Add(1)
	return c
}

// Start has p watch fd, an accepted non-blocking stream socket, for c, which owns
// it from now on. received are bytes that were read from fd before; they are
// handled first. When fd cannot be watched it is answered with 503 and closed, the
// group is told, and the error returned.
func (c *Conn) Start(p *poller.Poller, fd int, received []byte) error {
	return c.start(p, fd, received, c)
}

func (c *Conn) start(p *poller.Poller, fd int, received []byte, h poller.Handler) error {
	if len(received) > 0 {
		if c.in == nil {
			c.in = new(inbound)
		}
		c.in.rest, c.in.unread = received, true
	}
	if err := p.Register(&c.reg, fd, h); err != nil {
		c.in = nil
		if h == c {
			c.RefuseUnwatched(fd, unwatched)
		} else {
			c.RefuseUnwatched(fd, &Refusal{Reason: ReasonRegisterFailed}) // no words without TLS
		}
		return err
	}
	c.begin(len(received) > 0)
	return nil
}

// begin has the connection go on once it is registered, which a worker may have run already.
func (c *Conn) begin(more bool) {
	// From here on Sweep may call the registration.
	c.mu.Lock()
	switch c.State() {
	case StateNew:
		more = more || c.flag&missed != 0
		c.enter(StateHandshaking)
	case StateFailed: // by a shutdown
		more = true
	}
	c.mu.Unlock()
	if more {
		c.reg.Call()
	}
}

// ExpectPrelude has Config.Prelude judge the first bytes. It is called before Start, if
// at all.
func (c *Conn) ExpectPrelude() { c.in = &inbound{prelude: true} }

// State tells where the connection is in its life; it may have moved on by the
// time the caller looks at the answer.
func (c *Conn) State() State { return State(c.state.Load() & (1<<stateBits - 1)) }

// inKernel reports whether the kernel does the TLS of c.
func (c *Conn) inKernel() bool { return c.state.Load()&kernel != 0 }

// enter moves to a later state. The caller holds mu.
func (c *Conn) enter(to State) {
	from := c.State()
	c.state.Store(c.state.Load()>>stateBits<<stateBits | uint32(to))
	c.group.Stats.move(from, to)
}

// PeerAddr asks the kernel for the peer's address. It is the zero AddrPort when
// the connection has ended, and behind a unix socket.
func (c *Conn) PeerAddr() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hasDescriptor() {
		return netip.AddrPort{}
	}
	return socket.PeerAddr(c.reg.FD())
}

// Subprotocol is the one agreed on in the handshake, "" for none.
func (c *Conn) Subprotocol() string {
	i := c.agreed.subprotocol()
	if i < 0 {
		return ""
	}
	return c.group.Policy().Subprotocols[i]
}

// Window is the size of the window with which messages to c may be compressed, as a power
// of two from frame.LeastWindow to frame.MaxWindow. It is 0 when permessage-deflate was
// not agreed to, and before the handshake.
func (c *Conn) Window() int {
	if c.State() < StateOpen {
		return 0
	}
	return c.agreed.window()
}

// Data returns what SetData stored. No lock guards it: call both from the
// Handler's methods for this connection only.
func (c *Conn) Data() any { return c.data }

// SetData stores a value of the Handler's own, nil at first.
func (c *Conn) SetData(v any) { c.data = v }

// Slot is the place of c in the hub, for the hub's use.
func (c *Conn) Slot() uint32 { return c.slot }

// SetSlot is called by the hub, before Start.
func (c *Conn) SetSlot(slot uint32) { c.slot = slot }

// Pause stops the reading of further messages until Resume. A message that is
// being delivered is not affected; what the peer sends fills the socket buffers
// and slows the peer down. Pausing twice is pausing once.
func (c *Conn) Pause() { c.stop(paused) }

// Resume has reading go on after Pause, with what arrived in the meantime.
func (c *Conn) Resume() { c.goOn(paused) }

// Hold is Pause for the owner of the connections, the server and its hub; reading
// goes on when neither holds it.
func (c *Conn) Hold() { c.stop(held) }

// Release is Resume for Hold.
func (c *Conn) Release() { c.goOn(held) }

func (c *Conn) stop(by flags) {
	c.mu.Lock()
	c.flag |= by
	c.mu.Unlock()
}

func (c *Conn) goOn(by flags) {
	c.mu.Lock()
	was := c.flag&by != 0
	c.flag &^= by
	st := c.State()
	free := was && c.flag&stopped == 0
	switch {
	case free && st == StateOpen:
		// The peer could not be heard meanwhile: its silence does not count.
		now := c.group.now.Load()
		c.since.Store(now)
		c.spoke.Store(now)
	case free && st == StateNew:
		c.flag |= missed
	}
	c.mu.Unlock()
	// Before Start there is no registration to call, in state Failed neither if it
	// failed that early. Start runs the connection when there is something to do.
	if free && st != StateNew && st < StateFailed {
		c.reg.Call()
	}
}
