//go:build linux

package conn

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"roost/conn/secure"
	"roost/poller"
	"roost/poller/socket"
)

// TLS is what a connection has besides if its bytes are encrypted. To the poller it is the
// handler in place of its Conn, and that is where the Conn finds it: plain connections
// have not even a pointer for it.
type TLS struct {
	conn    *Conn
	session *secure.Session // nil in phase hello

	phase   atomic.Uint32 // a phase; written under mu of conn, or by the worker in phase hello
	wake    secure.Bell   // guarded by mu of conn; nil unless somebody is in Handshake
	counted int           // guarded by mu of conn; this session's part in Stats.WriteQueued
	// idle is since when the peer has been awaited, in Unix milliseconds, as if all of it had been
	// one wait. While the peer waits for us it is minus the length of that. Unused in phase hello.
	idle atomic.Int64
}

// phase is how far TLS is.
type phase = uint32

const (
	hello   phase = iota // the first record is not complete, or is none of TLS
	shaking              // waits for Handshake, or is in it
	sealed               // what is sent and received is encrypted
	broken               // nothing is received or sent any more but the alert that says why
	bare                 // the peer does not speak TLS, and is told so without
)

const (
	recordHeader = 5 // bytes, RFC 8446 section 5.1
	// helloMost is how much of a first record is waited for before the handshake begins.
	// Whoever sends less takes no place among those who are in it.
	helloMost = 4 << 10
	// answersMost bounds the answers to key updates that wait for a peer which does not read.
	answersMost = 64 << 10
)

// notTLS is for those who send an HTTP request to a port for TLS.
var notTLS = NewRefusal(http.StatusBadRequest, ReasonTLSPlaintext, "this port speaks TLS: use https:// or wss://.")

// StartTLS is Start for a connection that speaks TLS. session is nil unless the handshake of
// TLS is over, as for a connection that comes back from Config.HandOff; received is plain then.
func (c *Conn) StartTLS(p *poller.Poller, fd int, received []byte, session *secure.Session) error {
	t := &TLS{conn: c, session: session}
	if session != nil {
		t.idle.Store(time.Now().UnixMilli())
		t.phase.Store(sealed)
		c.group.Stats.TLSOpen.Add(1)
	}
	err := c.start(p, fd, received, t)
	if err != nil && session != nil {
		c.group.Stats.TLSOpen.Add(-1)
	}
	return err
}

// tls is nil for a plain connection. It must not be called before Start.
func (c *Conn) tls() *TLS {
	t, _ := c.reg.Handler().(*TLS)
	return t
}

// Session is the TLS of c, nil if it has none, its handshake is not over, or it has failed. It may be called by
// the Handler and by Config.Seat and Config.HandOff. Behind OnOpen it is nil too if the kernel has taken
// the TLS over: who wants to know of a client's certificate later asks then.
func (c *Conn) Session() *secure.Session {
	if t := c.tls(); t != nil && t.phase.Load() == sealed {
		return t.session
	}
	return nil
}

// Ready runs the connection. It is called by the poller.
func (t *TLS) Ready(w *poller.Worker, ev poller.Events) poller.Next {
	switch t.phase.Load() {
	case shaking:
		t.nudge()
	case sealed:
		t.session.Refresh()
	}
	next := t.conn.Ready(w, ev)
	if next == poller.Closed {
		t.over()
	}
	return next
}

// nudge lets Handshake go on.
func (t *TLS) nudge() {
	t.conn.mu.Lock()
	defer t.conn.mu.Unlock()
	t.wake.Ring()
}

// over is called when the connection has ended.
func (t *TLS) over() {
	t.nudge()
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.session == nil || t.phase.Load() == shaking {
		return
	}
	if c.State() != StateHandedOff {
		t.session.Drop()
	}
	c.group.queued(-t.counted)
	t.counted = 0
	if t.phase.Load() == sealed {
		c.group.Stats.TLSOpen.Add(-1)
	}
	t.phase.Store(broken)
}

