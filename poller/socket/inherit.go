//go:build linux

package socket

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotListening is returned by Inherit for a descriptor that is no listening
// stream socket of TCP or the unix domain.
var ErrNotListening = errors.New("not a listening TCP or unix stream socket")

// Inherit returns a descriptor of the listening socket f, which another process
// has opened, in the form that [Listen] gives it: non-blocking, close-on-exec, with
// TCP_NODELAY where it is a TCP socket. The socket itself is shared with whoever else has it,
// so these hold there too. The caller owns the descriptor, and f as before.
func Inherit(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	cerr := raw.Control(func(old uintptr) {
		if fd, err = inherit(int(old)); err != nil {
			err = fmt.Errorf("descriptor %d, %s: %w", old, f.Name(), err)
		}
	})
	return fd, errors.Join(cerr, err)
}

func inherit(old int) (fd int, err error) {
	family, err := unix.GetsockoptInt(old, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return -1, ErrNotListening
	}
	kind, err := unix.GetsockoptInt(old, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_STREAM {
		return -1, ErrNotListening
	}
	protocol, err := unix.GetsockoptInt(old, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	tcp := (family == unix.AF_INET || family == unix.AF_INET6) &&
		(protocol == unix.IPPROTO_TCP || protocol == unix.IPPROTO_MPTCP)
	if err != nil || !tcp && family != unix.AF_UNIX {
		return -1, ErrNotListening
	}
	listening, err := unix.GetsockoptInt(old, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return -1, ErrNotListening
	}
	if fd, err = unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return -1, os.NewSyscallError("dup", err)
	}
	if err = unix.SetNonblock(fd, true); err == nil && tcp {
		err = SetNoDelay(fd)
	}
	if err != nil {
		Close(fd)
		return -1, err
	}
	return fd, nil
}
