//go:build linux

package conn

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"roost/conn/frame"
	"roost/conn/secure"
	"roost/poller/socket"
)

// KernelTLS says whether the TLS of open connections is done by the kernel. Such a
// connection is like a plain one: its own parts of TLS are gone.
type KernelTLS uint8

const (
	// KernelTLSAuto: where it can be, see [secure.Session.Offload].
	KernelTLSAuto KernelTLS = iota
	// KernelTLSOff: never.
	KernelTLSOff
	// KernelTLSRequire: others are closed.
	KernelTLSRequire
)

// Alerts (RFC 8446 section 6.2).
const (
	alertCloseNotify       = 0
	alertUnexpectedMessage = 10
	alertBadRecordMAC      = 20
	alertRecordOverflow    = 22
	alertProtocolVersion   = 70
	alertUserCanceled      = 90
)

// keyUpdate is a type of handshake message (RFC 8446 section 4).
const keyUpdate = 24

// offload hands the TLS of a connection that has just opened to the kernel. The caller
// holds the registration.
func (t *TLS) offload() {
	c := t.conn
	st := &c.group.Stats
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.group.KernelTLS == KernelTLSOff || c.State() != StateOpen || t.phase.Load() != sealed {
		return
	}
	t.drainLocked()
	if c.State() != StateOpen {
		return
	}
	switch err := t.session.Offload(c.reg.FD()); {
	case err == nil:
		st.TLSKernel.Add(1)
		c.state.Or(kernel)
		t.session = nil
		c.reg.SetHandler(c)
	case errors.Is(err, unix.ENOTCONN): // the peer has closed its side already, and will be gone soon
	case errors.Is(err, secure.ErrKept) && c.group.KernelTLS == KernelTLSAuto:
		st.TLSKept.Add(1)
		c.group.Log.Debug("the kernel does not do the TLS of a connection", "why", err)
	default:
		c.group.Log.Debug("the kernel cannot do the TLS of a connection", "why", err)
		c.failLocked(ReasonTLSKernel)
	}
}

// kernelMost is how much is read at once from the kernel's TLS, in bytes. It decrypts records
// until it has as much, however small they are, and kernelCost is what makes of each byte that it may
// have been one of those.
const (
	kernelMost = 4 << 10
	kernelCost = 4
)

// leastCost is what any read takes from the budget of a run, in bytes.
const leastCost = 64

// cost is what a read of n bytes takes from the budget of a run.
func (c *Conn) cost(n int) int {
	if c.inKernel() {
		return max(leastCost, n) * kernelCost
	}
	return max(leastCost, n)
}

// recv is socket.Recv with what comes decrypted, here or by the kernel. short is as for TLS.recv.
func (c *Conn) recv(p []byte, short bool) (int, syscall.Errno) {
	if t := c.tls(); t != nil {
		return t.recv(p, short)
	}
	if !c.inKernel() {
		return socket.Recv(c.reg.FD(), p)
	}
	n, errno := socket.RecvTLS(c.reg.FD(), p[:min(len(p), kernelMost)])
	switch {
	case errno == socket.ControlRecord:
		return c.control()
	case unsealed(errno):
		return c.breakOff(alertOf(errno))
	case n == 0 && errno == 0 && !socket.Ended(c.reg.FD()):
		c.reg.Call()
		return 0, socket.Again
	}
	return n, errno
}

// recvAny is for what nobody wants to know any more: what it reads may be encrypted.
func (c *Conn) recvAny(p []byte) (int, syscall.Errno) {
	if !c.inKernel() {
		return socket.Recv(c.reg.FD(), p)
	}
	n, errno := socket.RecvTLS(c.reg.FD(), p[:min(len(p), kernelMost)])
	if errno == socket.ControlRecord { // the alert that says what FIN says, or one that comes too late
		_, n, errno = socket.RecvControl(c.reg.FD(), p)
	}
	switch {
	case unsealed(errno) || errno == unix.EKEYEXPIRED:
		// No more can be read, but our last bytes may be on their way.
		socket.ForgetError(c.reg.FD())
		if socket.Ended(c.reg.FD()) {
			return 0, 0
		}
		return 0, socket.Again
	case errno == 0 && n == 0 && !socket.Ended(c.reg.FD()):
		return 1, 0
	}
	return n, errno
}

// unsealed reports an errno of the kernel's TLS about a record: it is not authentic, longer than one
// may be, or of another version.
func unsealed(errno syscall.Errno) bool {
	return errno == unix.EBADMSG || errno == unix.EMSGSIZE || errno == unix.EINVAL
}

func alertOf(errno syscall.Errno) byte {
	switch errno {
	case unix.EBADMSG:
		return alertBadRecordMAC
	case unix.EMSGSIZE:
		return alertRecordOverflow
	}
	return alertProtocolVersion
}

// breakOff ends a connection whose records break the rules, with a fatal alert.
func (c *Conn) breakOff(alert byte) (int, syscall.Errno) {
	c.group.Log.Debug("TLS failed", "alert", alert)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() <= StateOpen {
		socket.ForgetError(c.reg.FD())
		_ = socket.SendAlert(c.reg.FD(), socket.AlertFatal, alert) // for whoever wants to know
		c.failLocked(ReasonTLSProtocol)
	}
	return 0, socket.Again
}

// control reads a record of TLS that is not data, or several of one kind. What it answers is
// recv's answer.
func (c *Conn) control() (int, syscall.Errno) {
	var b [64]byte
	kind, n, errno := socket.RecvControl(c.reg.FD(), b[:])
	switch {
	case errno != 0:
		return 0, errno
	case kind == socket.RecordAlert && n > 0 && n%2 == 0:
		return c.alerted(b[:n])
	case kind == socket.RecordHandshake && n == 5 && b[0] == keyUpdate:
		// The keys for it are derived from a secret that was forgotten, and kernels before
		// Linux 6.14 would not take them. What we send it can still read.
		c.close(frame.StatusServiceRestart, "TLS key updates are not supported", ReasonTLSKeyUpdate)
		return 0, socket.Again
	}
	return c.breakOff(alertUnexpectedMessage)
}

// alerted meets the alerts of the peer: two bytes each, the second says what.
func (c *Conn) alerted(b []byte) (int, syscall.Errno) {
	for ; len(b) > 0; b = b[2:] {
		switch b[1] {
		case alertCloseNotify:
			return 0, 0
		case alertUserCanceled: // some send it before they close, and it means nothing else
		default:
			c.group.Log.Debug("TLS failed", "why", "the peer has sent an alert", "alert", b[1])
			c.fail(ReasonTLSProtocol)
			return 0, socket.Again
		}
	}
	c.reg.Call() // for what is behind
	return 0, socket.Again
}

// notifyLocked sends the alert behind which nothing follows. It reports false if it has to
// wait for room.
func (c *Conn) notifyLocked() bool {
	if !c.inKernel() {
		return true
	}
	c.reg.BeforeWrite()
	if socket.SendAlert(c.reg.FD(), socket.AlertWarning, alertCloseNotify) == socket.Again {
		c.reg.WantWrite()
		return false
	}
	return true // after any other errno nothing can be sent
}
