//go:build linux

package conn

import (
	"context"
	"log/slog"
	"math"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"roost/poller"
	"roost/poller/socket"
)

// discard reads and forgets what arrives after our last bytes, until the peer
// closes. Closing with unread bytes would make the kernel send RST, which can
// destroy our close frame before the peer has read it (RFC 6455 section 7.1.1).
func (c *Conn) discard(w *poller.Worker) poller.Next {
	c.forgetInbound()
	for budget := max(c.group.ReadBudget, len(w.Buffer)); budget > 0; {
		n, errno := c.recvAny(w.Buffer)
		switch {
		case errno == socket.Again:
			return poller.Wait
		case errno != 0:
			c.fail(ReasonNone)
			return poller.Wait
		case n == 0:
			// Our last bytes may still be on their way out: the peer has closed only
			// its own side.
			c.mu.Lock()
			c.flag |= peerDone
			c.mu.Unlock()
			return poller.Wait
		}
		budget -= c.cost(n)
	}
	return poller.Again
}

// end closes the descriptor and tells everybody. The caller holds the registration.
func (c *Conn) end() {
	c.forgetInbound()
	g := c.group
	c.mu.Lock()
	peer := g.leaving.take(c) // under the lock: who else holds it may be about to put
	why, code, flag := c.why, c.code, c.flag
	if g.wanted(why) {
		if client := c.client(); client.IsValid() {
			peer = client
		} else if !peer.IsValid() && c.reg.FD() >= 0 {
			peer = socket.PeerAddr(c.reg.FD()) // gone with the descriptor
		}
	}
	if c.State() == StateHandedOff {
		c.mu.Unlock()
		c.gone(why, false, peer)
		return
	}
	if c.inKernel() {
		g.Stats.TLSKernel.Add(-1)
		g.Stats.TLSOpen.Add(-1)
	}
	c.enter(StateClosed)
	c.forgetLocked()
	c.reg.Close()
	c.mu.Unlock()
	c.gone(why, flag&seated != 0, peer)
	if flag&opened != 0 {
		defer func() {
			if v := recover(); v != nil {
				c.logPanic(v)
			}
		}()
		g.Handler.OnClose(c, CloseInfo{Code: code, Reason: why})
	}
}

// leaving has the addresses of peers to whom FIN was sent, for the log: when their
// own FIN comes the kernel forgets them. It has only those that the log wants to know.
type leaving struct {
	some  atomic.Bool // peers may not be empty
	mu    sync.Mutex
	peers map[*Conn]netip.AddrPort // guarded by mu
}

// leavingMost bounds leaving, unless the log wants to know everybody: one for each
// reason would do, if it ends before the others.
const leavingMost = 1024

// put remembers the peer of c, unless there are most already.
func (l *leaving) put(c *Conn, peer netip.AddrPort, most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.peers) >= most {
		return
	}
	if l.peers == nil {
		l.peers = map[*Conn]netip.AddrPort{}
	}
	l.peers[c] = peer
	l.some.Store(true)
}

// take is the zero AddrPort for a connection that is not there.
func (l *leaving) take(c *Conn) netip.AddrPort {
	if !l.some.Load() {
		return netip.AddrPort{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	peer := l.peers[c]
	delete(l.peers, c)
	l.some.Store(len(l.peers) > 0)
	return peer
}

// rememberPeerLocked is called before FIN is sent.
func (c *Conn) rememberPeerLocked() {
	g, most := c.group, leavingMost
	if g.debug() {
		most = math.MaxInt
	} else if !g.wanted(c.why) {
		return
	}
	if peer := socket.PeerAddr(c.reg.FD()); peer.IsValid() {
		g.leaving.put(c, peer, most)
	}
}

// debug reports whether the end of each connection is logged.
func (g *Group) debug() bool { return g.Log.Enabled(context.Background(), slog.LevelDebug) }

// wanted reports whether the address of a peer whose connection ends is to be found
// out: because the end is logged, or because nobody stands for this reason yet.
func (g *Group) wanted(why Reason) bool { return g.debug() || g.samples[why].Load() == nil }

// Sample is the address of a peer whose connection ended for that reason since the
// call before, the first whose address was known; zero if there was none.
func (g *Group) Sample(why Reason) netip.AddrPort {
	if peer := g.samples[why].Swap(nil); peer != nil {
		return *peer
	}
	return netip.AddrPort{}
}

// Address is a peer's address for the log: "unknown" when it has none, as behind a unix
// socket, or the kernel has forgotten it, as after a reset.
func Address(peer netip.AddrPort) string {
	if !peer.IsValid() {
		return "unknown"
	}
	return peer.String()
}

func (c *Conn) gone(why Reason, seated bool, peer netip.AddrPort) {
	g := c.group
	g.Stats.Ended[why].Add(1)
	if peer.IsValid() && g.samples[why].Load() == nil {
		p := peer // else peer is on the heap always
		g.samples[why].Store(&p)
	}
	if g.debug() {
		g.Log.Debug("connection ended", "reason", why.String(), "code", int(c.code), "peer", Address(peer))
	}
	g.Gone(c, seated)
}

// client is the zero AddrPort for the peer.
func (c *Conn) client() netip.AddrPort {
	if c.group.Client == nil {
		return netip.AddrPort{}
	}
	return c.group.Client(c)
}

func (c *Conn) logPanic(v any) {
	peer := c.client()
	if !peer.IsValid() {
		peer = c.PeerAddr()
	}
	c.group.Log.Error("handler panicked; its connection is closed",
		"panic", v, "peer", Address(peer), "stack", string(debug.Stack()))
}
