//go:build linux

package server

import (
	"sync/atomic"
	"syscall"
	"time"

	"roost/conn"
	"roost/conn/handshake"
	"roost/poller"
	"roost/poller/socket"
)

// admission counts who is in.
type admission struct {
	seats     atomic.Int64  // WebSocket connections that got past their handshake
	accepted  atomic.Uint64 // connections that listeners have accepted
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

func (s *Server) listen(addr string) (*poller.Listener, error) {
	log := s.config.Log
	var paused notice
	l, err := s.poller.Listen(addr, poller.ListenerConfig{
		OnAccept: func(fd int) {
			s.admission.accepted.Add(1)
			s.adopt(fd, nil)
		},
		Admit: func() bool {
			return s.config.MaxConns == 0 || s.hub.Len() < s.config.MaxConns+refusals
		},
		OnPause: func(errno syscall.Errno) {
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
	})
	if err != nil || s.config.UserTimeout < 0 {
		return l, err
	}
	if err := l.SetUserTimeout(s.config.UserTimeout); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// adopt makes a connection of fd, a non-blocking stream socket from which received
// has been read already.
func (s *Server) adopt(fd int, received []byte) {
	if s.draining.Load() {
		socket.Close(fd)
		return
	}
	c := conn.New(s.group)
	s.hub.Join(c)
	if err := c.Start(s.poller, fd, received); err != nil {
		if s.admission.unwatched.begin(time.Now()) {
			s.config.Log.Error("connections are refused with 503: epoll cannot watch more", "err", err, "connections", s.hub.Len(),
				"remedy", "if there is no space left, raise the sysctl fs.epoll.max_user_watches")
		}
		return
	}
	if s.admission.unwatched.end() {
		s.config.Log.Info("connections can be watched again", "connections", s.hub.Len())
	}
	if s.draining.Load() {
		c.Shutdown() // the walk that tells everybody may have passed its slot
	}
}

// seat is asked when a handshake is about to succeed.
func (s *Server) seat(*conn.Conn, *handshake.Request) *conn.Refusal {
	if n := s.admission.seats.Add(1); s.config.MaxConns > 0 && n > int64(s.config.MaxConns) {
		s.admission.seats.Add(-1)
		return conn.Overloaded
	}
	return nil
}

// admit is asked before a message is taken from a client. While the server drains
// none is: what has been taken reaches everybody, and what has not, nobody.
func (s *Server) admit(c *conn.Conn) bool {
	if s.draining.Load() {
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
