//go:build linux

package bench

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// sockaddr translates an address for the socket calls.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// connectSocket starts a connection to target without waiting for it: the
// socket becomes writable when it is made, or readable with an error. A nil
// source leaves the choice to the kernel.
// receiveBytes sets the kernel's receive buffer unless it is 0.
func connectSocket(target, source unix.Sockaddr, receiveBytes int) (fd int, err error) {
	family := unix.AF_INET
	if _, ok := target.(*unix.SockaddrInet6); ok {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if source != nil {
		// ip(7): without this, bind reserves a port for the source address alone;
		// with it, connect picks one for the whole pair of addresses. Kernels that
		// lack the option only run out of ports earlier.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, source); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	// tcp(7): a message must not wait for the acknowledgement of the one before.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if receiveBytes > 0 {
		// Before connect(2), which announces the window, tcp(7).
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBytes)
	}
	if err := unix.Connect(fd, target); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// socketError returns and clears what went wrong with the socket, or nil.
func socketError(fd int) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}
