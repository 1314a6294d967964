package scenario_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/bench"
	"roost/bench/scenario"
)

// victim serves a room, survives what attackers do, and notes what that was.
type victim struct {
	url string

	mu    sync.Mutex
	peers map[net.Conn]bool
	seen  map[string]int
}

func startVictim(t *testing.T, scheme string) *victim {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{url: scheme + "://" + l.Addr().String() + "/", peers: map[net.Conn]bool{}, seen: map[string]int{}}
	if scheme == "wss" {
		l = secured(l)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { v.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return v
}

func (v *victim) note(what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen[what]++
}

func (v *victim) serve(c net.Conn) {
	defer c.Close()
	defer func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.peers, c)
	}()
	var head strings.Builder
	if _, err := ws.Upgrade(struct {
		io.Reader
		io.Writer
	}{io.TeeReader(c, &head), c}); err != nil {
		switch text := head.String(); {
		case text == "":
			v.note("nothing sent")
		case strings.HasSuffix(text, "Connection: Upg"):
			v.note("half a request")
		case strings.HasSuffix(text, "xxx"):
			v.note("a byte at a time")
		}
		return
	}
	v.mu.Lock()
	v.peers[c] = true
	v.mu.Unlock()
	for v.frame(c) {
	}
}

func (v *victim) frame(c net.Conn) bool {
	h, err := ws.ReadHeader(c)
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		v.note("reset after the handshake")
		return false
	case err != nil:
		return false
	case !h.Masked:
		v.note("no mask")
		return false
	case h.Length > 1<<20:
		v.note("huge length")
		c.Write(ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1009, ""))))
		return false
	}
	payload := make([]byte, h.Length)
	if n, err := io.ReadFull(c, payload); err != nil {
		if n == 10 {
			v.note("half a message")
		}
		return false
	}
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpPing:
		v.note("ping")
	case ws.OpClose:
		v.note("close")
		c.Write(ws.MustCompileFrame(ws.NewCloseFrame(payload)))
		return false
	case ws.OpBinary:
		v.mu.Lock()
		defer v.mu.Unlock()
		for peer := range v.peers {
			peer.SetWriteDeadline(time.Now().Add(20 * time.Second)) // only broken code meets it
			peer.Write(ws.MustCompileFrame(ws.NewBinaryFrame(payload)))
		}
	}
	return true
}

func TestEveryAttackIsMade(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) { everyAttack(t, scheme) })
	}
}

func everyAttack(t *testing.T, scheme string) {
	t.Helper()
	v := startVictim(t, scheme)
	attacks := scenario.Attacks()
	r := play(t, t.Context(), scenario.NameHostile, 30, bench.Config{
		URLs: []string{v.url}, Timeout: 20 * time.Second, TLS: bench.TLS{Insecure: scheme == "wss"},
	}, scenario.Options{
		Active: 10, WarmUp: 200 * time.Millisecond, Duration: time.Second, Rate: pace(t, "50/s"), Tolerate: 1e6,
		Payload: scenario.Payload{Bytes: "64"},
	})
	passed(t, r)
	m := r.Parts[0].Messages
	if m.Expected != m.Sent*10 || m.Received != m.Expected || m.Before == nil {
		t.Errorf("the healthy: %+v, want everything delivered to 10, and the latency before", m)
	}
	if len(r.Parts) != 1+len(attacks) {
		t.Fatalf("%d parts, want one for the healthy and %d attacks", len(r.Parts), len(attacks))
	}
	for i, p := range r.Parts[1:] {
		if h := p.Hostile; h.Attack != string(attacks[i]) || h.Opened < 2 || p.Conns != 2 {
			t.Errorf("%s: %+v, want 2 connections or more", attacks[i], h)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, what := range []string{
		"nothing sent", "half a request", "a byte at a time", "reset after the handshake", "no mask", "huge length", "half a message", "ping", "close",
	} {
		if v.seen[what] == 0 {
			t.Errorf("the server never saw %q; it saw %v", what, v.seen)
		}
	}
}

// The verdict on the healthy follows from the two distributions alone.
func TestAttackThatCostsTheHealthyFails(t *testing.T) {
	sum := func(before, under time.Duration) *scenario.Report {
		traffic := &scenario.Traffic{Room: true, Sent: 2, Members: 1, Received: 2, Counted: 1, Latency: bench.NewRecorder(), Before: bench.NewRecorder()}
		traffic.Before.Record(before)
		traffic.Latency.Record(under)
		return &scenario.Report{Dialled: bench.NoneDialled(), Parts: []scenario.PartReport{{Name: "healthy", Role: "room", Traffic: traffic}}}
	}
	spec := scenario.Spec{Groups: []scenario.Group{{Role: scenario.Hostile, Attack: scenario.Unmasked, Conns: 1}}}
	for _, test := range []struct {
		tolerate      float64
		before, under time.Duration
		problem       string
	}{
		{0, time.Millisecond, 2900 * time.Microsecond, ""},
		{0, time.Millisecond, 3100 * time.Microsecond, "p99 is 3.1"},
		{10, time.Millisecond, 9 * time.Millisecond, ""},
	} {
		spec.Tolerate = test.tolerate
		r := scenario.Conclude(scenario.Run{Spec: spec}, sum(test.before, test.under))
		if found := strings.Join(r.Problems, "\n"); (test.problem == "") != (found == "") || !strings.Contains(found, test.problem) {
			t.Errorf("%v before, %v under attack: problems %q, want %q", test.before, test.under, found, test.problem)
		}
	}
}

func TestHostileOptions(t *testing.T) {
	for _, test := range []struct {
		opt  scenario.Options
		want string
	}{
		{scenario.Options{Conns: 100, Attacks: []scenario.Attack{"shouting"}}, `attack: "shouting"`},
		{scenario.Options{Conns: 5}, "1 or more for each of 10 attacks"},
		{scenario.Options{Conns: 100, Tolerate: 0.5}, "tolerate: 0.5"},
		{scenario.Options{Conns: 100, Active: 1}, "1 of 100 are healthy"},
	} {
		spec, err := scenario.Preset(scenario.NameHostile, test.opt)
		if err = errors.Join(err, spec.Validate()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.opt, err, test.want)
		}
	}
}
