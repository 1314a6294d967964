package scenario_test

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/bench/scenario"
)

func TestMixHoldsTheOthers(t *testing.T) {
	opt := options()
	opt.Active = 3
	r := play(t, t.Context(), scenario.NameMix, 10, config((&server{echo: true}).start(t)), opt)
	passed(t, r)
	if len(r.Parts) != 2 || r.Parts[0].Name != "echo" || r.Parts[0].Conns != 3 || r.Parts[1].Name != "hold" || r.Parts[1].Conns != 7 {
		t.Fatalf("parts %+v, want 3 that echo and 7 that are held", r.Parts)
	}
	if m, h := r.Parts[0].Messages, r.Parts[1].Hold; m.Received != 60 || m.Expected != 60 || h.Open != 7 || h.Ponged != 7 || h.Messages != 0 {
		t.Errorf("messages %+v, hold %+v; want 60 echoes and 7 held", m, h)
	}
}

// TestGroupsOfAllKinds has a room, an echo and a churn beside each other, of
// which the server tells nothing apart: it publishes to all.
func TestGroupsOfAllKinds(t *testing.T) {
	s := new(server)
	spec := scenario.Spec{Duration: 50 * time.Millisecond, Groups: []scenario.Group{
		{Role: scenario.Hold, Conns: 3},
		{Role: scenario.Listen, Conns: 4},
		{Name: "a", Role: scenario.Publish, Conns: 2, Messages: 10},
		{Name: "b", Role: scenario.Publish, Conns: 1, Messages: 10, Rate: pace(t, "500/s"), Payload: scenario.Payload{Bytes: "48-90", Text: true}},
	}}
	r := playSpec(t, t.Context(), config(s.start(t)), spec)
	passed(t, r)
	hold, room := r.Parts[0], r.Parts[1]
	if hold.Hold.Messages != 60 || hold.Hold.Ponged != 3 {
		t.Errorf("hold %+v, want 3 connections that see 20 messages each", hold.Hold)
	}
	if m := room.Messages; room.Conns != 7 || m.Sent != 20 || m.Received != 140 || m.DistinctOrders != 1 || m.FanOut.Count != 20 ||
		!strings.Contains(m.Load, "closed loop, 1 in flight") || !strings.Contains(m.Load, "500/s in all") || !strings.Contains(m.Payload, "48 to 90 bytes, text") {
		t.Errorf("room %+v, want 20 messages of both groups to 7", m)
	}
}

func TestSubscribe(t *testing.T) {
	var mu sync.Mutex
	var joined []string
	s := &server{text: func(_ *peer, payload []byte) {
		mu.Lock()
		joined = append(joined, string(payload))
		mu.Unlock()
	}}
	opt := options()
	opt.Subscribe = "join {{conn}}"
	passed(t, play(t, t.Context(), scenario.NameBroadcast, 3, config(s.start(t)), opt))
	s.stop()
	if slices.Sort(joined); !slices.Equal(joined, []string{"join 0", "join 1", "join 2"}) {
		t.Errorf("subscribed %q, want each connection once", joined)
	}
}

func TestExpectIgnoresOthers(t *testing.T) {
	greet := func(_ int, p *peer) { p.send(ws.NewTextFrame([]byte("welcome"))) }
	for expect, foreign := range map[string]int64{"": 10, "^rstb": 0, "welcome|^rstb": 10} {
		s := &server{opened: greet}
		opt := options()
		opt.Expect = expect
		r := play(t, t.Context(), scenario.NameBroadcast, 10, config(s.start(t)), opt)
		passed(t, r)
		if m := r.Parts[0].Messages; m.Foreign != foreign || m.Received != 200 {
			t.Errorf("expect %q: %+v, want %d foreign messages", expect, m, foreign)
		}
	}
}

