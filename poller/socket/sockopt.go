//go:build linux

package socket

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// SetNoDelay switches Nagle's algorithm off (tcp(7), TCP_NODELAY): frames are
// already joined where several wait, so holding one back only adds latency. What a
// listening socket accepts inherits it.
func SetNoDelay(fd int) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

// Unread is how many bytes have come on fd that nobody has read (tcp(7) and unix(7),
// SIOCINQ). It is 0 when that is not known.
func Unread(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// LocalAddr returns the address fd is bound to, or the zero AddrPort for
// descriptors that are not IP sockets.
func LocalAddr(fd int) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return addrPort(sa)
}

// ListenAddr returns the address that a listening descriptor is bound to: a
// *net.TCPAddr, a *net.UnixAddr with the path it was bound to, or nil for others.
func ListenAddr(fd int) net.Addr {
	if addr := LocalAddr(fd); addr.IsValid() {
		return net.TCPAddrFromAddrPort(addr)
	}
	sa, err := unix.Getsockname(fd)
	if path, ok := sa.(*unix.SockaddrUnix); ok && err == nil {
		return &net.UnixAddr{Net: "unix", Name: path.Name}
	}
	return nil
}

// PeerAddr returns the peer's address, or the zero AddrPort when fd is not a
// connected IP socket. IPv4 peers of a dual-stack listener come back as IPv4.
func PeerAddr(fd int) netip.AddrPort {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return addrPort(sa)
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
