//go:build linux

package conn

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/poller"
)

type echoer struct{ nobody }

func (echoer) OnMessage(c *Conn, op frame.Opcode, p []byte) { _ = c.Write(op, p) }

// TestCorkStaysWithItsWorker has a connection whose socket is full answer with a few
// bytes, on a worker that has just written something large. Its buffer must stay.
func TestCorkStaysWithItsWorker(t *testing.T) {
	gone := make(chan struct{}, 2)
	g := NewGroup(Config{
		Handler: echoer{}, Log: slog.New(slog.DiscardHandler),
		Policy: &handshake.Policy{Path: "/", MaxHead: 8192, MaxHeaders: 100},
		Gone:   func(*Conn, bool) { gone <- struct{}{} },
	})
	p, err := poller.New(poller.Config{Reactors: 1, Workers: 1, Help: -1, Buffer: 64 << 10, NewScratch: NewScratch,
		OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	large, _, largePeer := connected(t, g, p)
	slow, fd, slowPeer := connected(t, g, p)

	for full := false; !full; { // as if by frames before
		_, err := unix.Write(fd, []byte{0})
		full = err == unix.EAGAIN
	}
	message := strings.Repeat("l", 100<<10)
	say(t, largePeer, message)
	buf := make([]byte, 64<<10)
	for left := len(message); left > 0; { // and a header
		if n, err := unix.Read(largePeer, buf); err == nil {
			left -= n
		}
	}
	say(t, slowPeer, "few")
	until(t, func() bool { return slow.Backlog().Frames == 1 && slow.WriteQueued() > 0 })
	slow.mu.Lock()
	kept := cap(slow.out.buf)
	for _, seg := range slow.out.segs {
		kept += cap(seg.b)
	}
	slow.mu.Unlock()
	if kept > 1<<10 {
		t.Errorf("%d bytes are kept for %d", kept, slow.Backlog().Bytes)
	}
	for _, c := range []*Conn{large, slow} {
		c.Abort(ReasonShutdown)
		<-gone
	}
}

// connected is a connection past its handshake, its descriptor, and its peer's.
func connected(t *testing.T, g *Group, p *poller.Poller) (c *Conn, fd, peer int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[1]) })
	c = New(g)
	if err := c.Start(p, fds[0], nil); err != nil {
		t.Fatal(err)
	}
	request := "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := unix.Write(fds[1], []byte(request)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	until(t, func() bool {
		n, err := unix.Read(fds[1], answer)
		return err == nil && strings.HasSuffix(string(answer[:n]), "\r\n\r\n")
	})
	return c, fds[0], fds[1]
}

// say sends a masked text message.
func say(t *testing.T, peer int, text string) {
	t.Helper()
	b, err := ws.CompileFrame(ws.MaskFrameWith(ws.NewTextFrame([]byte(text)), [4]byte{1, 2, 3, 4}))
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		n, err := unix.Write(peer, b)
		if err == nil {
			b = b[n:]
		}
		return len(b) == 0
	})
}
