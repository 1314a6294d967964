//go:build linux

package socket

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReusePort: two may share a port, if both say so.
func TestReusePort(t *testing.T) {
	first, err := Listen("127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, first)
	addr := LocalAddr(first).String()
	second, err := Listen(addr, true)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, second)
	if _, err := Listen(addr, false); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("one that does not ask for it: %v, want EADDRINUSE", err)
	}
	// All that connects is in one of the two backlogs.
	const clients = 64
	for range clients {
		closing(t, dial(t, first))
	}
	count := func(lfd int) (n int) {
		for {
			fd, errno := Accept(lfd)
			if errno != 0 {
				return n
			}
			Close(fd)
			n++
		}
	}
	if a, b := count(first), count(second); a+b != clients || a == 0 || b == 0 {
		t.Errorf("%d and %d of %d connections: want all, and some for each", a, b, clients)
	}
}

// TestTurnAway: what has connected stays, what begins is neither taken nor refused,
// and another listener on the port gets it when it tries again.
func TestTurnAway(t *testing.T) {
	lfd, err := Listen("127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	addr := LocalAddr(lfd)
	early := dial(t, lfd)
	closing(t, early)
	if err := TurnAway(lfd); err != nil {
		t.Fatal(err)
	}
	late, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, late)
	if err := unix.Connect(late, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); !errors.Is(err, unix.EINPROGRESS) {
		t.Fatalf("connecting: %v, want EINPROGRESS", err)
	}
	fd, errno := Accept(lfd)
	if errno != 0 {
		t.Fatalf("what had connected is gone: %v", errno)
	}
	closing(t, fd)
	if _, errno := Accept(lfd); errno != Again {
		t.Errorf("a second connection is there: %v", errno)
	}
	heir, err := Listen(addr.String(), true)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, heir)
	Close(lfd)
	ready := []unix.PollFd{{Fd: int32(heir), Events: unix.POLLIN}}
	for deadline := time.Now().Add(20 * time.Second); ; {
		n, err := unix.Poll(ready, 1000)
		if n == 1 {
			break
		}
		if err != nil && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			t.Fatalf("the client that was turned away did not come back: %v", err)
		}
	}
	if fd, errno = Accept(heir); errno != 0 {
		t.Fatal(errno)
	}
	closing(t, fd)
	if why, err := unix.GetsockoptInt(late, unix.SOL_SOCKET, unix.SO_ERROR); why != 0 || err != nil {
		t.Errorf("the client's connection has failed: %v, %v", unix.Errno(why), err)
	}
}
