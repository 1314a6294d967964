//go:build linux

package socket

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Again is the errno of an operation that would have blocked. Readiness will be
// reported by epoll; nothing was read or written.
const Again = unix.EAGAIN

// Recv reads what the kernel holds for fd into p, which must not be empty.
// It returns 0 and errno 0 when the peer has closed its sending side, and never
// blocks (recv(2) with MSG_DONTWAIT). An interrupted call is repeated.
func Recv(fd int, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Send writes p to fd and returns how much of it the kernel took, which may be
// less than all. It never blocks and raises no SIGPIPE (send(2) with
// MSG_DONTWAIT and MSG_NOSIGNAL).
func Send(fd int, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Accept takes one connection from the listening descriptor fd (accept4(2)).
// It returns [Again] when none waits. Errors of the connection rather than of
// the listener (ECONNABORTED, EPROTO and such) are the caller's to skip, see
// [PassingAcceptError].
func Accept(fd int) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0,
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return -1, errno
		}
	}
}

// PassingAcceptError reports whether errno speaks of one connection that died
// before it was accepted, so that the next accept may succeed. accept(2) asks
// for network errors already pending on the new socket to be treated like EAGAIN.
func PassingAcceptError(errno syscall.Errno) bool {
	switch errno {
	case unix.ECONNABORTED, unix.EPROTO, unix.EPERM, unix.ENETDOWN, unix.ENOPROTOOPT,
		unix.EHOSTDOWN, unix.ENONET, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH:
		return true
	}
	return false
}

// ShutdownWrite sends FIN after what is already in the send buffer and leaves
// the receiving side open (shutdown(2) with SHUT_WR).
func ShutdownWrite(fd int) error {
	return unix.Shutdown(fd, unix.SHUT_WR)
}

// Close gives the descriptor number back. The number may be another
// connection's by the time Close returns. An error is of no use to the caller:
// Linux frees the number even then (close(2), "Dealing with error returns").
func Close(fd int) {
	_ = unix.Close(fd)
}
