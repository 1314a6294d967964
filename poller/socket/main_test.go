//go:build linux

package socket

import (
	"fmt"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain fails the run when a goroutine or a descriptor is left over.
func TestMain(m *testing.M) {
	// Go's own poller opens its descriptors with the first use and keeps them.
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = l.Close()
	}
	before := openDescriptors()
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "goroutines left over:", err)
		code = 1
	}
	if after := openDescriptors(); code == 0 && after != before {
		fmt.Fprintf(os.Stderr, "descriptors left over: %d before, %d after\n", before, after)
		code = 1
	}
	os.Exit(code)
}

// openDescriptors counts, with the one it reads the directory with.
func openDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(entries)
}

// pair returns both ends of a socketpair; the caller closes them.
func pair(t testing.TB) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

// loopback returns a TCP connection: the accepted descriptor, and the client's,
// which blocks.
func loopback(t testing.TB, addr string) (server, client int) {
	t.Helper()
	lfd, err := Listen(addr, false)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(lfd)
	client = dial(t, lfd)
	server, errno := Accept(lfd)
	if errno != 0 {
		t.Fatal(errno)
	}
	return server, client
}

// dial connects to a listening descriptor; the kernel completes it without accept.
func dial(t testing.TB, lfd int) int {
	t.Helper()
	addr := LocalAddr(lfd)
	var sa unix.Sockaddr = &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
	family := unix.AF_INET6
	if addr.Addr().Is4() {
		sa, family = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}, unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, sa); err != nil {
		t.Fatal(err)
	}
	return fd
}

func closing(t testing.TB, fds ...int) {
	t.Helper()
	t.Cleanup(func() {
		for _, fd := range fds {
			Close(fd)
		}
	})
}

// wantFlags checks that fd is non-blocking and close-on-exec, as every descriptor
// of this package is.
func wantFlags(t *testing.T, what string, fd int) {
	t.Helper()
	if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK == 0 {
		t.Errorf("%s: status flags %#x, %v; want O_NONBLOCK", what, fl, err)
	}
	if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
		t.Errorf("%s: descriptor flags %#x, %v; want FD_CLOEXEC", what, fl, err)
	}
}
