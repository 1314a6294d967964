//go:build linux

package socket

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Cookie is a number that the kernel gives to a socket and to no other one until it
// is booted again (socket(7), SO_COOKIE). `ss -e` shows it in hex behind sk:.
func Cookie(fd int) (uint64, error) {
	n, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	return n, os.NewSyscallError("getsockopt SO_COOKIE", err)
}

// TCPInfo is what the kernel knows of the way to a peer (tcp(7), TCP_INFO).
type TCPInfo struct {
	RTT           time.Duration // smoothed round-trip time
	RTTVar        time.Duration // its mean deviation
	Unacked       int           // segments that were sent and not acknowledged
	Unsent        int           // bytes in the send buffer that were never sent
	Retransmitted int           // segments sent again since the connection began
}

// Info asks for the TCPInfo of a TCP socket; others give an error.
func Info(fd int) (TCPInfo, error) {
	i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return TCPInfo{}, os.NewSyscallError("getsockopt TCP_INFO", err)
	}
	return TCPInfo{
		RTT:           time.Duration(i.Rtt) * time.Microsecond,
		RTTVar:        time.Duration(i.Rttvar) * time.Microsecond,
		Unacked:       int(i.Unacked),
		Unsent:        int(i.Notsent_bytes),
		Retransmitted: int(i.Total_retrans),
	}, nil
}
