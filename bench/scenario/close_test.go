package scenario_test

import (
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/bench/scenario"
)

// TestExpectedClose has the server close everyone when the last has joined.
func TestExpectedClose(t *testing.T) {
	const conns = 20
	for _, test := range []struct {
		name   string
		code   ws.StatusCode
		expect int
		cut    int // connections that end without a close frame
		pass   bool
		closes map[int]int64
	}{
		{"as expected", 1001, 1001, 0, true, map[int]int64{1001: conns}},
		{"nothing expected", 1001, 0, 0, false, map[int]int64{1001: conns}},
		{"another code", 1012, 1001, 0, false, map[int]int64{1012: conns}},
		{"one without a close frame", 1001, 1001, 1, false, map[int]int64{1001: conns - 1, 1006: 1}},
	} {
		for _, name := range []string{scenario.NameIdle, scenario.NameBroadcast, scenario.NameEcho} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				var joined sync.WaitGroup
				joined.Add(conns)
				s := &server{opened: func(int, *peer) { joined.Done() }, echo: name == scenario.NameEcho}
				s.start(t)
				s.wg.Go(func() {
					joined.Wait()
					for _, p := range s.peers[:test.cut] {
						p.cut()
					}
					s.closeAll(test.code)
				})
				opt := options()
				opt.ExpectClose, opt.Messages = test.expect, 0
				cfg := config(s)
				cfg.Timeout = time.Minute // the end must come from the closes
				r := play(t, t.Context(), name, conns, cfg, opt)
				if r.Passed() != test.pass {
					t.Errorf("passed %v, want %v: %q", r.Passed(), test.pass, r.Problems)
				}
				got := closes(r)
				for code, n := range test.closes {
					if got[code] != n || len(got) != len(test.closes) {
						t.Errorf("closes %v, want %v", got, test.closes)
					}
				}
				if s.stop(); test.cut == 0 && len(s.codes) != conns {
					t.Errorf("%d close frames answered, want %d", len(s.codes), conns)
				}
			})
		}
	}
}

func TestExpectedCloseNeverComes(t *testing.T) {
	t.Parallel()
	opt := options()
	opt.ExpectClose = 1001
	r := play(t, t.Context(), scenario.NameBroadcast, 5, impatient(new(server).start(t)), opt)
	failedWith(t, r, "expected the server to close all 5 connections with 1001, 0 were")
	if r.Parts[0].Messages.Missing != 0 {
		t.Errorf("%d missing, want the messages to have arrived", r.Parts[0].Messages.Missing)
	}
}
