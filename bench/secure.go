package bench

import (
	"time"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// shakeTime bounds what a turn of the loop computes of TLS handshakes: messages
// of open connections come first, and their times are taken in between.
const shakeTime = time.Millisecond

// secure begins TLS on a connection that TCP has made.
func (cl *Client) secure(c *Conn, t *target) {
	if cl.sessions == nil {
		cl.sessions = make([]*session, len(cl.conns))
	}
	cl.sessions[c.index] = newSession(cl, int(c.fd), t.tls)
	c.state, c.secure = stateSecuring, true
	cl.shaking.push(c.token())
}

// shakeHands goes on with the TLS handshakes for which something has come, as
// long as a turn may.
func (cl *Client) shakeHands() {
	if cl.shaking.len() == 0 {
		return
	}
	for end := cl.Now() + shakeTime; cl.shaking.len() > 0; {
		if c := cl.lookup(cl.shaking.pop()); c != nil && c.state == stateSecuring {
			cl.shake(c)
		}
		if cl.Now() >= end {
			return
		}
	}
}

// shake goes on with one.
func (cl *Client) shake(c *Conn) {
	s := cl.sessions[c.index]
	done, err := s.shake()
	cl.sendSealed(c)
	switch {
	case err != nil:
		cl.dialer.fail(c, tlsFailure(err))
	case done:
		cl.tally.secured(s.tls.ConnectionState())
		cl.request(c)
		if c.state != stateIdle {
			cl.serve(c, true) // bytes that came with the last record make no event
		}
	}
}

// recv is recv(2) into b, with TLS of what was deciphered. more says that
// another call may find something without a new event.
func (cl *Client) recv(c *Conn, b []byte) (n int, more bool, errno unix.Errno) {
	if !c.secure {
		n, errno = socket.Recv(int(c.fd), b)
		return n, n == len(b), errno
	}
	n, more, errno = cl.sessions[c.index].recv(b)
	cl.sendSealed(c) // an alert, or the answer to a key update
	return n, more, errno
}

// seal appends the records of b to Client.sealed.
func (cl *Client) seal(c *Conn, b []byte) {
	_, _ = cl.sessions[c.index].tls.Write(b) // it fails after a fault that reading has met
}

// sendSealed sends what was sealed for c.
func (cl *Client) sendSealed(c *Conn) {
	if len(cl.sealed) > 0 {
		cl.transmit(c, cl.sealed)
		cl.sealed = reusableOut(cl.sealed)
	}
}

// farewell sends close_notify, which precedes the FIN of a connection with TLS
// (RFC 8446 section 6.1), unless the socket has not even taken what comes before.
func (cl *Client) farewell(c *Conn) {
	if !c.secure {
		return
	}
	if cl.outConn == c {
		cl.flush()
	}
	if c.Pending() == 0 {
		_ = cl.sessions[c.index].tls.CloseWrite() // not after a fatal alert
		cl.sendSealed(c)
	}
}

// forget lets go of the session.
func (cl *Client) forget(c *Conn) {
	cl.sessions[c.index].abandon()
	cl.sessions[c.index] = nil
	cl.sealed = cl.sealed[:0] // the alert of an abandoned handshake
}
