//go:build linux

package secure

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"syscall"

	"roost/poller/socket"
)

// ErrAgain is returned by Recv when the socket has no more for now.
var ErrAgain net.Error = again{}

// again is a temporary error: after any other, crypto/tls does not read again.
type again struct{}

func (again) Error() string   { return "no more bytes for now" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// Session is the TLS of one connection. One goroutine at a time may read, and one at a
// time may write; they may be two.
type Session struct {
	tls *tls.Conn

	// Owned by the reader.
	fd      int
	first   []byte                      // bytes that were read before the session was there
	wait    func(p []byte) (int, error) // reads during the handshake; nil otherwise
	short   bool                        // a read that does not fill its buffer has emptied the socket
	emptied bool                        // such a read was made
	wire    int32                       // bytes that the last Recv has taken from the socket
	record  record                      // where the stream is, in the handshake and as long as offload is there

	offload *offload // nil unless the session may be handed to the kernel; see there

	mu     sync.Mutex // held to append to sealed, which the reader may do to answer, and to drain it
	sealed *buffer    // guarded by mu; records that the kernel has not taken; nil when there are none

	nc net.Conn // the transport while others have the connection, see HandOver
}

// buffer is a place for records that lasts until the kernel has them.
type buffer struct {
	b    []byte
	sent int // bytes of b
}

const (
	// sealMost is how much is sealed before it is offered to the kernel: one record of
	// the largest size (RFC 8446 section 5.1), or several smaller ones.
	sealMost = 16 << 10
	// bufferSize has room for that, and for what the protection of records adds.
	bufferSize = sealMost + 2<<10
)

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, bufferSize)} }}

// New is the server's side of a session that begins with first, which it owns from now on.
func New(config *tls.Config, first []byte) *Session {
	s := &Session{first: first, fd: -1}
	s.tls = tls.Server((*transport)(s), config)
	return s
}

// Handshake blocks, with read in the place of a socket: it waits for bytes and returns
// some, io.EOF at their end, or any other error to give up. Answers are sealed and wait for
// Drain, which read has to see to.
func (s *Session) Handshake(read func(p []byte) (int, error)) error {
	s.wait = read
	err := s.tls.Handshake()
	s.wait = nil
	return err
}

// State tells what was agreed on in the handshake. It must not be called before its end.
func (s *Session) State() tls.ConnectionState { return s.tls.ConnectionState() }

// Recv reads what fd has into p, decrypted. The error is ErrAgain when there is no more
// for now, io.EOF or io.ErrUnexpectedEOF at the end, a syscall.Errno when the socket has
// failed; any other is a fault in what the peer sent, and an alert was sealed. short says that
// the next byte raises an edge of epoll once a read came short.
func (s *Session) Recv(fd int, p []byte, short bool) (int, error) {
	s.fd, s.short, s.wire = fd, short, 0
	if !short {
		s.emptied = false
	}
	o := s.offload
	if o == nil {
		return s.read(p)
	}
	before := o.received
	n, err := s.read(p)
	o.read(before, n, len(p))
	return n, err
}

func (s *Session) read(p []byte) (int, error) {
	n, err := s.tls.Read(p)
	if n > 0 {
		return n, nil // an error is there next time as well
	}
	return 0, err
}

// Wire is how many bytes the last Recv has taken from the socket: many more than it returned
// if there was little in each record, or nothing. It is 0 for nil.
func (s *Session) Wire() int {
	if s == nil {
		return 0
	}
	return int(s.wire)
}

// Refresh has Recv ask the socket again: an event has come.
func (s *Session) Refresh() { s.emptied = false }

// Send seals b piece by piece and hands the records to fd until the kernel takes no more. It
// returns how much was sealed; the last of it may wait, see Waiting. The
// errno is [socket.Again] when not all of b was sealed.
func (s *Session) Send(fd int, b []byte) (n int, errno syscall.Errno) {
	for len(b) > 0 {
		if errno := s.Drain(fd); errno != 0 {
			return n, errno
		}
		k, ok := s.Seal(b)
		n += k
		b = b[k:]
		if !ok {
			return n, socket.Again
		}
	}
	if errno := s.Drain(fd); errno != socket.Again {
		return n, errno
	}
	return n, 0
}

// Seal seals as much of b as the buffer has room for. It reports false when the session
// takes no more, because the reader has found a fault; whoever reads will say so.
func (s *Session) Seal(b []byte) (n int, ok bool) {
	if b = b[:min(len(b), max(0, sealMost-s.Waiting()))]; len(b) == 0 {
		return 0, true
	}
	n, err := s.tls.Write(b)
	return n, err == nil
}

// Full reports whether Seal has no room.
func (s *Session) Full() bool { return s.Waiting() >= sealMost }

// Waiting is how many bytes are sealed and wait for the kernel.
func (s *Session) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed == nil {
		return 0
	}
	return len(s.sealed.b) - s.sealed.sent
}

// Held is the memory that waiting bytes take.
func (s *Session) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed == nil {
		return 0
	}
	return cap(s.sealed.b)
}

// Drain hands what is sealed to the kernel. The errno is 0 when all is gone.
func (s *Session) Drain(fd int) syscall.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.sealed != nil {
		n, errno := socket.Send(fd, s.sealed.b[s.sealed.sent:])
		if errno != 0 {
			return errno
		}
		if s.sealed.sent += n; s.sealed.sent == len(s.sealed.b) {
			s.forget()
		}
	}
	return 0
}

// CloseNotify seals the alert that says that nothing follows (RFC 8446 section 6.1).
// Nothing can be sealed behind it.
func (s *Session) CloseNotify() {
	_ = s.tls.CloseWrite() // an error: there was no handshake, or a fatal alert came first
}

// Drop forgets what is sealed.
func (s *Session) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed != nil {
		s.forget()
	}
}

// forget gives the buffer back. The caller holds mu.
func (s *Session) forget() {
	b := s.sealed
	s.sealed = nil
	if cap(b.b) > bufferSize {
		return // it has grown by answers; the next one need not
	}
	b.b, b.sent = b.b[:0], 0
	buffers.Put(b)
}

// HandOver returns the session as a net.Conn over nc, until TakeBack. Nobody else may use
// it meanwhile. Closing it closes nc.
func (s *Session) HandOver(nc net.Conn) *tls.Conn {
	s.nc = nc
	s.takeSecrets()
	return s.tls
}

// TakeBack ends HandOver: the transport is a descriptor again.
func (s *Session) TakeBack() { s.nc = nil }

// seal appends a record, which crypto/tls owns.
func (s *Session) seal(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed == nil {
		s.sealed = buffers.Get().(*buffer)
	}
	s.sealed.b = append(s.sealed.b, b...)
	if s.offload != nil && s.wait == nil {
		s.offload.wrote(b)
	}
}

// recv reads from the socket.
func (s *Session) recv(p []byte) (int, error) {
	if s.emptied && s.short {
		return 0, ErrAgain
	}
	n, errno := socket.Recv(s.fd, p)
	switch {
	case errno == socket.Again:
		return 0, ErrAgain
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	s.emptied = n < len(p)
	s.wire += int32(n)
	return n, nil
}
