//go:build linux

package server

import (
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"roost/conn"
	"roost/conn/handshake"
	"roost/poller/socket"
)

// clients knows whom each connection serves, where that is more than the kernel knows, or
// is needed when the kernel has forgotten: behind trusted proxies and with limits per
// address. Without these it is empty.
type clients struct {
	trusted  *proxies // static
	visitors visitors
	turned   atomic.Int64 // connections that were refused on arrival and are not gone

	mu    sync.Mutex
	table table[client] // entries guarded by mu
}

// client is what is known of a connection. It holds no pointer, so the garbage
// collector does not look at it.
type client struct {
	ip   [16]byte
	port uint16
	is   clientBits
}

type clientBits uint8

const (
	known   clientBits = 1 << iota // ip and port are set
	behind                         // the peer, or whom it speaks for, is a trusted proxy
	counted                        // visitors has to be told when it leaves
	turned                         // it was refused on arrival
)

func (e *client) addr() netip.AddrPort {
	if e.is&known == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(e.ip).Unmap(), e.port)
}

func (e *client) set(addr netip.AddrPort) {
	e.ip, e.port = addr.Addr().As16(), addr.Port()
	e.is |= known
}

// turnedMost is how many refused connections may wait for their peer to read the answer
// and close. More are closed at once, at the risk that a peer does not see the answer.
const turnedMost = 256

// Client is the address of whom c serves: the one that a trusted proxy has told, else
// the peer's. Its port is 0 when it is not known. It is the zero AddrPort when c has
// ended, and for the peer of a unix socket.
func (s *Server) Client(c *conn.Conn) netip.AddrPort {
	if addr := s.clients.of(c); addr.IsValid() {
		return addr
	}
	return c.PeerAddr()
}

// of is the zero AddrPort when the kernel knows best.
func (t *clients) of(c *conn.Conn) netip.AddrPort {
	e := t.table.get(c.Slot())
	if e == nil {
		return netip.AddrPort{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// Behind its end, the slot may be another's. Its entry is emptied in between, under
	// this lock.
	if c.State() >= conn.StateHandedOff {
		return netip.AddrPort{}
	}
	return e.addr()
}

// arrive is called for a connection that is about to start. told is its client when a
// proxy has said so before the connection went to net/http and came back. proxy reports
// whether a trusted one may speak for others here.
func (s *Server) arrive(c *conn.Conn, fd int, told netip.AddrPort) (proxy bool, refusal *conn.Refusal) {
	l := s.limits.Load()
	if s.clients.trusted == nil && !l.perIP() {
		return false, nil
	}
	if told.IsValid() {
		refusal = s.name(c, told)
		return s.clients.trusted.trust(told.Addr()), refusal
	}
	peer := socket.PeerAddr(fd)
	switch {
	case s.clients.trusted.trust(peer.Addr()):
		s.clients.edit(c, func(e *client) { e.is |= behind })
		return true, nil
	case peer.IsValid() && l.perIP():
		return false, s.count(c, peer, l)
	}
	return false, nil
}

// count applies the limits per address.
func (s *Server) count(c *conn.Conn, addr netip.AddrPort, l *Limits) *conn.Refusal {
	t := &s.clients
	isCounted, refusal := false, (*conn.Refusal)(nil)
	if l.perIP() {
		isCounted, refusal = t.visitors.arrive(keyOf(addr.Addr()), s.clock(), l)
	}
	t.edit(c, func(e *client) {
		e.set(addr)
		if isCounted {
			e.is |= counted
		}
	})
	return refusal
}

func (t *clients) edit(c *conn.Conn, f func(*client)) {
	e := t.table.at(c.Slot())
	t.mu.Lock()
	defer t.mu.Unlock()
	f(e)
}

// name is called when a proxy has told the client of c.
func (s *Server) name(c *conn.Conn, addr netip.AddrPort) *conn.Refusal {
	if s.clients.trusted.trust(addr.Addr()) {
		// Shown, but not limited; and it may speak for others.
		s.clients.edit(c, func(e *client) { e.set(addr); e.is |= behind })
		return nil
	}
	s.clients.edit(c, func(e *client) { e.is &^= behind }) // what it says of others is hearsay
	return s.count(c, addr, s.limits.Load())
}

// prelude is conn.Config.Prelude, for connections of trusted proxies.
func (s *Server) prelude(c *conn.Conn, b []byte) (int, *conn.Refusal) {
	addr, n, err := proxyHeader(b)
	switch {
	case err != nil:
		s.config.Log.Debug("handshake refused", "why", err, "peer", c.PeerAddr())
		return 0, badProxyHeader
	case addr.IsValid():
		return n, s.name(c, addr)
	}
	return n, nil
}

// locate finds the client of c in its request, when c comes from a trusted proxy.
func (s *Server) locate(c *conn.Conn, r *handshake.Request) *conn.Refusal {
	e := s.clients.table.get(c.Slot())
	if e == nil || s.clients.trusted == nil {
		return nil
	}
	s.clients.mu.Lock()
	ask := e.is&behind != 0
	s.clients.mu.Unlock()
	if !ask {
		return nil
	}
	addr, err := forwarded(s.clients.trusted, r)
	switch {
	case err != nil:
		s.config.Log.Debug("handshake refused", "why", err, "peer", c.PeerAddr())
		return twoClients
	case addr.IsValid():
		return s.name(c, addr)
	}
	return nil
}

// Answers to proxies that cannot be understood.
var (
	badProxyHeader = conn.NewRefusal(http.StatusBadRequest, conn.ReasonHandshakeRefused,
		"malformed PROXY protocol header: send version 1 or 2, or none.")
	twoClients = conn.NewRefusal(http.StatusBadRequest, conn.ReasonHandshakeRefused,
		"Forwarded and X-Forwarded-For name different clients: the proxy in between has to set or remove both.")
)

// told is what c takes along to net/http, whose slot is still its own.
func (t *clients) told(c *conn.Conn) netip.AddrPort {
	e := t.table.get(c.Slot())
	if e == nil {
		return netip.AddrPort{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return e.addr()
}

// forget is called when c has ended, while its slot is still its own.
func (t *clients) forget(c *conn.Conn, now time.Duration) {
	e := t.table.get(c.Slot())
	if e == nil {
		return
	}
	t.mu.Lock()
	was := *e
	*e = client{}
	t.mu.Unlock()
	if was.is&counted != 0 {
		t.visitors.leave(keyOf(was.addr().Addr()), now)
	}
	if was.is&turned != 0 {
		t.turned.Add(-1)
	}
}
