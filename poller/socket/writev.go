//go:build linux

package socket

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxIovecs is how many buffers one Writev takes; further ones are left for the
// next call. It keeps the array on the stack and is far below IOV_MAX (1,024).
const MaxIovecs = 64

// Writev writes bufs in order with one sendmsg(2) and returns how many bytes the
// kernel took. It never blocks and raises no SIGPIPE. Empty buffers are skipped.
func Writev(fd int, bufs [][]byte) (int, syscall.Errno) {
	var iov [MaxIovecs]unix.Iovec
	k := 0
	for _, b := range bufs {
		if len(b) == 0 {
			continue
		}
		if k == len(iov) {
			break
		}
		iov[k].Base = unsafe.SliceData(b)
		iov[k].SetLen(len(b))
		k++
	}
	if k == 0 {
		return 0, 0
	}
	var msg unix.Msghdr
	msg.Iov = &iov[0]
	msg.SetIovlen(k)
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}
