package bench

import (
	"bytes"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// TestReadSlowly sends more than a slow reader takes: the sender must stand
// still while messages go on coming out whole, and the end must be seen.
func TestReadSlowly(t *testing.T) {
	const size, rate = 1000, 200_000 // bytes; 40,000 per turn
	var sent, stalls atomic.Int64
	var enough atomic.Bool
	url := serve(t, func(c net.Conn) {
		c.(*net.TCPConn).SetWriteBuffer(4096)
		if _, err := ws.ReadFrame(c); err != nil {
			return
		}
		frame := ws.MustCompileFrame(ws.NewTextFrame(bytes.Repeat([]byte("m"), size)))
		for rest := frame; !enough.Load() || len(rest) < len(frame); {
			// A write that takes a while is how a blocking sender meets backpressure.
			c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
			n, err := c.Write(rest)
			if rest = rest[n:]; len(rest) == 0 {
				rest = frame
				sent.Add(1)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				stalls.Add(1)
			} else if err != nil {
				return
			}
		}
		c.SetWriteDeadline(time.Time{})
		ws.WriteFrame(c, ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "")))
		ws.ReadFrame(c) // the answer
	})
	d := newDriven(t, Config{URLs: []string{url}, Conns: 1})
	var since time.Duration
	d.onOpen = func(c *Conn) {
		since = d.Now()
		d.ReadSlowly(c, 1)
		d.ReadSlowly(c, rate) // the last rate counts, and reads no more often
		d.Send(c, OpText, []byte("go"))
	}
	d.Dial(Dial{To: 1, ReceiveBytes: 64 << 10})
	d.until("read", func() bool {
		turns := int64((d.Now()-since)/slowTurn) + 1
		if got := int64(d.count) * size; got > turns*rate/5 {
			t.Fatalf("%d bytes in %d turns of %v, at %d bytes per second", got, turns, slowTurn, rate)
		}
		return d.count >= 150 && stalls.Load() >= 3
	})
	enough.Store(true)
	d.until("end", func() bool { return len(d.ended) == 1 })
	if int64(d.count) != sent.Load() || strings.Count(strings.Join(d.messages, ""), "m") != d.count*size {
		t.Errorf("%d messages read of %d sent", d.count, sent.Load())
	}
	if d.ended[0] != 1001 || d.OpenCount() != 0 || d.sockets != 0 {
		t.Errorf("ended with %d, %d open, %d sockets; want 1001", d.ended[0], d.OpenCount(), d.sockets)
	}
	if wait := d.slow.advance(d.Client, d.Now()+slowTurn); wait > slowTurn || len(d.slow.tokens) != 0 {
		t.Errorf("%d slow readers are left", len(d.slow.tokens))
	}
}

// TestSlowReadersSlotIsReadFastAgain: slowness ends with the connection.
func TestSlowReadersSlotIsReadFastAgain(t *testing.T) {
	d := newDriven(t, Config{URLs: []string{serve(t, func(c net.Conn) {
		ws.WriteFrame(c, ws.NewTextFrame(bytes.Repeat([]byte("m"), 300_000)))
		hold(c)
	})}, Conns: 1})
	d.onOpen = func(c *Conn) {
		if len(d.opened) == 1 {
			d.ReadSlowly(c, 5)
			d.Abort(c, true)
		}
	}
	d.Dial(Dial{To: 1, Recycle: true})
	// At five bytes per second this would take most of a day.
	d.until("read", func() bool { return d.count == 1 })
}
