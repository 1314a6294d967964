//go:build linux

package secure

import (
	"net"
	"time"
)

// transport is a Session as crypto/tls sees it from below.
type transport Session

var _ net.Conn = new(transport)

func (t *transport) Read(p []byte) (int, error) {
	s := (*Session)(t)
	if s.wait == nil && s.offload == nil {
		return s.readAny(p)
	}
	n, err := s.readAny(p[:s.record.most(len(p))])
	if n > 0 && s.record.read(p[:n]) && s.wait == nil {
		s.offload.received++
	}
	return n, err
}

func (s *Session) readAny(p []byte) (int, error) {
	if len(s.first) > 0 {
		n := copy(p, s.first)
		if s.first = s.first[n:]; len(s.first) == 0 {
			s.first = nil
		}
		return n, nil
	}
	switch {
	case s.nc != nil:
		return s.nc.Read(p)
	case s.wait != nil:
		return s.wait(p)
	}
	return s.recv(p)
}

// Write never fails while the transport is in memory: a session does not survive a
// write that was cut short.
func (t *transport) Write(p []byte) (int, error) {
	s := (*Session)(t)
	if t.nc == nil {
		s.seal(p)
		return len(p), nil
	}
	if err := s.flush(); err != nil {
		return 0, err
	}
	return t.nc.Write(p)
}

// flush writes what was sealed before the connection was handed over.
func (s *Session) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed == nil {
		return nil
	}
	n, err := s.nc.Write(s.sealed.b[s.sealed.sent:])
	if s.sealed.sent += n; s.sealed.sent == len(s.sealed.b) {
		s.forget()
	}
	return err
}

func (t *transport) Close() error {
	if t.nc == nil {
		return nil // the descriptor has an owner
	}
	return t.nc.Close()
}

func (t *transport) LocalAddr() net.Addr {
	if t.nc == nil {
		return &net.TCPAddr{}
	}
	return t.nc.LocalAddr()
}

func (t *transport) RemoteAddr() net.Addr {
	if t.nc == nil {
		return &net.TCPAddr{}
	}
	return t.nc.RemoteAddr()
}

// Deadlines are for those who wait.

func (t *transport) SetDeadline(at time.Time) error {
	if t.nc == nil {
		return nil
	}
	return t.nc.SetDeadline(at)
}

func (t *transport) SetReadDeadline(at time.Time) error {
	if t.nc == nil {
		return nil
	}
	return t.nc.SetReadDeadline(at)
}

func (t *transport) SetWriteDeadline(at time.Time) error {
	if t.nc == nil {
		return nil
	}
	return t.nc.SetWriteDeadline(at)
}