func TestSubprotocolIsAgreed(t *testing.T) {
	choose := func(name string) func(int, net.Conn) bool {
		return func(_ int, c net.Conn) bool {
			chosen := ""
			upgrader := ws.Upgrader{Protocol: func(offer []byte) bool { chosen = string(offer); return chosen == name }}
			shaken, err := upgrader.Upgrade(c)
			return err == nil && shaken.Protocol == name
		}
	}
	cfg := config((&server{handshake: choose("chat.v1")}).start(t))
	cfg.Subprotocols = []string{"chat.v2", "chat.v1"}
	passed(t, play(t, t.Context(), scenario.NameBroadcast, 3, cfg, options()))

	other := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: soap\r\n\r\n"
	cfg.URLs = []string{(&server{handshake: answer(other, true)}).start(t).url}
	r := play(t, t.Context(), scenario.NameBroadcast, 3, cfg, options())
	failedWith(t, r, "3 failed")
	if !strings.Contains(r.Failures[0].Reason, "subprotocol that was not offered") {
		t.Errorf("failures %+v, want the subprotocol named", r.Failures)
	}
}

func TestWarmUpByNumber(t *testing.T) {
	opt := options()
	opt.WarmUpMessages = 5
	r := play(t, t.Context(), scenario.NameEcho, 10, config((&server{echo: true}).start(t)), opt)
	passed(t, r)
	if m := r.Parts[0].Messages; m.Sent != 200 || m.WarmUp != 50 || m.Received != 200 || m.Latency.Count != 150 {
		t.Errorf("echo %+v, want 5 of 20 of each connection to be warm-up", m)
	}
	r = play(t, t.Context(), scenario.NameBroadcast, 30, config(new(server).start(t)), opt)
	passed(t, r)
	if m := r.Parts[0].Messages; m.Sent != 20 || m.WarmUp != 10 || m.Received != 600 || m.Latency.Count != 300 || m.FanOut.Count != 10 {
		t.Errorf("broadcast %+v, want 5 of 10 of both publishers to be warm-up", m)
	}
}

func TestWarmUpByTime(t *testing.T) {
	opt := options()
	opt.Messages, opt.WarmUp, opt.Duration = 0, 50*time.Millisecond, 50*time.Millisecond
	for _, rate := range []string{"0", "2000/s"} {
		opt.Rate = pace(t, rate)
		r := play(t, t.Context(), scenario.NameEcho, 10, config((&server{echo: true}).start(t)), opt)
		passed(t, r)
		if m := r.Parts[0].Messages; m.WarmUp == 0 || m.Received != m.Sent || m.Latency.Count != m.Sent-m.WarmUp {
			t.Errorf("rate %s: %+v, want the latencies of what was sent after the warm-up", rate, m)
		}
		var phases []string
		for _, p := range r.Phases {
			phases = append(phases, p.Name)
		}
		if !slices.Equal(phases, []string{"open", "settle", "warm-up", "measure", "drain"}) {
			t.Errorf("phases %v", phases)
		}
	}
}

func TestNothingButWarmUpFails(t *testing.T) {
	opt := options()
	opt.WarmUpMessages = 20
	r := play(t, t.Context(), scenario.NameEcho, 10, config((&server{echo: true}).start(t)), opt)
	failedWith(t, r, "nothing was measured")
	if !strings.Contains(strings.Join(r.Warnings, "\n"), "part of the warm-up") {
		t.Errorf("warnings %q do not say why", r.Warnings)
	}
}

// TestDrainIsBounded has the server keep back one delivery.
func TestDrainIsBounded(t *testing.T) {
	s := &server{deliver: func(n, k int, f ws.Frame) []ws.Frame {
		if n == 3 && k == 4 {
			return nil
		}
		return []ws.Frame{f}
	}}
	opt := options()
	opt.Drain = 50 * time.Millisecond
	cfg := config(s.start(t))
	cfg.Timeout = time.Hour // must not be what ends it
	r := play(t, t.Context(), scenario.NameBroadcast, 10, cfg, opt)
	failedWith(t, r, "1 of 200 deliveries are missing")
	failedWith(t, r, "gave up 50ms after the last message was sent")
	if m := r.Parts[0].Messages; m.InTime || m.Received != 199 {
		t.Errorf("messages %+v, want all but one", m)
	}
}
