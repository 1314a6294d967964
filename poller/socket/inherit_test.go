//go:build linux

package socket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestInherit(t *testing.T) {
	for _, c := range []struct{ network, addr string }{
		{"tcp", "127.0.0.1:0"}, {"unix", filepath.Join(t.TempDir(), "s")},
	} {
		l, err := net.Listen(c.network, c.addr)
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
			t.Fatal(err)
		}
		lfd, err := Inherit(f)
		if err != nil {
			t.Fatalf("%s: %v", c.network, err)
		}
		closing(t, lfd)
		_ = f.Close()
		wantFlags(t, c.network, lfd)
		if got := ListenAddr(lfd); got.Network() != c.network || got.String() != l.Addr().String() {
			t.Errorf("listening on %v, want %v", got, l.Addr())
		}
		client, err := net.Dial(c.network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fd, errno := Accept(lfd)
		if errno != 0 {
			t.Fatal(errno)
		}
		if on, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY); c.network == "tcp" && (err != nil || on == 0) {
			t.Errorf("TCP_NODELAY is %d, %v", on, err)
		}
		Close(fd)
		_ = client.Close()
		_ = l.Close()
	}
}

// TestInheritRefuses what cannot be accepted from, by the descriptor's number and name.
func TestInheritRefuses(t *testing.T) {
	socketOf := func(family, kind int) int {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, fd := range map[string]int{
		"idle":     socketOf(unix.AF_INET, unix.SOCK_STREAM),
		"datagram": socketOf(unix.AF_INET, unix.SOCK_DGRAM),
		"packets":  socketOf(unix.AF_UNIX, unix.SOCK_SEQPACKET),
		"netlink":  socketOf(unix.AF_NETLINK, unix.SOCK_RAW),
		"file":     null,
	} {
		f := os.NewFile(uintptr(fd), name)
		if _, err := Inherit(f); !errors.Is(err, ErrNotListening) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want ErrNotListening and its name", name, err)
		}
		_ = f.Close()
		if _, err := Inherit(f); err == nil {
			t.Errorf("%s, closed: no error", name)
		}
	}
}
