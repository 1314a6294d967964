package scenario_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"roost/bench/scenario"
)

// afterDrop has the attempts after the first conns answered by again, which is
// told how many came before.
func afterDrop(conns int, again func(n int, c net.Conn) bool) func(int, net.Conn) bool {
	return func(n int, c net.Conn) bool {
		if n >= conns {
			return again(n-conns, c)
		}
		_, err := ws.Upgrade(c)
		return err == nil
	}
}

// TestStormComesBack refuses the first five that come back: they must try again.
func TestStormComesBack(t *testing.T) {
	const conns, refused = 20, 5
	refuse := answer("HTTP/1.1 503 Service Unavailable\r\n\r\n", false)
	for how, end := range map[string]error{"": unix.ECONNRESET, scenario.LeaveRST: unix.ECONNRESET, scenario.LeaveFIN: io.EOF} {
		s := &server{handshake: afterDrop(conns, func(n int, c net.Conn) bool {
			if n < refused {
				return refuse(n, c)
			}
			_, err := ws.Upgrade(c)
			return err == nil
		})}
		opt := options()
		opt.Leave = how
		r := play(t, t.Context(), scenario.NameStorm, conns, config(s.start(t)), opt)
		passed(t, r)
		storm := r.Parts[0].Storm
		if storm.Dropped != conns || storm.Back != conns || storm.Failed != refused || storm.Handshake.Count != conns {
			t.Errorf("storm %+v, want %d dropped and back, %d refused", storm, conns, refused)
		}
		// The refused wait before they try again, so the last is back after that.
		if storm.HalfSeconds <= 0 || storm.MostSeconds < storm.HalfSeconds || storm.AllSeconds < 0.25 {
			t.Errorf("storm %+v, want half back before most, and all after the pause of 250 ms", storm)
		}
		if s.stop(); len(s.ends) != conns {
			t.Errorf("%d connections dropped at the server, want %d", len(s.ends), conns)
		}
		for _, err := range s.ends {
			if !errors.Is(err, end) {
				t.Errorf("leave %q: the server saw %v, want %v", how, err, end)
			}
		}
	}
}

// TestStormIsBoundedByItsDuration meets a server that never answers again.
func TestStormIsBoundedByItsDuration(t *testing.T) {
	const conns = 10
	s := &server{handshake: afterDrop(conns, func(_ int, c net.Conn) bool {
		io.Copy(io.Discard, c)
		return false
	})}
	opt := options()
	opt.Duration = 50 * time.Millisecond
	cfg := config(s.start(t))
	cfg.Timeout, cfg.HandshakeTimeout = time.Hour, time.Hour // neither may end it
	r := play(t, t.Context(), scenario.NameStorm, conns, cfg, opt)
	failedWith(t, r, "10 of 10 connections did not come back in time")
	if storm := r.Parts[0].Storm; storm.Back != 0 || storm.HalfSeconds != 0 || storm.AllSeconds != 0 || r.Opening.Opened != conns {
		t.Errorf("storm %+v, want nobody back", storm)
	}
}
