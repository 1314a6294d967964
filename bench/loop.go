//go:build linux

package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loop tells which descriptors are ready. It is all the client knows of the
// readiness mechanism, so that another one can take its place.
//
// Registration is edge-triggered for both directions, once; it is never
// modified. Every method but wake belongs to the goroutine that drives the
// client.
type loop interface {
	// add registers fd. Events carry token.
	add(fd int, token uint64) error
	// remove ends the registration; call it before the descriptor is closed.
	// Events already collected may still carry the token.
	remove(fd int) error
	// wait blocks until something is ready, wake is called or timeout has
	// passed. Zero polls, a negative timeout waits for ever. The slice is valid
	// until the next call.
	wait(timeout time.Duration) ([]event, error)
	// wake makes wait return. It may be called from any goroutine, also after close.
	wake()
	close() error
}

// event is one hint from the loop: the result of the next recv or send decides.
type event struct {
	token    uint64
	readable bool // bytes, end of stream or an error may be read
	writable bool
	ended    bool // the peer will send nothing more, or the socket failed
}

const (
	eventsPerWait = 1024
	wakeToken     = ^uint64(0)
)

// epoll is the loop over epoll(7) with an eventfd(2) for wake.
type epoll struct {
	fd     int
	raw    [eventsPerWait]unix.EpollEvent
	events []event
	coarse bool // the kernel has no epoll_pwait2: timeouts are whole milliseconds

	mu     sync.Mutex // guards wakeFD: wake may race with close
	wakeFD int        // -1 when closed
}

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	e := &epoll{fd: fd, wakeFD: wakeFD, events: make([]event, 0, eventsPerWait)}
	// Level-triggered and for reading only: an eventfd can always be written.
	if err := e.register(wakeFD, wakeToken, unix.EPOLLIN); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll_ctl: %w", err), e.close())
	}
	return e, nil
}

func (e *epoll) add(fd int, token uint64) error {
	return e.register(fd, token, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET)
}

func (e *epoll) register(fd int, token uint64, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32))}
	return unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, fd, &ev)
}

func (e *epoll) remove(fd int) error {
	return unix.EpollCtl(e.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

func (e *epoll) wait(timeout time.Duration) ([]event, error) {
	n, err := e.collect(timeout)
	if err == unix.EINTR {
		n, err = 0, nil
	}
	if err != nil {
		return nil, fmt.Errorf("epoll_wait: %w", err)
	}
	e.events = e.events[:0]
	for i := range e.raw[:n] {
		raw := &e.raw[i]
		token := uint64(uint32(raw.Pad))<<32 | uint64(uint32(raw.Fd))
		if token == wakeToken {
			e.drainWake()
			continue
		}
		const ended = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
		e.events = append(e.events, event{
			token:    token,
			readable: raw.Events&(unix.EPOLLIN|ended) != 0,
			writable: raw.Events&unix.EPOLLOUT != 0,
			ended:    raw.Events&ended != 0,
		})
	}
	return e.events, nil
}

// collect prefers epoll_pwait2 (Linux 5.11): a pacer needs timeouts finer than
// the milliseconds of epoll_wait.
func (e *epoll) collect(timeout time.Duration) (int, error) {
	if !e.coarse {
		var spec *unix.Timespec
		if timeout >= 0 {
			ts := unix.NsecToTimespec(int64(timeout))
			spec = &ts
		}
		n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(e.fd),
			uintptr(unsafe.Pointer(&e.raw)), eventsPerWait, uintptr(unsafe.Pointer(spec)), 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.ENOSYS {
			return 0, errno
		}
		e.coarse = true
	}
	milliseconds := -1
	if timeout >= 0 {
		milliseconds = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	return unix.EpollWait(e.fd, e.raw[:], milliseconds)
}

func (e *epoll) drainWake() {
	var counter [8]byte
	_, _ = unix.Read(e.wakeFD, counter[:]) // only to reset it
}

func (e *epoll) wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wakeFD < 0 {
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(e.wakeFD, one[:]) // fails when it is set already
}

func (e *epoll) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	unix.Close(e.wakeFD)
	e.wakeFD = -1
	return unix.Close(e.fd)
}
