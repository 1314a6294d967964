//go:build linux

package conn

import (
	"crypto/tls"
	"net/netip"
	"time"

	"roost/conn/frame"
	"roost/poller/socket"
)

// Info is what can be told of one connection, for an operator.
type Info struct {
	Cookie      uint64 // see [socket.Cookie]; 0 when the connection has no descriptor
	Peer        netip.AddrPort
	State       State
	Age         time.Duration // since the accept, to the second
	Silent      time.Duration // since the last byte came, as exact as Group.Tick is frequent
	Idle        time.Duration // since the last message came, likewise
	Backlog     Backlog
	Kept        int // bytes of what has not arrived whole
	Subprotocol string
	TLS         string         // version, as in "TLS 1.3", or KernelTLSName; "" without, and before the end of its handshake
	Window      int            // see [Conn.Window]
	TCP         socket.TCPInfo // zero when it is no TCP connection
}

// KernelTLSName is the version in Info of those whose TLS the kernel does.
const KernelTLSName = "TLS 1.3 kernel"

// Info asks the kernel as well, with three system calls. It may be called at any time.
func (c *Conn) Info() Info {
	now := c.group.now.Load()
	info := Info{
		Age:     c.Age(),
		Silent:  elapsed(now, c.since.Load()),
		Idle:    elapsed(now, c.spoke.Load()),
		Backlog: c.Backlog(),
	}
	info.Kept, _ = c.ReadKept()
	c.mu.Lock()
	defer c.mu.Unlock()
	info.State = c.State()
	if info.State >= StateOpen {
		info.Subprotocol, info.Window = c.Subprotocol(), c.Window()
	}
	if !c.hasDescriptor() {
		return info
	}
	if s := c.Session(); s != nil {
		info.TLS = tls.VersionName(s.State().Version)
	} else if c.inKernel() {
		info.TLS = KernelTLSName
	}
	fd := c.reg.FD()
	// An error leaves the zero value, which says that it is not known.
	info.Cookie, _ = socket.Cookie(fd)
	info.TCP, _ = socket.Info(fd)
	info.Peer = socket.PeerAddr(fd)
	return info
}

// Age is the time since the accept, to the second.
func (c *Conn) Age() time.Duration {
	return time.Duration(c.group.second.Load()-c.state.Load()>>secondShift) * time.Second
}

// Idle is the time since the last message came, as exact as Group.Tick is frequent.
func (c *Conn) Idle() time.Duration { return elapsed(c.group.now.Load(), c.spoke.Load()) }

// TCP is what the kernel knows of the way to the peer, zero when it is not known. It
// makes a system call, and may be called at any time.
func (c *Conn) TCP() socket.TCPInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hasDescriptor() {
		return socket.TCPInfo{}
	}
	info, _ := socket.Info(c.reg.FD()) // an error leaves the zero value
	return info
}

// CloseByOperator is Close for an operator who means the connection whose socket has
// that cookie. It reports false, and does nothing, when this is not the one or it is
// closing already.
func (c *Conn) CloseByOperator(cookie uint64, code frame.StatusCode, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hasDescriptor() || c.State() > StateOpen {
		return false
	}
	if is, err := socket.Cookie(c.reg.FD()); err != nil || is != cookie {
		return false
	}
	c.closeLocked(code, reason, ReasonOperator)
	return true
}

// hasDescriptor reports whether reg.FD may be used. The caller holds mu.
func (c *Conn) hasDescriptor() bool {
	// In state Failed it may never have had one.
	st := c.State()
	return st != StateNew && st < StateFailed
}
