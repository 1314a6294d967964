//go:build linux

package bench

import (
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// session is the TLS of one connection. crypto/tls reads the socket through it,
// and is told 'again' where a socket of its own would wait; what it writes goes
// to Client.sealed, which is offered to the socket at once.
//
// The handshake of crypto/tls does wait. It runs as a coroutine of the goroutine
// that drives the client: where it would wait, it goes back to the loop.
type session struct {
	tls     *tls.Conn
	cl      *Client
	fd      int
	emptied bool  // the last recv came short: an edge of epoll precedes the next byte
	err     error // why the handshake failed, or what reading has come to; nil: nothing

	// nil outside of the handshake
	resume func() (struct{}, bool)
	stop   func()
	pause  func(struct{}) bool
}

// errAgain says that the socket has no more for now. It is temporary: after any
// other error crypto/tls does not read again.
var errAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "no more bytes for now" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// errAbandoned ends a handshake that nobody waits for any more.
var errAbandoned = errors.New("the handshake was abandoned")

func newSession(cl *Client, fd int, config *tls.Config) *session {
	s := &session{cl: cl, fd: fd}
	s.tls = tls.Client((*transport)(s), config)
	s.resume, s.stop = iter.Pull(func(pause func(struct{}) bool) {
		s.pause = pause
		s.err = s.tls.Handshake()
	})
	return s
}

// shake goes on with the handshake until it has ended or waits for the server.
func (s *session) shake() (done bool, err error) {
	s.emptied = false
	if _, waits := s.resume(); waits {
		return false, nil
	}
	s.resume, s.stop, s.pause = nil, nil, nil
	return true, s.err
}

// abandon ends a handshake that has not ended.
func (s *session) abandon() {
	if s.stop != nil {
		s.stop()
	}
}

// recv is recv(2) of what was deciphered; EPROTO stands for a fault of TLS, which
// is in err. more says that another call may find something without a new event.
func (s *session) recv(b []byte) (n int, more bool, errno unix.Errno) {
	s.emptied = false
	for n < len(b) && s.err == nil {
		got, err := s.tls.Read(b[n:])
		n += got
		switch {
		case !errors.Is(err, errAgain):
			s.err = err
		case n > 0:
			return n, false, 0
		case !s.emptied:
			return 0, false, unix.EAGAIN
		}
		s.emptied = false // bytes came, but no whole record: the end may be behind them
	}
	switch {
	case n > 0:
		return n, true, 0
	case errors.Is(s.err, io.EOF), errors.Is(s.err, io.ErrUnexpectedEOF): // between records, or in one
		return 0, false, 0
	case !errors.As(s.err, &errno):
		errno = unix.EPROTO
	}
	return 0, false, errno
}

// transport is a session as crypto/tls sees it from below.
type transport session

var _ net.Conn = new(transport)

func (t *transport) Read(p []byte) (int, error) {
	for {
		n, errno := 0, unix.EAGAIN
		if !t.emptied {
			n, errno = socket.Recv(t.fd, p)
		}
		switch {
		case errno == 0 && n == 0:
			return 0, io.EOF
		case errno == 0:
			t.emptied = n < len(p)
			return n, nil
		case errno != unix.EAGAIN:
			return 0, errno
		case t.pause == nil:
			return 0, errAgain
		case !t.pause(struct{}{}):
			return 0, errAbandoned
		}
	}
}

// Write never fails: crypto/tls does not survive a write that was cut short.
func (t *transport) Write(p []byte) (int, error) {
	t.cl.sealed = append(t.cl.sealed, p...)
	return len(p), nil
}

func (*transport) Close() error         { return nil } // the descriptor has an owner
func (*transport) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (*transport) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// Deadlines are for those who wait.

func (*transport) SetDeadline(time.Time) error      { return nil }
func (*transport) SetReadDeadline(time.Time) error  { return nil }
func (*transport) SetWriteDeadline(time.Time) error { return nil }
