//go:build linux

package socket

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNoDescriptor is returned by Detach for a net.Conn that is not backed by a
// socket descriptor, a TLS connection for example.
var ErrNoDescriptor = errors.New("connection has no socket descriptor of its own")

// NetConn turns fd into a net.Conn served by Go's own poller, for which it needs a
// second descriptor for a moment. It takes ownership of fd in every case: after an
// error, for want of that descriptor in most cases, farewell has been offered to the
// peer and fd is closed.
func NetConn(fd int, farewell []byte) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	if f == nil { // fd is negative, and net.FileConn panics
		return nil, os.NewSyscallError("dup", unix.EBADF)
	}
	// net.FileConn duplicates the descriptor; closing the file drops ours.
	c, err := net.FileConn(f)
	if err != nil && len(farewell) > 0 {
		_, _ = Send(fd, farewell)
	}
	if cerr := f.Close(); err == nil && cerr != nil {
		err = errors.Join(cerr, c.Close())
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Detach is the way back: it returns a descriptor of the same connection that
// Go's poller does not know, and closes c. The caller owns the descriptor.
// After an error c is still open and the caller's.
func Detach(c net.Conn) (int, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return -1, ErrNoDescriptor
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, dupErr := -1, error(nil)
	err = raw.Control(func(old uintptr) {
		// The duplicate shares the open file description, so it stays
		// non-blocking; F_DUPFD_CLOEXEC avoids a window in which a child inherits it.
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, dupErr); err != nil {
		return -1, err
	}
	_ = c.Close() // the connection lives on in fd
	return fd, nil
}
