//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// crowd is the clients of a calibration: sockets that say one handshake and then
// only read. One goroutine owns it.
type crowd struct {
	server  unix.SockaddrInet4
	request []byte
	epoll   int
	fds     []int
	buf     []byte
}

// stuck bounds a wait for what a healthy machine does in milliseconds.
const stuck = 20 * time.Second

func newCrowd(server netip.AddrPort, path string) (*crowd, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &crowd{
		server: unix.SockaddrInet4{Addr: server.Addr().As4(), Port: int(server.Port())},
		request: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, server),
		epoll: epoll,
		buf:   make([]byte, 64<<10),
	}, nil
}

func (c *crowd) close() {
	for _, fd := range c.fds {
		socket.Close(fd)
	}
	socket.Close(c.epoll)
}

// open adds n connections, whose handshakes are under way at the same time.
func (c *crowd) open(ctx context.Context, n int) error {
	first := len(c.fds)
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		c.fds = append(c.fds, fd)
		// Times out connect as well, socket(7).
		limit := unix.NsecToTimeval(stuck.Nanoseconds())
		err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
		if err == nil {
			err = connect(fd, &c.server)
		}
		if err != nil {
			return err
		}
		if _, err := unix.Write(fd, c.request); err != nil {
			return err
		}
	}
	for _, fd := range c.fds[first:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.accepted(fd); err != nil {
			return err
		}
		if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return err
		}
	}
	return nil
}

// connect goes on when a signal comes in between, such as Go's own: with SO_SNDTIMEO the
// kernel does not, signal(7).
func connect(fd int, to unix.Sockaddr) error {
	for {
		switch err := unix.Connect(fd, to); err {
		case unix.EINTR:
		case unix.EISCONN: // it was done meanwhile
			return nil
		default:
			return err
		}
	}
}

// accepted reads the answer to the handshake: nothing follows it until somebody broadcasts.
func (c *crowd) accepted(fd int) error {
	for have := 0; ; {
		n, err := unix.Read(fd, c.buf[have:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		have += n
		if bytes.HasSuffix(c.buf[:have], []byte("\r\n\r\n")) {
			if !bytes.HasPrefix(c.buf[:have], []byte("HTTP/1.1 101 ")) {
				return fmt.Errorf("handshake answered with %q", bytes.SplitN(c.buf[:have], []byte("\r\n"), 2)[0])
			}
			return nil
		}
	}
}

// receive reads until so many bytes have come on every connection.
func (c *crowd) receive(ctx context.Context, each int) error {
	events := make([]unix.EpollEvent, 256)
	end := time.Now().Add(stuck)
	for left := each * len(c.fds); left > 0; {
		n, err := unix.EpollWait(c.epoll, events, 100)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case n == 0 && time.Now().After(end):
			return fmt.Errorf("%d bytes of a broadcast are missing", left)
		}
		for _, ev := range events[:n] {
			got, errno := socket.Recv(int(ev.Fd), c.buf)
			if errno == socket.Again {
				continue
			}
			if got == 0 {
				return errors.Join(errors.New("the server closed a connection"), orNil(errno))
			}
			left -= got
		}
	}
	return nil
}

func orNil(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
