//go:build linux

package socket_test

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// TestUserTimeoutIsInherited asks the kernel what an accepted socket has.
func TestUserTimeoutIsInherited(t *testing.T) {
	l, err := socket.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close(l)
	if err := socket.SetUserTimeout(l, 1500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", socket.LocalAddr(l).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fds := []unix.PollFd{{Fd: int32(l), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, -1); err != nil {
		t.Fatal(err)
	}
	fd, errno := socket.Accept(l)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer socket.Close(fd)
	if ms, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); err != nil || ms != 1500 {
		t.Errorf("an accepted socket has %d ms, %v; want 1500", ms, err)
	}
}

func TestUserTimeoutOfSomethingElse(t *testing.T) {
	if err := socket.SetUserTimeout(-1, time.Second); err == nil {
		t.Error("no error for a descriptor that is none")
	}
}
