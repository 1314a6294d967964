//go:build linux

package server

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
)

// lines is a log, line by line.
type lines struct{ conntest.Log }

// with returns the lines that hold all of some.
func (l *lines) with(some ...string) (found []string) {
next:
	for line := range strings.Lines(l.String()) {
		for _, s := range some {
			if !strings.Contains(line, s) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

func (l *lines) await(t *testing.T, some ...string) {
	t.Helper()
	for deadline := time.Now().Add(conntest.Patience); len(l.with(some...)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log has no line with %q:\n%s", some, strings.Join(l.with(), ""))
		}
	}
}

// hasty starts a server whose log has a summary of every few milliseconds.
func hasty(t *testing.T, config Config) (*Server, string, *lines) {
	t.Helper()
	log := new(lines)
	config.Listen = []string{"127.0.0.1:0"}
	config.Log = slog.New(slog.NewTextHandler(log, nil)) // at info
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	s.sweeper.slowest, s.summary.every = often, time.Millisecond
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, s.Addrs()[0].String(), log
}

// Each reason has a line, with one of those whom it met; ends that clients chose have none.
func TestSummary(t *testing.T) {
	_, addr, log := hasty(t, Config{Handler: Push(), MaxMessage: 10})
	bad, big, fine := conntest.Dial(t, addr, "/ws"), conntest.Dial(t, addr, "/ws"), conntest.Dial(t, addr, "/ws")
	bad.Raw([]byte{0xff, 0xff})
	if code := bad.Closed(); code != ws.StatusProtocolError {
		t.Error(code)
	}
	_ = bad.Close()
	log.await(t, "level=WARN", "reason=protocol-error", "connections=1", "one-of-them="+bad.LocalAddr().String())
	big.Text("longer than allowed")
	if code := big.Closed(); code != ws.StatusMessageTooBig {
		t.Error(code)
	}
	_ = big.Close()
	_ = fine.Close()
	log.await(t, "level=WARN", "reason=too-big", "connections=1", "one-of-them="+big.LocalAddr().String())
	if got := log.with("peer-gone"); got != nil {
		t.Errorf("a client that leaves is news: %s", got)
	}
	if got := log.with("reason=protocol-error"); len(got) != 1 {
		t.Errorf("told again: %s", got)
	}
}

// A slow consumer has one line when it falls behind, and one when it has caught up.
func TestSlowConsumerIsLoggedOnce(t *testing.T) {
	s, addr, log := hasty(t, Config{Handler: Echo(), SlowConsumer: conn.Drop, WriteQueueFrames: 4})
	slow := conntest.Dial(t, addr, "/ws")
	peer := "peer=" + slow.LocalAddr().String()
	for big := frame.Prepare(frame.Binary, make([]byte, 256<<10)); s.Stats().Dropped < 5; {
		if err := s.Hub().BroadcastWait(t.Context(), big); err != nil {
			t.Fatal(err)
		}
		if err := s.Hub().Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	log.await(t, "level=WARN", "slow consumer", peer, "queued-frames=4")
	if got := log.with("caught up"); got != nil {
		t.Errorf("too early: %s", got)
	}
	slow.Text("done")
	for {
		if op, p, err := slow.Next(); err != nil {
			t.Fatal(err)
		} else if op == ws.OpText && string(p) == "done" {
			break
		}
	}
	log.await(t, "level=INFO", "caught up", peer, "dropped=")
	if got := log.with("slow consumer", peer); len(got) != 2 {
		t.Errorf("want two lines: %s", got)
	}
}

func TestSlowConsumerIsLoggedWhenItIsClosed(t *testing.T) {
	s, addr, log := hasty(t, Config{Handler: Echo(), WriteQueueFrames: 4})
	slow := conntest.Dial(t, addr, "/ws")
	for big := frame.Prepare(frame.Binary, make([]byte, 256<<10)); s.Clients() > 0; {
		if err := s.Hub().BroadcastWait(t.Context(), big); err != nil {
			t.Fatal(err)
		}
		if err := s.Hub().Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	log.await(t, "level=WARN", "it is closed", "peer="+slow.LocalAddr().String(), "queued-frames=4")
}

// However many are slow, the log gets a bounded number of lines.
func TestSlowConsumersAreNotAFlood(t *testing.T) {
	m := newSummary(nil)
	taken := 0
	for range 10 * slowLines {
		if m.slowConsumer(conn.Slow{What: conn.Lagging}) {
			taken++
			<-m.slow
		}
	}
	if taken != slowLines {
		t.Errorf("%d lines in a period, want %d", taken, slowLines)
	}
}
