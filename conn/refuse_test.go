//go:build linux

package conn

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"roost/conn/handshake"
	"roost/poller"
)

// refusing is a poller, a group that tells who has gone, and a socketpair.
func refusing(t *testing.T) (p *poller.Poller, g *Group, gone chan *Conn, server, client int) {
	t.Helper()
	gone = make(chan *Conn, 1)
	g = NewGroup(Config{
		Handler: nobody{}, Log: slog.New(slog.DiscardHandler),
		Policy: &handshake.Policy{Path: "/", MaxHead: 8192, MaxHeaders: 100},
		Gone:   func(c *Conn, _ bool) { gone <- c },
	})
	p, err := poller.New(poller.Config{Reactors: 1, Workers: 1, Buffer: 16 << 10, NewScratch: NewScratch,
		OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p, g, gone, fds[0], fds[1]
}

// A flood takes those who have not said anything, not those whose request waits for a
// worker.
func TestFloodSparesThoseWhoHaveSpoken(t *testing.T) {
	p, g, gone, server, client := refusing(t)
	defer unix.Close(client)
	c := New(g)
	c.Pause() // nobody reads it
	if err := c.Start(p, server, []byte("G")); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.HandshakeAge(); !ok {
		t.Error("no request is awaited")
	}
	if _, err := unix.Write(client, []byte("ET")); err != nil {
		t.Fatal(err)
	}
	if c.Shed(ReasonHandshakeFlood) || c.State() != StateHandshaking {
		t.Fatal("cut off with a request on its way")
	}
	c.Resume()
	until(t, func() bool { return c.Shed(ReasonHandshakeFlood) })
	if <-gone != c || g.Stats.Ended[ReasonHandshakeFlood].Load() != 1 {
		t.Error("it is not counted")
	}
}

// Both ways to refuse give the whole answer, and end with its reason.
func TestRefusals(t *testing.T) {
	r := NewRefusal(http.StatusTooManyRequests, ReasonAcceptRatePerIP, "later.")
	for name, refuse := range map[string]func(*Conn, *poller.Poller, int) error{
		"watched":   func(c *Conn, p *poller.Poller, fd int) error { return c.StartRefused(p, fd, r) },
		"unwatched": func(c *Conn, _ *poller.Poller, fd int) error { c.RefuseUnwatched(fd, r); return nil },
		"unwatched for want of a poller": func(c *Conn, p *poller.Poller, fd int) error {
			_ = p.Close()
			if err := c.StartRefused(p, fd, r); err != poller.ErrClosed {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, g, gone, server, client := refusing(t)
			c := New(g)
			if _, err := unix.Write(client, []byte("GET")); err != nil {
				t.Fatal(err)
			}
			if err := refuse(c, p, server); err != nil {
				t.Fatal(err)
			}
			if err := unix.SetNonblock(client, false); err != nil {
				t.Fatal(err)
			}
			f := os.NewFile(uintptr(client), "client")
			if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, r.Response) {
				t.Errorf("%q, %v", got, err)
			}
			_ = f.Close()
			if <-gone != c || g.Stats.Ended[ReasonAcceptRatePerIP].Load() != 1 || c.State() != StateClosed {
				t.Error("it is not counted")
			}
			if st := &g.Stats; st.Handshaking.Load() != 0 || st.Closing.Load() != 0 {
				t.Error("a gauge is off")
			}
		})
	}
}

// TestRefusedDuringShutdown: the hub shows a connection to everybody before the poller
// knows it.
func TestRefusedDuringShutdown(t *testing.T) {
	p, g, gone, server, client := refusing(t)
	defer unix.Close(client)
	c := New(g)
	c.Shutdown()
	if err := c.StartRefused(p, server, Overloaded); err != nil {
		t.Fatal(err)
	}
	if <-gone != c || g.Stats.Ended[ReasonShutdown].Load() != 1 {
		t.Error("it has not ended, or for another reason")
	}
}
