//go:build linux

package conn

import (
	"bytes"
	"compress/flate"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/poller"
)

// busy notes whose messages come, and at the first has somebody else send one.
type busy struct {
	nobody
	first  func()
	came   []*Conn
	enough chan struct{}
}

func (b *busy) OnMessage(c *Conn, _ frame.Opcode, _ []byte) {
	if b.came = append(b.came, c); len(b.came) == 1 {
		b.first()
	}
	if len(b.came) == bombs+1 {
		close(b.enough)
	}
}

const bombs = 40

// A few bytes that inflate to much do not keep a worker from the others: what was inflated
// counts as if it had been read.
func TestInflatedBytesAreInTheBudget(t *testing.T) {
	p, err := poller.New(poller.Config{Reactors: 1, Workers: 1, Buffer: 64 << 10, Blocking: true, NewScratch: NewScratch,
		OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	z, err := frame.NewCompressor(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := &busy{enough: make(chan struct{})}
	gone := make(chan *Conn, 2)
	g := NewGroup(Config{Handler: b, Log: slog.New(slog.DiscardHandler), Compress: z, Gone: func(c *Conn, _ bool) { gone <- c },
		Policy: &handshake.Policy{Path: "/", MaxHead: 8192, MaxHeaders: 100, Compress: true}})
	open := func() (*Conn, int) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := New(g)
		if err := c.Start(p, fds[0], []byte("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		until(t, func() bool { return c.State() == StateOpen })
		return c, fds[1]
	}
	greedy, from := open()
	modest, other := open()
	b.first = func() {
		if _, err := unix.Write(other, []byte("\x81\x80\x00\x00\x00\x00")); err != nil {
			t.Error(err)
		}
		for p.Stats().Queued == 0 {
			runtime.Gosched()
		}
	}
	bomb := compressedFrame(t, strings.Repeat("\x00", 200<<10))
	if n, err := unix.Write(from, bytes.Repeat(bomb, bombs)); err != nil || n > 64<<10 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	<-b.enough
	if b.came[1] != modest {
		t.Error("the second message is not that of the other one")
	}
	for _, c := range []*Conn{greedy, modest} {
		c.Abort(ReasonApplication)
		<-gone
	}
	_, _ = unix.Close(from), unix.Close(other)
}

// compressedFrame is a client's binary message with a mask of zeros.
func compressedFrame(t *testing.T, message string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(message)) // a bytes.Buffer takes everything
	_ = w.Flush()
	payload := bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
	header := []byte{0xc2, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}
	if len(payload) < 126 {
		t.Fatalf("%d bytes take a shorter header", len(payload))
	}
	return append(header, payload...)
}
