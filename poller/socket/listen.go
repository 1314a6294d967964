//go:build linux

package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// backlog asks for as many waiting connections as the system allows: the kernel
// cuts it to net.core.somaxconn (listen(2)).
const backlog = 1 << 16

// Listen opens a TCP listening descriptor for addr, "host:port" as in package
// net. An empty host listens on all IPv6 and IPv4 addresses with one descriptor,
// or on IPv4 alone where the system has no IPv6. Port 0 lets the kernel choose;
// [LocalAddr] tells what it chose. Accepted connections inherit TCP_NODELAY from it.
// With reusePort further processes of the same user may listen on the port beside this
// one if they ask for it too, and the kernel spreads what comes over all of them
// (socket(7), SO_REUSEPORT). The caller owns the descriptor.
func Listen(addr string, reusePort bool) (int, error) {
	_, _, err := net.SplitHostPort(addr)
	var tcp *net.TCPAddr
	if err == nil {
		tcp, err = net.ResolveTCPAddr("tcp", addr)
	}
	if err != nil {
		return -1, fmt.Errorf("listen address %q: %w; give host:port, as in 127.0.0.1:8000 or :8000", addr, err)
	}
	ip, _ := netip.AddrFromSlice(tcp.IP)
	ip = ip.Unmap()
	if ip.IsValid() && ip.Is4() {
		return listen(unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port, Addr: ip.As4()}, addr, reusePort)
	}
	sa := &unix.SockaddrInet6{Port: tcp.Port}
	if ip.IsValid() {
		sa.Addr = ip.As16()
		if tcp.Zone != "" {
			ifi, err := net.InterfaceByName(tcp.Zone)
			if err != nil {
				return -1, fmt.Errorf("listen address %q: no network interface %q: %w", addr, tcp.Zone, err)
			}
			sa.ZoneId = uint32(ifi.Index)
		}
		return listen(unix.AF_INET6, sa, addr, reusePort)
	}
	fd, err := listen(unix.AF_INET6, sa, addr, reusePort)
	if err != nil && isNoIPv6(err) {
		return listen(unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port}, addr, reusePort)
	}
	return fd, err
}

func listen(family int, sa unix.Sockaddr, addr string, reusePort bool) (fd int, err error) {
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("socket", err)}
	}
	defer func() {
		if err != nil {
			Close(fd)
			fd = -1
		}
	}()
	// A restarted server must be able to bind while connections of the old one
	// linger in TIME_WAIT (socket(7), SO_REUSEADDR).
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fd, os.NewSyscallError("setsockopt", err)
	}
	if reusePort {
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fd, os.NewSyscallError("setsockopt SO_REUSEPORT", err)
		}
	}
	if err = SetNoDelay(fd); err != nil {
		return fd, os.NewSyscallError("setsockopt", err)
	}
	if in6, ok := sa.(*unix.SockaddrInet6); ok {
		only := 1
		if in6.Addr == [16]byte{} {
			only = 0
		}
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return fd, os.NewSyscallError("setsockopt", err)
		}
	}
	if err = unix.Bind(fd, sa); err != nil {
		return fd, fmt.Errorf("listen on %s: %w", addr, os.NewSyscallError("bind", err))
	}
	if err = unix.Listen(fd, backlog); err != nil {
		return fd, fmt.Errorf("listen on %s: %w", addr, os.NewSyscallError("listen", err))
	}
	return fd, nil
}

func isNoIPv6(err error) bool {
	for _, no := range []unix.Errno{unix.EAFNOSUPPORT, unix.EADDRNOTAVAIL, unix.EPROTONOSUPPORT} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