// hello looks at the first bytes, b being all that have come.
func (t *TLS) hello(s *Scratch, in *inbound, b []byte) {
	c := t.conn
	if len(b) == 0 {
		c.keep(s, in, b)
		return
	}
	// A handshake record, of version 3.x (RFC 8446 section 5.1).
	if b[0] != 22 || len(b) > 1 && b[1] != 3 {
		t.phase.Store(bare)
		c.refuse(notTLS)
		return
	}
	if len(b) < recordHeader || len(b) < min(helloMost, recordHeader+(int(b[3])<<8|int(b[4]))) {
		c.keep(s, in, b)
		return
	}
	t.session = c.group.Secure(append([]byte(nil), b...))
	t.idle.Store(-elapsed(c.group.now.Load(), c.since.Load()).Milliseconds())
	*in = inbound{counted: in.counted}
	c.keep(s, in, nil)
	c.mu.Lock()
	t.wake = secure.NewBell()
	t.phase.Store(shaking)
	c.mu.Unlock()
	c.group.Shake(t)
}

// errEnded is why a handshake ends when its connection has.
var errEnded = errors.New("the connection has ended")

// Handshake runs the handshake of TLS, as Config.Shake has asked. It blocks until it is over,
// or the connection has ended. pause is called with what waits for the peer.
func (t *TLS) Handshake(pause func(wait func())) {
	c := t.conn
	if c.State() > StateHandshaking {
		t.end()
		return
	}
	gone := error(nil) // why no bytes come any more
	err := t.session.Handshake(func(p []byte) (n int, err error) {
		n, err = t.await(p, pause)
		if err != nil {
			gone = err
		}
		return n, err
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	t.wake = nil
	st := &c.group.Stats
	var errno syscall.Errno
	switch {
	case c.State() > StateHandshaking:
		t.endLocked()
	case err == nil:
		t.phase.Store(sealed)
		t.idle.Add(time.Now().UnixMilli())
		st.TLSOpen.Add(1)
		st.TLSHandshakes.Add(1)
		if t.session.State().DidResume {
			st.TLSResumed.Add(1)
		}
		t.drainLocked()
		c.reg.Call()
	case errors.As(gone, &errno):
		t.phase.Store(broken)
		c.failLocked(lost(errno))
	case gone != nil:
		t.phase.Store(broken)
		c.failLocked(ReasonHandshakeAbandoned)
	default:
		c.group.Log.Debug("TLS handshake failed", "why", err)
		t.breakLocked(ReasonTLSHandshake)
		c.reg.Call()
	}
}

// end is called behind the end of a connection that was in its handshake.
func (t *TLS) end() {
	t.conn.mu.Lock()
	defer t.conn.mu.Unlock()
	t.wake = nil
	t.endLocked()
}

func (t *TLS) endLocked() {
	t.session.Drop()
	t.settleLocked()
	t.phase.Store(broken)
}

// Idle is for how long the peer has been awaited in all, 0 while it waits for us. It is for
// those whose handshake has begun.
func (t *TLS) Idle(now time.Time) time.Duration {
	if since := t.idle.Load(); since > 0 {
		return now.Sub(time.UnixMilli(since))
	}
	return 0
}

// Flood ends a connection that is in its handshake because others wait for its place.
func (t *TLS) Flood() {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.phase.Load() == shaking && c.State() <= StateHandshaking {
		c.failLocked(ReasonHandshakeFlood)
	}
}

// await reads during the handshake: outside of the poller's workers, so under the lock
// that keeps the descriptor from being closed.
func (t *TLS) await(p []byte, pause func(wait func())) (int, error) {
	c := t.conn
	for {
		c.mu.Lock()
		if c.State() > StateHandshaking {
			c.mu.Unlock()
			return 0, errEnded
		}
		t.drainLocked()
		n, errno := socket.Recv(c.reg.FD(), p)
		wake := t.wake
		c.mu.Unlock()
		switch {
		case errno == socket.Again:
			pause(func() {
				t.idle.Add(time.Now().UnixMilli())
				wake.Wait()
				t.idle.Add(-time.Now().UnixMilli())
			})
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// recv is socket.Recv with what has come decrypted. The caller holds the registration. After a
// fault in the records the connection is closing, and there is nothing to read.
func (t *TLS) recv(p []byte, short bool) (int, syscall.Errno) {
	c := t.conn
	switch t.phase.Load() {
	case hello:
		return socket.Recv(c.reg.FD(), p)
	case sealed:
	default:
		return 0, socket.Again
	}
	n, err := t.session.Recv(c.reg.FD(), p, short)
	var errno syscall.Errno
	switch {
	case err == nil:
		if !t.answer() {
			return 0, socket.Again
		}
		return n, 0
	case errors.Is(err, secure.ErrAgain):
		t.answer()
		return 0, socket.Again
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return 0, 0
	case errors.As(err, &errno):
		return 0, errno
	}
	c.group.Log.Debug("TLS failed", "why", err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() <= StateOpen {
		t.breakLocked(ReasonTLSProtocol)
	}
	return 0, socket.Again
}

// answer sends what reading has sealed: answers to key updates. It reports whether the
// connection is still good.
func (t *TLS) answer() bool {
	if t.session.Waiting() == 0 {
		return true
	}
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() > StateOpen {
		return false
	}
	t.drainLocked()
	if t.session.Waiting() > answersMost {
		c.failLocked(ReasonTLSProtocol)
		return false
	}
	return true
}

// breakLocked closes a connection whose records cannot be understood. Its last word is the
// alert that is sealed already.
func (t *TLS) breakLocked(why Reason) {
	c := t.conn
	t.leaveLocked()
	c.why, c.code = why, StatusAbnormal
	c.forgetLocked()
	c.enter(StateClosing)
	c.since.Store(c.group.now.Load())
	c.flushLocked()
}

// leaveLocked ends the phase sealed, if it was reached.
func (t *TLS) leaveLocked() {
	if t.phase.Load() == sealed {
		t.conn.group.Stats.TLSOpen.Add(-1)
	}
	t.phase.Store(broken)
}

// send is socket.Send with b encrypted. n counts what is sealed, and the last record of it may
// wait for room as well.
func (t *TLS) send(b []byte) (n int, errno syscall.Errno) {
	if t.phase.Load() == bare {
		return socket.Send(t.conn.reg.FD(), b)
	}
	n, errno = t.session.Send(t.conn.reg.FD(), b)
	t.settleLocked()
	if t.session.Waiting() > 0 {
		t.conn.reg.WantWrite()
	}
	return n, errno
}

// writeTo is outbound.writeTo with what leaves encrypted.
func (t *TLS) writeTo(o *outbound) (n int, errno syscall.Errno) {
	fd := t.conn.reg.FD()
	if t.phase.Load() == bare {
		return o.writeTo(fd)
	}
	defer t.settleLocked()
	if errno := t.session.Drain(fd); errno != 0 {
		return 0, errno
	}
	for i := range o.segs {
		k, ok := t.session.Seal(o.segs[i].b)
		if n += k; !ok {
			return n, socket.Again
		}
		if k < len(o.segs[i].b) {
			break
		}
	}
	if errno := t.session.Drain(fd); errno != socket.Again {
		return n, errno
	}
	return n, 0 // what is left of the queue meets the full socket next
}

// flushedLocked reports whether everything that was sealed is in the kernel, after the queue
// has left. In state Closing the last of it says so.
func (t *TLS) flushedLocked() bool {
	c := t.conn
	if c.State() == StateClosing && t.phase.Load() == sealed {
		t.session.CloseNotify()
	}
	return t.drainLocked()
}

// drainLocked offers what is sealed to the kernel. It reports whether all is gone.
func (t *TLS) drainLocked() bool {
	if t.session == nil {
		return true
	}
	c := t.conn
	c.reg.BeforeWrite()
	errno := t.session.Drain(c.reg.FD())
	t.settleLocked()
	switch errno {
	case 0:
		return true
	case socket.Again:
		c.reg.WantWrite()
	default:
		c.failLocked(lost(errno))
	}
	return false
}

// settleLocked counts the memory of what is sealed.
func (t *TLS) settleLocked() {
	if n := t.session.Held() - t.counted; n != 0 {
		t.counted += n
		t.conn.group.queued(n)
	}
}

// sealedLocked is how many bytes of memory c has for records that wait.
func (c *Conn) sealedLocked() int {
	if !c.hasDescriptor() {
		return 0
	}
	if t := c.tls(); t != nil {
		return t.counted
	}
	return 0
}
