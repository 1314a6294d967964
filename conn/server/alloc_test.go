//go:build linux && !race

// The race detector allocates, so these tests are not built with it.

package server_test

import (
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
	"roost/poller/socket"
)

// rawClient is a client that allocates nothing: testing.AllocsPerRun counts the
// whole process, so what is left is the server's.
type rawClient struct {
	fd  int
	buf [4096]byte
}

func newRawClient(t *testing.T, addr string) *rawClient {
	t.Helper()
	return detach(t, conntest.Dial(t, addr, "/ws"))
}

func detach(t *testing.T, c *conntest.Client) *rawClient {
	t.Helper()
	fd, err := socket.Detach(c.Conn.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close(fd) })
	return &rawClient{fd: fd}
}

// read waits for n bytes.
func (c *rawClient) read(t *testing.T, n int) {
	t.Helper()
	var polled [1]unix.PollFd
	for n > 0 {
		polled[0] = unix.PollFd{Fd: int32(c.fd), Events: unix.POLLIN}
		_, _ = unix.Poll(polled[:], int(conntest.Patience.Milliseconds())) // what went wrong shows in Recv
		got, errno := socket.Recv(c.fd, c.buf[:min(n, len(c.buf))])
		if got == 0 && errno != syscall.EINTR && errno != socket.Again {
			t.Fatalf("connection lost: %v", errno)
		}
		n -= got
	}
}

// nothing fails the test when f allocates. Fractions come from the runtime's own
// goroutines and the sweeper's clock.
func nothing(t *testing.T, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(2000, f); n >= 1 {
		t.Errorf("%.0f allocations per run, want 0", n)
	}
}

func TestEchoAllocatesNothing(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo()})
	c := newRawClient(t, addr)
	frame := conntest.Frame(true, ws.OpText, "a message that is echoed")
	nothing(t, func() {
		if _, errno := socket.Send(c.fd, frame); errno != 0 {
			t.Fatal(errno)
		}
		c.read(t, len(frame)-4) // an answer has no mask
	})
}

func TestBroadcastAllocatesNothing(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Push()})
	var clients []*rawClient
	for range 10 {
		clients = append(clients, newRawClient(t, addr))
	}
	f := frame.Prepare(frame.Text, []byte("to all of you"))
	nothing(t, func() {
		for range 3 {
			if err := srv.Hub().Broadcast(f); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range clients {
			c.read(t, 3*len(f.Bytes()))
		}
	})
}

func TestIdleAllocatesNothing(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Chat()})
	for range 100 {
		newRawClient(t, addr)
	}
	nothing(t, func() { srv.Hub().Each((*conn.Conn).Sweep) })
}

func TestCompressedEchoAllocatesNothing(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo(), Compress: true})
	c := detach(t, conntest.DialDeflate(t, addr, "/ws"))
	text := strings.Repeat("a message that is echoed; ", 40)
	in := conntest.Compressed(true, ws.OpText, conntest.Deflate(6, text))
	out := deflatedSize(t, text)
	nothing(t, func() {
		if _, errno := socket.Send(c.fd, in); errno != 0 {
			t.Fatal(errno)
		}
		c.read(t, out)
	})
}

func TestCompressedBroadcastAllocatesNothing(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Push(), Compress: true})
	var clients []*rawClient
	for range 10 {
		clients = append(clients, detach(t, conntest.DialDeflate(t, addr, "/ws")))
	}
	text := strings.Repeat("to all of you; ", 40)
	f := frame.Prepare(frame.Text, []byte(text))
	size := deflatedSize(t, text)
	nothing(t, func() {
		for range 3 {
			if err := srv.Hub().Broadcast(f); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range clients {
			c.read(t, 3*size)
		}
	})
}

// deflatedSize is the length of a server's frame.
func deflatedSize(t *testing.T, text string) int {
	t.Helper()
	z, err := frame.NewCompressor(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	return len(frame.Prepare(frame.Text, []byte(text)).Deflated(z, frame.MaxWindow))
}
