//go:build linux

package conn

import (
	"testing"

	"golang.org/x/sys/unix"

	"roost/conn/handshake"
	"roost/poller"
)

// A worker may run a connection before Start has returned to it, and whom the request waits
// for may answer as fast.
func TestReleasedBeforeStartHasBegun(t *testing.T) {
	p, g, gone, server, client := refusing(t)
	c := New(g)
	asked := 0
	ran := make(chan bool, 8)
	g.Seat = func(c *Conn, _ *handshake.Request) *Refusal {
		if asked++; asked > 1 {
			return nil
		}
		c.Hold()
		c.Release()
		return Later
	}
	request := "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := unix.Write(client, []byte(request)); err != nil {
		t.Fatal(err)
	}
	if err := p.Register(&c.reg, server, watched{c, ran}); err != nil {
		t.Fatal(err)
	}
	for later := false; !later; {
		later = <-ran
	}
	c.begin(false)
	until(t, func() bool { return c.State() == StateOpen })
	_ = unix.Close(client)
	<-gone
}

// watched tells of each time that a connection has run, whether its Seat was left open.
type watched struct {
	*Conn
	ran chan bool
}

func (w watched) Ready(on *poller.Worker, ev poller.Events) poller.Next {
	next := w.Conn.Ready(on, ev)
	select {
	case w.ran <- w.Conn.in != nil && w.Conn.in.later:
	default: // nobody asks any more
	}
	return next
}
