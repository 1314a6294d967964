//go:build linux

package socket

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// SetUserTimeout bounds how long data that was sent may stay unacknowledged, or
// wait for a peer that takes none, before the kernel ends the connection with
// ETIMEDOUT (tcp(7), TCP_USER_TIMEOUT). It is exact to the millisecond; 0 leaves it
// to the kernel, which retransmits for about 15 minutes. On a listening socket it
// holds for connections that come later: they inherit it without a call of their own.
func SetUserTimeout(fd int, d time.Duration) error {
	return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT",
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds())))
}
