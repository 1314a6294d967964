package scenario_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"roost/bench"
	"roost/bench/scenario"
)

// wrapped has the server put each message into one of its own.
func wrapped(_, _ int, f ws.Frame) []ws.Frame {
	return []ws.Frame{ws.NewTextFrame(fmt.Appendf(nil, `{"from":"x","body":%s}`, f.Payload))}
}

func TestTemplatesWithAStamp(t *testing.T) {
	opt := options()
	opt.Payload = scenario.Payload{Text: true, Templates: []string{`{"id":"{{stamp}}","n":{{seq}}}`, `{"n":{{seq}},"at":{{time}},"by":{{conn}},"id":"{{stamp}}"}`}}
	for _, name := range []string{scenario.NameEcho, scenario.NameBroadcast} {
		r := play(t, t.Context(), name, 5, config((&server{echo: name == scenario.NameEcho, deliver: wrapped}).start(t)), opt)
		passed(t, r)
		if m := r.Parts[0].Messages; m.Received != 100 || m.Foreign != 0 || m.Payload != "2 text templates" {
			t.Errorf("%s: %+v, want 100 recognised", name, m)
		}
	}
}

// TestTemplatesAreFilledIn reads what arrives at the server.
func TestTemplatesAreFilledIn(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	s := &server{echo: true, deliver: func(_, _ int, f ws.Frame) []ws.Frame {
		mu.Lock()
		seen = append(seen, string(f.Payload))
		mu.Unlock()
		return []ws.Frame{f}
	}}
	opt := options()
	opt.Messages, opt.Payload = 3, scenario.Payload{Text: true, Templates: []string{"a {{conn}} {{seq}}", "b {{conn}} {{seq}} {{other}}"}}
	passed(t, play(t, t.Context(), scenario.NameEcho, 2, config(s.start(t)), opt))
	slices.Sort(seen)
	if want := []string{"a 0 1", "a 0 3", "a 1 1", "a 1 3", "b 0 2 {{other}}", "b 1 2 {{other}}"}; !slices.Equal(seen, want) {
		t.Errorf("the server received %q, want %q", seen, want)
	}
}

func TestTemplatesWithoutAStamp(t *testing.T) {
	t.Parallel()
	faulty := func(k int) func(int, int, ws.Frame) []ws.Frame {
		return func(n, at int, f ws.Frame) []ws.Frame {
			switch {
			case n != 2 || at != k:
				return []ws.Frame{f}
			case k == 7:
				return nil
			}
			return []ws.Frame{f, f} // the last one: one too many
		}
	}
	for _, test := range []struct {
		name, preset     string
		deliver          func(int, int, ws.Frame) []ws.Frame
		missing, foreign int64
	}{
		{"echo", scenario.NameEcho, wrapped, 0, 0},
		{"echo, lost", scenario.NameEcho, faulty(7), 1, 0},
		{"echo, twice", scenario.NameEcho, faulty(19), 0, 1},
		{"broadcast", scenario.NameBroadcast, wrapped, 0, 0},
		{"broadcast, lost", scenario.NameBroadcast, faulty(7), 1, 0},
		{"broadcast, twice", scenario.NameBroadcast, faulty(19), 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			opt := options()
			opt.Publishers, opt.InFlight, opt.Payload = 1, 3, scenario.Payload{Text: true, Templates: []string{"hello", "again"}}
			s := &server{echo: test.preset == scenario.NameEcho, deliver: test.deliver}
			cfg := config(s.start(t))
			if test.missing > 0 {
				cfg = impatient(s)
			}
			r := play(t, t.Context(), test.preset, 5, cfg, opt)
			m := r.Parts[0].Messages
			if m.Missing != test.missing || m.Foreign != test.foreign || m.Received != 100-test.missing || m.Latency.Count != m.Received {
				t.Errorf("%+v, want %d missing and %d foreign", m, test.missing, test.foreign)
			}
			if r.Passed() != (test.missing == 0) || !strings.Contains(m.Payload, "matched by order") {
				t.Errorf("problems %q, payload %q", r.Problems, m.Payload)
			}
		})
	}
}

func TestPayloadFile(t *testing.T) {
	opt := options()
	opt.Payload.File = writeFile(t, "lines.txt", "one {{stamp}}\ntwo {{stamp}}\n")
	opt.Payload.Bytes = ""
	r := play(t, t.Context(), scenario.NameEcho, 5, config((&server{echo: true}).start(t)), opt)
	passed(t, r)
	if !slices.ContainsFunc(r.Parts, func(p bench.Part) bool { return p.Messages.Payload == "2 binary templates" }) {
		t.Errorf("parts %+v, want the two lines", r.Parts)
	}
}
