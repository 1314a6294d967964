//go:build linux

package server

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"roost/conn"
	"roost/conn/handshake"
	"roost/conn/secure"
	"roost/poller"
	"roost/poller/socket"
)

// admission counts who is in.
type admission struct {
	gate      gate
	seats     atomic.Int64  // WebSocket connections that got past their handshake
	accepted  atomic.Uint64 // connections that listeners have accepted
	waits     atomic.Uint64 // times that accepting waited for Limits.AcceptRate
	pauses    atomic.Uint64 // times that accepting stopped for want of descriptors or memory
	unwatched notice        // connections cannot be watched
}

// notice is a condition that is told to the log when it begins and when it ends, but
// not more than once in summaryEvery: clients can bring it about as they please.
type notice struct {
	told atomic.Bool  // the log knows that it has begun
	last atomic.Int64 // when the log was told, in Unix milliseconds
}

// begin reports whether the log is to be told.
func (n *notice) begin(now time.Time) bool {
	last := n.last.Load()
	if n.told.Load() || now.UnixMilli()-last < summaryEvery.Milliseconds() || !n.last.CompareAndSwap(last, now.UnixMilli()) {
		return false
	}
	n.told.Store(true)
	return true
}

// end reports whether the log is to be told, which is when it was told of the
// beginning. It costs next to nothing when nothing has begun.
func (n *notice) end() bool {
	return n.told.Load() && n.told.Swap(false)
}

// refusals is how many connections beyond MaxConns may be open at once to be
// answered with 503. Further ones wait in the kernel's backlog.
const refusals = 1024

// reception is what happens to what the listener of that address accepts.
func (s *Server) reception(addr string, secure bool) poller.ListenerConfig {
	log := s.config.Log
	var paused notice
	return poller.ListenerConfig{
		ReusePort: s.config.ReusePort,
		OnAccept: func(fd int) {
			s.admission.accepted.Add(1)
			s.admission.gate.pass(s.clock(), s.limits.Load().AcceptRate)
			s.adopt(fd, arrival{secure: secure})
		},
		Admit: s.mayAccept,
		OnPause: func(errno syscall.Errno) {
			s.shedder.makeRoom()
			s.admission.pauses.Add(1)
			if !paused.begin(time.Now()) {
				return
			}
			log.Warn("accepting pauses until a descriptor comes free; clients wait in the backlog",
				"listener", addr, "err", errno.Error(), "connections", s.hub.Len(),
				"remedy", "raise the descriptor limit (ulimit -n, LimitNOFILE=) or set --max-conns below it")
		},
		OnResume: func() {
			if paused.end() {
				log.Info("accepting again", "listener", addr, "connections", s.hub.Len())
			}
		},
	}
}

// mayAccept is asked before each accept; clients wait in the backlog while it says no.
// Whatever ends that calls resumeListeners.
func (s *Server) mayAccept() bool {
	l := s.limits.Load()
	switch {
	case l.MaxConns > 0 && s.hub.Len() >= max(l.MaxConns, int(s.admission.seats.Load()))+refusals:
		s.shedder.makeRoom()
		return false
	case s.memory.full.Load():
		return false
	}
	return s.admission.gate.open(s, l.AcceptRate)
}

// gate is Limits.AcceptRate, for all listeners together.
type gate struct {
	mu      sync.Mutex
	bucket  bucket // guarded by mu
	waiting bool   // guarded by mu; a timer will resume the listeners
}

// open reports whether a connection may be accepted now. It takes no token: accept may
// find nobody. Several listeners may find the same one, so for a moment there are as many
// too many.
func (g *gate) open(s *Server, rate int) bool {
	if rate == 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	wait := g.bucket.wait(s.clock(), rate)
	if wait == 0 {
		return true
	}
	if !g.waiting {
		g.waiting = true
		s.admission.waits.Add(1)
		time.AfterFunc(min(max(wait, gateLeast), gateMost), func() {
			g.mu.Lock()
			g.waiting = false
			g.mu.Unlock()
			s.resumeListeners()
		})
	}
	return false
}

// A closed gate is looked at again after a time between these.
const (
	gateLeast = time.Millisecond
	gateMost  = 100 * time.Millisecond
)

