//go:build linux

package socket

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func needIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 loopback on this machine: %v", err)
	}
	l.Close()
}

func TestListenAndAccept(t *testing.T) {
	for _, c := range []struct {
		addr string
		ip   netip.Addr
	}{
		{"127.0.0.1:0", netip.MustParseAddr("127.0.0.1")},
		{"[::1]:0", netip.MustParseAddr("::1")},
		{"[::ffff:127.0.0.1]:0", netip.MustParseAddr("127.0.0.1")},
	} {
		t.Run(c.addr, func(t *testing.T) {
			if c.ip.Is6() {
				needIPv6(t)
			}
			lfd, err := Listen(c.addr, false)
			if err != nil {
				t.Fatal(err)
			}
			closing(t, lfd)
			wantFlags(t, "listener", lfd)
			addr := LocalAddr(lfd)
			if addr.Addr() != c.ip || addr.Port() == 0 {
				t.Fatalf("listening on %v, want %v and a port", addr, c.ip)
			}
			if fd, errno := Accept(lfd); fd != -1 || errno != Again {
				t.Errorf("accept with nobody there: %d, %v; want -1, EAGAIN", fd, errno)
			}
			client := dial(t, lfd)
			fd, errno := Accept(lfd)
			if errno != 0 {
				t.Fatal(errno)
			}
			closing(t, client, fd)
			wantFlags(t, "connection", fd)
			if on, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || on == 0 {
				t.Errorf("TCP_NODELAY is %d, %v", on, err)
			}
			if PeerAddr(fd) != LocalAddr(client) || PeerAddr(client) != LocalAddr(fd) {
				t.Errorf("server sees %v-%v, client sees %v-%v", LocalAddr(fd), PeerAddr(fd), LocalAddr(client), PeerAddr(client))
			}
		})
	}
}

// An empty host takes IPv6 and IPv4 with one descriptor, and an IPv4 peer looks
// like one.
func TestListenOnBoth(t *testing.T) {
	needIPv6(t)
	lfd, err := Listen(":0", false)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, lfd)
	port := strconv.Itoa(int(LocalAddr(lfd).Port()))
	for _, host := range []string{"127.0.0.1", "::1"} {
		client, err := net.Dial("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Fatal(err)
		}
		fd, errno := Accept(lfd)
		if errno != 0 {
			t.Fatal(errno)
		}
		if got := PeerAddr(fd).Addr(); got != netip.MustParseAddr(host) {
			t.Errorf("peer %v, want %v", got, host)
		}
		Close(fd)
		client.Close()
	}
}

// A specific IPv6 address leaves the port free for IPv4.
func TestIPv6OnlyLeavesIPv4Free(t *testing.T) {
	needIPv6(t)
	six, err := Listen("[::1]:0", false)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, six)
	if on, err := unix.GetsockoptInt(six, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); err != nil || on != 1 {
		t.Errorf("IPV6_V6ONLY is %d, %v", on, err)
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, taken)
	for _, c := range []struct {
		addr string
		want error
	}{
		{LocalAddr(taken).String(), unix.EADDRINUSE},
		{"192.0.2.1:0", unix.EADDRNOTAVAIL},
	} {
		if fd, err := Listen(c.addr, false); fd != -1 || !errors.Is(err, c.want) {
			t.Errorf("listen on %s: %d, %v; want %v", c.addr, fd, err, c.want)
		}
	}
	for _, addr := range []string{"127.0.0.1", "127.0.0.1:port", "127.0.0.1:65536"} {
		if fd, err := Listen(addr, false); fd != -1 || err == nil {
			t.Errorf("listen on %q: %d, %v; want an error", addr, fd, err)
		}
	}
}

func TestAddrOfOtherDescriptors(t *testing.T) {
	a, b := pair(t)
	closing(t, a, b)
	if got := LocalAddr(a); got.IsValid() {
		t.Errorf("local address of a unix socket: %v", got)
	}
	if got := PeerAddr(a); got.IsValid() {
		t.Errorf("peer address of a unix socket: %v", got)
	}
	if got := PeerAddr(-1); got.IsValid() {
		t.Errorf("peer address of no descriptor: %v", got)
	}
}
