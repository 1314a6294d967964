//go:build roostsim

// Package unix stands in for golang.org/x/sys/unix in a simulation: the calls of
// poller/socket and netpoll go to the virtual kernel. Package rewrite adds the
// constants.
package unix

import (
	"golang.org/x/sys/unix"

	"roost/poller/sim/kernel"
)

type (
	EpollEvent    = unix.EpollEvent
	Errno         = unix.Errno
	Iovec         = unix.Iovec
	Msghdr        = unix.Msghdr
	Rlimit        = unix.Rlimit
	SockFilter    = unix.SockFilter
	SockFprog     = unix.SockFprog
	Sockaddr      = unix.Sockaddr
	SockaddrInet4 = unix.SockaddrInet4
	SockaddrInet6 = unix.SockaddrInet6
	SockaddrUnix  = unix.SockaddrUnix
	TCPInfo       = unix.TCPInfo
)

func Close(fd int) error { return kernel.K.Close(fd) }

func Shutdown(fd, _ int) error { return kernel.K.ShutdownWrite(fd) }

// Socket makes listeners only: connections come from Accept.
func Socket(_, _, _ int) (int, error) { return kernel.K.NewListener(), nil }

func SetsockoptInt(fd, _, _, _ int) error {
	kernel.K.Touch(fd, "setsockopt")
	return nil
}

func GetsockoptInt(int, int, int) (int, error) { return 0, unix.ENOSYS }

func SetsockoptSockFprog(int, int, int, *SockFprog) error { return unix.ENOSYS }

func Fchmod(int, uint32) error { return unix.ENOSYS }

func SetNonblock(int, bool) error { return unix.ENOSYS }

func Bind(fd int, _ Sockaddr) error {
	kernel.K.Touch(fd, "bind")
	return nil
}

func Listen(fd, _ int) error {
	kernel.K.Listen(fd)
	return nil
}

func Getsockname(fd int) (Sockaddr, error) {
	kernel.K.Touch(fd, "getsockname")
	return &SockaddrInet4{Port: 8000, Addr: [4]byte{127, 0, 0, 1}}, nil
}

func Getpeername(fd int) (Sockaddr, error) {
	kernel.K.Touch(fd, "getpeername")
	return &SockaddrInet4{Port: 1, Addr: [4]byte{127, 0, 0, 1}}, nil
}

func GetsockoptUint64(fd, _, _ int) (uint64, error) {
	kernel.K.Touch(fd, "getsockopt")
	return 0, unix.ENOPROTOOPT
}

func GetsockoptTCPInfo(fd, _, _ int) (*TCPInfo, error) {
	kernel.K.Touch(fd, "getsockopt")
	return nil, unix.ENOPROTOOPT
}

func IoctlGetInt(fd int, _ uint) (int, error) {
	kernel.K.Touch(fd, "ioctl")
	n, _ := kernel.K.Socket(fd).Unread()
	return n, nil
}

func CloseOnExec(int) {}

func Eventfd(uint, int) (int, error) { return kernel.K.NewCounter(), nil }

func FcntlInt(uintptr, int, int) (int, error) { return -1, unix.ENOSYS }

func Getrlimit(int, *Rlimit) error { return unix.ENOSYS }

func Setrlimit(int, *Rlimit) error { return unix.ENOSYS }

func EpollCreate1(int) (int, error) { return kernel.K.NewEpoll(), nil }

func EpollCtl(epfd, op, fd int, ev *EpollEvent) error { return kernel.K.Control(epfd, op, fd, ev) }

func EpollWait(epfd int, events []EpollEvent, _ int) (int, error) {
	return kernel.K.Wait(epfd, events)
}

// Syscall is eventfd2(2) only.
func Syscall(trap, _, _, _ uintptr) (r1, r2 uintptr, errno Errno) {
	if trap != unix.SYS_EVENTFD2 {
		return 0, 0, unix.ENOSYS
	}
	return uintptr(kernel.K.NewCounter()), 0, 0
}

// Write is for event counters only.
func Write(fd int, p []byte) (int, error) {
	kernel.K.Count(fd)
	return len(p), nil
}
