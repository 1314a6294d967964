//go:build linux

package socket

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// To net.Conn and back, several times: the stream goes on, the descriptor stays
// non-blocking, and nothing is left behind (TestMain counts).
func TestNetConnRoundTrip(t *testing.T) {
	fd, client := loopback(t, "127.0.0.1:0")
	closing(t, client)
	before := openDescriptors()
	buf := make([]byte, 8)
	for range 20 {
		c, err := NetConn(fd, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(client, []byte("ping")); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != "ping" {
			t.Fatalf("net.Conn read %q, %v", buf[:n], err)
		}
		// Deadlines work only on a descriptor that Go's poller serves.
		if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read past the deadline: %v", err)
		}
		if fd, err = Detach(c); err != nil {
			t.Fatal(err)
		}
		wantFlags(t, "detached descriptor", fd)
		if _, err := c.Read(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read from the detached net.Conn: %v, want net.ErrClosed", err)
		}
		if n, errno := Recv(fd, buf); n != 0 || errno != Again {
			t.Errorf("recv: %d, %v; want EAGAIN, the connection lives", n, errno)
		}
		if n, errno := Send(fd, []byte("pong")); n != 4 || errno != 0 {
			t.Fatalf("send: %d, %v", n, errno)
		}
		if n, err := unix.Read(client, buf); err != nil || string(buf[:n]) != "pong" {
			t.Errorf("client read %q, %v", buf[:n], err)
		}
	}
	if after := openDescriptors(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	Close(fd)
	if n, err := unix.Read(client, buf); n != 0 || err != nil {
		t.Errorf("client read %d, %v after Close; want the end of the stream", n, err)
	}
}

// A reader that waits in Go's poller is released by Detach.
func TestDetachReleasesReader(t *testing.T) {
	fd, client := loopback(t, "127.0.0.1:0")
	closing(t, client)
	c, err := NetConn(fd, nil)
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		released <- err
	}()
	if fd, err = Detach(c); err != nil {
		t.Fatal(err)
	}
	if err := <-released; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v, want net.ErrClosed", err)
	}
	Close(fd)
}

func TestNetConnOwnsDescriptorAfterError(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := NetConn(fd, nil); err == nil {
		c.Close()
		t.Error("a regular file became a net.Conn")
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the descriptor after an error: %v, want EBADF", err)
	}
	if c, err := NetConn(-1, nil); err == nil {
		c.Close()
		t.Error("no descriptor became a net.Conn")
	}
}

func TestDetachErrors(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if fd, err := Detach(a); fd != -1 || !errors.Is(err, ErrNoDescriptor) {
		t.Errorf("a pipe: %d, %v; want ErrNoDescriptor", fd, err)
	}
	if fd, err := Detach(tls.Client(a, &tls.Config{ServerName: "localhost"})); fd != -1 || !errors.Is(err, ErrNoDescriptor) {
		t.Errorf("TLS: %d, %v; want ErrNoDescriptor", fd, err)
	}
	// After the error the connection is still open.
	go func() { _, _ = b.Write([]byte("x")) }()
	if _, err := io.ReadFull(a, make([]byte, 1)); err != nil {
		t.Errorf("read after a failed Detach: %v", err)
	}

	own, client := loopback(t, "127.0.0.1:0")
	closing(t, client)
	c, err := NetConn(own, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if fd, err := Detach(c); fd != -1 || err == nil {
		t.Errorf("a closed connection: %d, %v; want an error", fd, err)
	}
}
