package scenario_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/bench/scenario"
)

func TestEcho(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		deliver func(n, k int, f ws.Frame) []ws.Frame
		problem string
	}{
		{"whole", nil, ""},
		{"lost", func(n, k int, f ws.Frame) []ws.Frame {
			if n == 2 && k == 7 {
				return nil
			}
			return []ws.Frame{f}
		}, "1 of 200 deliveries are missing, on 1 connection"},
		{"as text", func(n, k int, f ws.Frame) []ws.Frame {
			return []ws.Frame{ws.NewTextFrame(f.Payload)}
		}, "other content"},
		{"of another connection", func(n, k int, f ws.Frame) []ws.Frame {
			changed := bytes.Clone(f.Payload)
			changed[8] ^= 1
			return []ws.Frame{ws.NewBinaryFrame(changed)}
		}, "to the wrong connection"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := &server{echo: true, deliver: test.deliver}
			cfg := config(s.start(t))
			if test.problem != "" {
				cfg = impatient(s)
			}
			r := play(t, t.Context(), scenario.NameEcho, 10, cfg, options())
			if test.problem != "" {
				failedWith(t, r, test.problem)
				return
			}
			passed(t, r)
			if m := r.Parts[0].Messages; m.Planned != 200 || m.Sent != 200 || m.Received != 200 || m.Latency.Count != 200 {
				t.Errorf("messages %+v, want 200", m)
			}
		})
	}
}

func TestEchoForSomeTime(t *testing.T) {
	opt := options()
	opt.Messages, opt.Duration = 0, 50*time.Millisecond
	s := &server{echo: true}
	r := play(t, t.Context(), scenario.NameEcho, 10, config(s.start(t)), opt)
	passed(t, r)
	if m := r.Parts[0].Messages; m.Received < 20 || m.Missing != 0 || m.Seconds <= 0 {
		t.Errorf("messages %+v, want at least the first of each", m)
	}
}