// pass takes the token of a connection that was accepted.
func (g *gate) pass(now time.Duration, rate int) {
	if rate == 0 {
		return
	}
	g.mu.Lock()
	g.bucket.spend(now, rate)
	g.mu.Unlock()
}

// arrival is what a connection brings along. Only secure is set unless net/http had it before.
type arrival struct {
	received []byte          // has been read from it already
	told     netip.AddrPort  // its client
	secure   bool            // it speaks TLS
	session  *secure.Session // its TLS
}

// adopt makes a connection of fd, a non-blocking stream socket.
func (s *Server) adopt(fd int, a arrival) {
	if s.sealed.Load() {
		socket.Close(fd)
		return
	}
	s.shedder.arriving()
	c := conn.New(s.group)
	s.hub.Join(c)
	proxy, refusal := s.arrive(c, fd, a.told)
	if err := s.startConn(c, fd, a, proxy, refusal); err != nil {
		if s.admission.unwatched.begin(time.Now()) {
			s.config.Log.Error("connections are refused with 503: epoll cannot watch more", "err", err, "connections", s.hub.Len(),
				"remedy", "if there is no space left, raise the sysctl fs.epoll.max_user_watches")
		}
		return
	}
	s.shedder.arrived()
	if s.admission.unwatched.end() {
		s.config.Log.Info("connections can be watched again", "connections", s.hub.Len())
	}
	if s.sealed.Load() {
		c.Shutdown() // the walk that tells everybody may have passed its slot
	}
}

// startConn starts c, or turns it away. A connection of a trusted proxy may have something
// in front of its first request.
func (s *Server) startConn(c *conn.Conn, fd int, a arrival, proxy bool, refusal *conn.Refusal) error {
	switch {
	case refusal == nil:
		if proxy && a.received == nil {
			c.ExpectPrelude()
		}
		if a.secure {
			return c.StartTLS(s.poller, fd, a.received, a.session)
		}
		return c.Start(s.poller, fd, a.received)
	case a.secure:
		// An answer would cost a handshake, which is more than is refused.
		c.RefuseUnwatched(fd, &conn.Refusal{Reason: refusal.Reason})
		return nil
	case s.clients.turned.Add(1) <= turnedMost:
		s.clients.edit(c, func(e *client) { e.is |= turned })
		return c.StartRefused(s.poller, fd, refusal)
	}
	s.clients.turned.Add(-1)
	c.RefuseUnwatched(fd, refusal)
	return nil
}

// seat is asked when a handshake is about to succeed, and again if it answers Later.
func (s *Server) seat(c *conn.Conn, r *handshake.Request) *conn.Refusal {
	if refusal := s.locate(c, r); refusal != nil {
		return refusal
	}
	topics, err := asked(r, orNone(s.config.MaxTopics))
	if err != nil {
		s.config.Log.Debug("handshake refused", "why", err, "peer", s.Client(c))
		return s.topicRefusals.of(err)
	}
	most := s.limits.Load().MaxConns
	if s.access.on {
		if most > 0 && s.admission.seats.Load() >= int64(most) {
			return conn.Overloaded // without bothering anybody
		}
		if refusal := s.authorize(c, r, topics); refusal != nil {
			return refusal
		}
	}
	if n := s.admission.seats.Add(1); most > 0 && n > int64(most) {
		s.admission.seats.Add(-1)
		return conn.Overloaded
	}
	s.subscribe(c, topics)
	return nil
}

// admit is asked before a message is taken from a client. At the end of the
// server none is: what has been taken reaches everybody, and what has not, nobody.
func (s *Server) admit(c *conn.Conn) bool {
	if s.sealed.Load() {
		c.Hold() // its end will run it again
		return false
	}
	return s.hub.Admit(c)
}

// gone is told once per connection, when it has reached a terminal state.
func (s *Server) gone(c *conn.Conn, seated bool) {
	if seated {
		s.admission.seats.Add(-1)
	}
	s.clients.forget(c, s.clock())
	s.access.forget(c)
	s.hub.Leave(c)
	s.resumeListeners()
	if s.draining.Load() && s.hub.Len() == 0 {
		select {
		case s.empty <- struct{}{}:
		default:
		}
	}
}

// resumeListeners lets accepting go on after a pause. It costs next to nothing
// when nothing is paused.
func (s *Server) resumeListeners() {
	for _, l := range *s.listeners.Load() {
		l.Resume()
	}
}
