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
	case errors.Is(err, secure.ErrKept) && c.group.KernelTLS == KernelTLSAuto:
		st.TLSKept.Add(1)
		c.group.Log.Debug("the kernel does not do the TLS of a connection", "why", err)
	default:
		c.group.Log.Debug("the kernel cannot do the TLS of a connection", "why", err)
		c.failLocked(ReasonTLSKernel)
	}
}

// recv is socket.Recv with what comes decrypted, here or by the kernel. short is as for TLS.recv.
func (c *Conn) recv(p []byte, short bool) (int, syscall.Errno) {
	if t := c.tls(); t != nil {
		return t.recv(p, short)
	}
	n, errno := socket.Recv(c.reg.FD(), p)
	switch {
	case errno == socket.ControlRecord:
		return c.control()
	case unsealed(errno):
		return c.breakOff(alerts[errno])
	case n == 0 && errno == 0 && c.inKernel() && !socket.Ended(c.reg.FD()):
		c.reg.Call()
		return 0, socket.Again
	}
	return n, errno
}

// alerts has what the kernel's TLS says of a record: it is not authentic, longer than one may
// be, or of another version.
var alerts = map[syscall.Errno]byte{
	unix.EBADMSG:  alertBadRecordMAC,
	unix.EMSGSIZE: alertRecordOverflow,
	unix.EINVAL:   alertProtocolVersion,
}

func unsealed(errno syscall.Errno) bool { return alerts[errno] != 0 }

// breakOff ends a connection whose records break the rules, with a fatal alert.
func (c *Conn) breakOff(alert byte) (int, syscall.Errno) {
	c.group.Log.Debug("TLS failed", "alert", alert)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() <= StateOpen {
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
