//go:build linux

package poller

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// Only the package's Epoll type is used, on raw descriptors. Its Desc and
// Handle would duplicate the descriptor, register it with Go's own poller as
// well and make the socket blocking in Resume and Stop.

// interest is registered once and never changed.
const interest = netpoll.EPOLLIN | netpoll.EPOLLOUT | netpoll.EPOLLRDHUP | netpoll.EPOLLET

// epoll is one netpoll.Epoll without its known faults.
type epoll struct {
	*netpoll.Epoll
}

// openEpoll creates an epoll instance and starts its wait loop. A wait error ends
// the loop for good; it is handed to onError.
func openEpoll(onError func(error)) (epoll, error) {
	// No child is forked until the descriptors are close-on-exec.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	ep, err := netpoll.EpollCreate(&netpoll.EpollConfig{
		OnWaitError: func(err error) { onError(fmt.Errorf("epoll_wait: %w", err)) },
	})
	if err != nil {
		return epoll{}, os.NewSyscallError("epoll_create", err)
	}
	closeOnExec()
	return epoll{ep}, nil
}

// add registers fd. After an error fd is not registered: netpoll stores the
// callback before epoll_ctl(2) and leaves it there when that fails, which would
// make the number unusable for every later connection.
func (e epoll) add(fd int, cb func(netpoll.EpollEvent)) error {
	err := e.Add(fd, interest, cb)
	switch {
	case err == nil, errors.Is(err, netpoll.ErrRegistered):
	case errors.Is(err, netpoll.ErrClosed):
		return ErrClosed
	default:
		_ = e.Del(fd) // fails in epoll_ctl, after it has deleted the map entry
	}
	return err
}

// events translates. Unknown bits, such as netpoll's own mark of a closed epoll
// instance, are no events.
func events(ev netpoll.EpollEvent) uint32 {
	var bits Events
	if ev&netpoll.EPOLLIN != 0 {
		bits |= Readable
	}
	if ev&netpoll.EPOLLOUT != 0 {
		bits |= Writable
	}
	if ev&(netpoll.EPOLLRDHUP|netpoll.EPOLLHUP|netpoll.EPOLLERR) != 0 {
		bits |= Hangup
	}
	return uint32(bits)
}

// closeOnExec sets FD_CLOEXEC on the epoll and event descriptors that netpoll
// creates without it, so that no child process inherits them. netpoll does not
// tell their numbers, so they are found by what they are.
func closeOnExec() {
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return
	}
	for _, name := range names {
		target, err := os.Readlink(name)
		if err != nil || (target != "anon_inode:[eventpoll]" && target != "anon_inode:[eventfd]") {
			continue
		}
		if fd, err := strconv.Atoi(filepath.Base(name)); err == nil {
			unix.CloseOnExec(fd)
		}
	}
}
