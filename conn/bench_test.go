//go:build linux

package conn

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/poller"
)

// answering returns every message to its sender.
type answering struct{ nobody }

func (answering) OnMessage(c *Conn, op frame.Opcode, payload []byte) { _ = c.Write(op, payload) }

// benchPair opens a connection over a socketpair and returns it with its peer's
// end, on which reads and writes block.
func benchPair(b *testing.B, h Handler) (c *Conn, peer int) {
	b.Helper()
	gone := make(chan struct{})
	g := NewGroup(Config{
		Handler: h, Log: slog.New(slog.DiscardHandler),
		Policy: &handshake.Policy{Path: "/", MaxHead: 8192, MaxHeaders: 100},
		Gone:   func(*Conn, bool) { close(gone) },
	})
	p, err := poller.New(poller.Config{Buffer: 72 << 10, NewScratch: NewScratch, OnError: func(err error) { b.Error(err) }})
	if err != nil {
		b.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	c, peer = New(g), fds[1]
	if err := unix.SetNonblock(fds[0], true); err != nil {
		b.Fatal(err)
	}
	if err := c.Start(p, fds[0], nil); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		unix.Close(peer)
		<-gone
		_ = p.Close()
	})
	request := "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := unix.Write(peer, []byte(request)); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1024)
	if n, err := unix.Read(peer, buf); n < 4 || err != nil || string(buf[n-4:n]) != "\r\n\r\n" {
		b.Fatal(n, err)
	}
	return c, peer
}

// masked is a client's binary frame of up to 125 bytes, with a key that is not zero.
func masked(size int) []byte {
	f := []byte{0x82, 0x80 | byte(size), 0, 0, 0, 0}
	binary.BigEndian.PutUint32(f[2:], 0xa15e07ff)
	return append(f, make([]byte, size)...)
}

// readFull reads exactly len(buf) bytes from a descriptor that blocks.
func readFull(b *testing.B, fd int, buf []byte) {
	b.Helper()
	for len(buf) > 0 {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			b.Fatal(n, err)
		}
		buf = buf[n:]
	}
}

// BenchmarkEcho is a whole round trip: the peer's write, event, hand-over to a
// worker, read, parser, handler, write, the peer's read.
func BenchmarkEcho(b *testing.B) {
	_, peer := benchPair(b, answering{})
	in, out := masked(120), make([]byte, 2+120)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := unix.Write(peer, in); err != nil {
			b.Fatal(err)
		}
		readFull(b, peer, out)
	}
}

// BenchmarkEchoBurst is an echo of 64 messages that arrive and leave together;
// one operation is one message.
func BenchmarkEchoBurst(b *testing.B) {
	const burst = 64
	_, peer := benchPair(b, answering{})
	var in []byte
	for range burst {
		in = append(in, masked(120)...)
	}
	out := make([]byte, burst*(2+120))
	b.ReportAllocs()
	b.ResetTimer()
	for range (b.N + burst - 1) / burst {
		if _, err := unix.Write(peer, in); err != nil {
			b.Fatal(err)
		}
		readFull(b, peer, out)
	}
}

// BenchmarkSend writes one frame straight to the kernel, as a broadcast does for
// each connection. The peer reads every 64th time.
func BenchmarkSend(b *testing.B) {
	shared := frame.Prepare(frame.Binary, make([]byte, 128))
	for _, bm := range []struct {
		name string
		send func(c *Conn) error
	}{
		{"prepared", func(c *Conn) error { return c.Send(shared) }},
		{"payload", func(c *Conn) error { return c.Write(frame.Binary, shared.Payload()) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			const burst = 64
			c, peer := benchPair(b, nobody{})
			out := make([]byte, burst*len(shared.Bytes()))
			waiting := 0
			b.ReportAllocs()
			for b.Loop() {
				if err := bm.send(c); err != nil {
					b.Fatal(err)
				}
				if waiting++; waiting == burst {
					readFull(b, peer, out)
					waiting = 0
				}
			}
		})
	}
}

// BenchmarkConflate replaces frames in a queue that holds as many keys as it may with
// the default limits: a single one, the newest or oldest there or any, or a
// batch of 256, in the order they have there or in any.
func BenchmarkConflate(b *testing.B) {
	const keys, batch = 512, 256
	g := NewGroup(Config{SlowConsumer: Conflate})
	var all []part
	for i := range keys {
		s := new(Shared)
		s.Set(frame.Prepare(frame.Text, make([]byte, 40)).Bytes(), 1)
		s.SetKey(fmt.Sprintf("ticker/key-%03d", i))
		all = append(all, part{Shared: s})
	}
	for _, bm := range []struct {
		name string
		at   func(i int) []part
	}{
		{"newest", func(int) []part { return all[keys-1:] }},
		{"oldest", func(i int) []part { return all[i%keys:][:1] }},
		{"any", func(int) []part { return all[rand.IntN(keys):][:1] }},
		{"batch", func(i int) []part { return all[i%(keys/batch)*batch:][:batch] }},
		{"batch-in-disorder", func(i int) []part {
			some := all[i%(keys/batch)*batch:][:batch]
			rand.Shuffle(batch, func(i, j int) { some[i], some[j] = some[j], some[i] })
			return some
		}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			var o outbound
			o.shareEach(g, all, 0)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				some := bm.at(i)
				o.supersede(g, some)
				o.shareEach(g, some, 0)
				i++
			}
			o.discard(g)
		})
	}
}
