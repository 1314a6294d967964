//go:build linux

package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// unixScheme begins the address of a unix socket.
	unixScheme = "unix:"
	// maxUnixPath is the room for a path in sockaddr_un, without the byte that ends
	// it (unix(7)).
	maxUnixPath = 107
	// unixPatience is how long it may take to find out whether somebody listens.
	unixPatience = time.Second
)

// UnixPath returns the path in an address "unix:PATH". ok is false for addresses
// of another kind, and err says what is wrong with the path.
func UnixPath(addr string) (path string, ok bool, err error) {
	path, ok = strings.CutPrefix(addr, unixScheme)
	switch {
	case !ok:
	case path == "" || path[0] == '@' || strings.ContainsRune(path, 0):
		err = fmt.Errorf("listen address %q: want the path of a file, as in unix:/run/roost.sock", addr)
	case len(path) > maxUnixPath:
		err = fmt.Errorf("listen address %q: the path has %d bytes; a unix socket takes %d at the most", addr, len(path), maxUnixPath)
	}
	return path, ok, err
}

// UnixFile is the file by which clients find a listening unix socket.
type UnixFile struct {
	path string
	info fs.FileInfo
}

// Remove deletes the file if it is still the one that [ListenUnix] made: somebody
// else may listen there by now. It must be called while the descriptor is open, because
// until then no other file can have the same inode. What has connected waits in the
// backlog, and nobody else can connect.
func (f *UnixFile) Remove() error {
	now, err := os.Lstat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !os.SameFile(now, f.info):
		return nil
	}
	return os.Remove(f.path)
}

// ListenUnix opens a listening unix stream socket at path. A file that an earlier
// process has left there is replaced; when somebody answers behind it, the error is
// EADDRINUSE, as for a port. Who may connect is decided by the file's mode, which is mode
// as the umask cuts it, and its folder's. The caller owns the descriptor.
func ListenUnix(path string, mode fs.FileMode) (fd int, file *UnixFile, err error) {
	if err := clearUnix(path); err != nil {
		return -1, nil, fmt.Errorf("listen on %s%s: %w", unixScheme, path, err)
	}
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, &net.OpError{Op: "listen", Net: "unix", Err: os.NewSyscallError("socket", err)}
	}
	if file, err = bindUnix(fd, path, mode); err != nil {
		Close(fd)
		return -1, nil, fmt.Errorf("listen on %s%s: %w", unixScheme, path, err)
	}
	return fd, file, nil
}

func bindUnix(fd int, path string, mode fs.FileMode) (*UnixFile, error) {
	// The file is made with the descriptor's mode: nobody else can get in even for a moment.
	if err := unix.Fchmod(fd, uint32(mode.Perm())); err != nil {
		return nil, os.NewSyscallError("fchmod", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	file := &UnixFile{path: path, info: info}
	if err := unix.Listen(fd, backlog); err != nil {
		_ = file.Remove()
		return nil, os.NewSyscallError("listen", err)
	}
	return file, nil
}

// clearUnix removes a socket file behind which nobody listens any more.
func clearUnix(path string) error {
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case found.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("the file exists and is no socket: %w; remove it or choose another path", unix.ENOTSOCK)
	}
	c, err := net.DialTimeout("unix", path, unixPatience)
	switch {
	case err == nil:
		_ = c.Close()
		return os.NewSyscallError("bind", unix.EADDRINUSE)
	case errors.Is(err, unix.ECONNREFUSED): // bound by nobody, or by one that does not listen
		return (&UnixFile{path, found}).Remove()
	case errors.Is(err, unix.ENOENT): // its owner has removed it meanwhile
		return nil
	case errors.Is(err, unix.EAGAIN), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.EPROTOTYPE):
		// The backlog is full, or it is a socket of another type.
		return os.NewSyscallError("bind", unix.EADDRINUSE)
	}
	return err
}
