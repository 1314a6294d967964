//go:build roostsim

// Package syscall stands in for the standard one in a simulation: the raw calls of
// poller/socket go to the virtual kernel.
package syscall

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"roost/poller/sim/kernel"
	"roost/poller/sim/sync"
)

type (
	Errno = syscall.Errno
	Conn  = syscall.Conn
)

// ForkLock is not the one that os/exec takes: nothing is forked.
var ForkLock sync.RWMutex

// RawSyscall6 is recvfrom(2), sendto(2) and accept4(2). The directive keeps what
// the numbers point to alive and in place.
//
//go:uintptrescapes
func RawSyscall6(trap, a1, a2, a3, _, _, _ uintptr) (r1, r2 uintptr, errno Errno) {
	n := 0
	switch trap {
	case unix.SYS_RECVFROM:
		n, errno = kernel.K.Recv(int(a1), bytes(a2, int(a3)))
	case unix.SYS_SENDTO:
		n, errno = kernel.K.Send(int(a1), bytes(a2, int(a3)))
	case unix.SYS_ACCEPT4:
		n, errno = kernel.K.Accept(int(a1))
	default:
		errno = unix.ENOSYS
	}
	return uintptr(n), 0, errno
}

// RawSyscall is sendmsg(2).
//
//go:uintptrescapes
func RawSyscall(trap, fd, p, _ uintptr) (r1, r2 uintptr, errno Errno) {
	if trap != unix.SYS_SENDMSG {
		return 0, 0, unix.ENOSYS
	}
	msg := (*unix.Msghdr)(pointer(p))
	var all []byte
	for _, iov := range unsafe.Slice(msg.Iov, int(msg.Iovlen)) {
		all = append(all, unsafe.Slice(iov.Base, int(iov.Len))...)
	}
	n, errno := kernel.K.Send(int(fd), all)
	return uintptr(n), 0, errno
}

func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

func bytes(p uintptr, n int) []byte { return unsafe.Slice((*byte)(pointer(p)), n) }
