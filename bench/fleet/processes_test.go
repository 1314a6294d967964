package fleet_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"roost/bench"
	"roost/bench/fleet"
	"roost/bench/scenario"
)

const processes = 3

func broadcast() scenario.Options {
	return scenario.Options{Conns: 30, Publishers: 6, Messages: 60, InFlight: 2}
}

func TestProcessesAddUp(t *testing.T) {
	o, w := order(t, new(server).start(t).url, scenario.NameBroadcast, processes, broadcast())
	r := run(t, o)
	passed(t, r)
	w.gone(t, processes)
	m := r.Parts[0].Messages
	if m.Sent != 60 || m.Planned != 60 || m.Expected != 1800 || m.Received != 1800 || m.Missing != 0 || m.Latency.Count != 1800 ||
		m.FanOut == nil || m.FanOut.Count != 60 || m.DistinctOrders != 1 {
		t.Errorf("messages %+v, want 60 messages to 30 connections in one order", m)
	}
	if m.Latency.Min < 0 || m.FanOut.Max < m.Latency.Min || m.FanOut.Max > m.Latency.Max+m.Latency.Max/500+1 {
		t.Errorf("latency %+v, fan-out %+v; want the longest fan-out to be a delivery's latency", m.Latency, m.FanOut)
	}
	if r.Opening.Opened != 30 || r.Opening.Handshake.Count != 30 || r.Closing.Answered != 30 || r.Plan.Processes != processes || r.Client.Processes != processes {
		t.Errorf("opening %+v, closing %+v, plan %+v; want 30 by 3 processes", r.Opening, r.Closing, r.Plan)
	}
	var sent, deliveries int64
	for _, s := range r.Seconds {
		sent += s.Sent
		deliveries += s.Deliveries
	}
	if sent != 60 || deliveries != 1800 {
		t.Errorf("%d sent and %d delivered by second, want 60 and 1800", sent, deliveries)
	}
}

// TestProcessesCountOnce has one fault on one connection, whichever process has it.
func TestProcessesCountOnce(t *testing.T) {
	type counts struct{ missing, duplicate, outOfOrder, corrupt, foreign, incomplete int64 }
	var kept []byte
	for name, test := range map[string]struct {
		fault func(k int, b []byte) [][]byte
		want  counts
		fans  int64 // messages that all have
	}{
		"lost": {func(k int, b []byte) [][]byte {
			if k == 4 {
				return nil
			}
			return [][]byte{b}
		}, counts{missing: 1, incomplete: 1}, 19},
		"duplicate": {func(k int, b []byte) [][]byte {
			if k == 4 {
				return [][]byte{b, b}
			}
			return [][]byte{b}
		}, counts{duplicate: 1}, 20},
		"swapped": {func(k int, b []byte) [][]byte {
			switch k {
			case 4:
				kept = bytes.Clone(b)
				return nil
			case 5:
				return [][]byte{b, kept}
			}
			return [][]byte{b}
		}, counts{outOfOrder: 1}, 20},
		"another byte": {func(k int, b []byte) [][]byte {
			if k == 4 {
				b = bytes.Clone(b)
				b[40] ^= 1
			}
			return [][]byte{b}
		}, counts{missing: 1, corrupt: 1, incomplete: 1}, 19},
		"of another run": {func(k int, b []byte) [][]byte {
			if k == 4 {
				other := bytes.Clone(b)
				other[4] ^= 1
				return [][]byte{b, other}
			}
			return [][]byte{b}
		}, counts{foreign: 1}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{deliver: func(n, k int, b []byte) [][]byte {
				if n != 3 {
					return [][]byte{b}
				}
				return test.fault(k, b)
			}}
			opt := broadcast()
			opt.Publishers, opt.Messages = 1, 20
			o, _ := order(t, s.start(t).url, scenario.NameBroadcast, processes, opt)
			if test.want.missing > 0 {
				o.Config.Timeout = time.Second
			}
			r := run(t, o)
			m := r.Parts[0].Messages
			if got := (counts{m.Missing, m.Duplicate, m.OutOfOrder, m.Corrupt, m.Foreign, m.ConnsIncomplete}); got != test.want || m.FanOut.Count != test.fans {
				t.Errorf("counted %+v and %d whole messages, want %+v and %d", got, m.FanOut.Count, test.want, test.fans)
			}
			if clean := test.want == (counts{foreign: 1}); r.Passed() != clean {
				t.Errorf("passed %v: %q", r.Passed(), r.Problems)
			}
		})
	}
}

// TestProcessesNumberTheirConnections has every connection say who it is.
func TestProcessesNumberTheirConnections(t *testing.T) {
	s := &server{echo: true}
	o, _ := order(t, s.start(t).url, scenario.NameMix, processes, scenario.Options{
		Conns: 9, Active: 6, Messages: 1, Subscribe: "join {{conn}}", Payload: scenario.Payload{Templates: []string{"{{stamp}} of {{conn}}"}},
	})
	var senders []string
	s.deliver = func(_, _ int, b []byte) [][]byte {
		_, sender, _ := strings.Cut(string(b), " of ")
		senders = append(senders, sender)
		return [][]byte{b}
	}
	passed(t, run(t, o))
	s.stop()
	var joins []string
	for i := range 9 {
		joins = append(joins, fmt.Sprintf("join %d", i))
	}
	if slices.Sort(s.texts); !slices.Equal(s.texts, joins) {
		t.Errorf("subscribed %q, want %q", s.texts, joins)
	}
	if slices.Sort(senders); !slices.Equal(senders, []string{"0", "1", "2", "3", "4", "5"}) {
		t.Errorf("senders %q, want each once", senders)
	}
}

// TestEchoOfAnotherProcess swaps the messages of two connections, which have the
// same slot in different processes.
func TestEchoOfAnotherProcess(t *testing.T) {
	var first *peer
	var kept []byte
	s := &server{echo: true}
	s.deliver = func(n, _ int, b []byte) [][]byte {
		own := s.peers[slices.IndexFunc(s.peers, func(p *peer) bool { return p.n == n })]
		if first == nil {
			first, kept = own, bytes.Clone(b)
			return nil
		}
		s.deliver = nil
		s.write(first, b)
		return [][]byte{kept}
	}
	o, _ := order(t, s.start(t).url, scenario.NameEcho, 2, scenario.Options{Conns: 2, Messages: 1})
	o.Config.Timeout = time.Second
	r := run(t, o)
	if m := r.Parts[0].Messages; m.Corrupt != 2 || m.Missing != 2 || m.Received != 0 || r.Passed() {
		t.Errorf("messages %+v, want both at the wrong connection", m)
	}
}

// interruptions name the phase in which a run is to end.
var interruptions = map[string]struct {
	server func() *server
	opt    func(*scenario.Options)
}{
	"open":    {func() *server { return &server{silent: true} }, func(*scenario.Options) {}},
	"settle":  {func() *server { return new(server) }, func(o *scenario.Options) { o.Settle = time.Hour }},
	"warm-up": {func() *server { return new(server) }, func(o *scenario.Options) { o.Messages, o.WarmUp = 0, time.Hour }},
	"measure": {func() *server { return new(server) }, func(o *scenario.Options) { o.Messages = 0 }},
	"drain": {func() *server {
		return &server{deliver: func(n, k int, b []byte) [][]byte {
			if n == 3 && k == 4 {
				return nil // this one is waited for
			}
			return [][]byte{b}
		}}
	}, func(*scenario.Options) {}},
}

func TestInterrupted(t *testing.T) {
	for phase, test := range interruptions {
		for _, n := range []int{1, processes} {
			t.Run(fmt.Sprintf("%s/%d", phase, n), func(t *testing.T) {
				s := test.server()
				opt := broadcast()
				test.opt(&opt)
				o, w := order(t, s.start(t).url, scenario.NameBroadcast, n, opt)
				o.Config.HandshakeTimeout = time.Hour
				before := descriptors(t)
				ctx, cancel := context.WithCancel(t.Context())
				o.Config.Progress = func(s bench.Snapshot) {
					if s.Phase == phase {
						cancel()
					}
				}
				r, err := fleet.Run(ctx, o)
				if err != nil {
					t.Fatal(err)
				}
				if !r.Interrupted || len(r.Parts) != 1 || !strings.Contains(strings.Join(r.Warnings, "\n"), "interrupted") {
					t.Errorf("interrupted %v, parts %+v, warnings %q; want a report of what was found", r.Interrupted, r.Parts, r.Warnings)
				}
				if m := r.Parts[0].Messages; phase == "measure" && (m.Missing != 0 || !r.Passed()) {
					t.Errorf("messages %+v, problems %q; want what was under way to have arrived", m, r.Problems)
				}
				if n == 1 {
					n = 0 // the agent plays in this process
				}
				w.gone(t, n)
				s.stop()
				if after := descriptors(t); after >= before { // the listener has gone
					t.Errorf("%d descriptors open, %d before the run and with the listener", after, before)
				}
			})
		}
	}
}

// TestKilledWorker kills one of the workers: the others wait for it, and must end.
func TestKilledWorker(t *testing.T) {
	for _, phase := range []string{"settle", "measure"} {
		opt := broadcast()
		opt.Messages = 0
		if phase == "settle" {
			opt.Settle = time.Hour
		}
		o, w := order(t, new(server).start(t).url, scenario.NameBroadcast, processes, opt)
		o.Config.Timeout = time.Hour
		o.Config.Progress = func(s bench.Snapshot) {
			if s.Phase == phase {
				w.all[1].Process.Kill()
			}
		}
		_, err := fleet.Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("worker process %d ended before its report", w.all[1].Process.Pid)) {
			t.Errorf("%s: error %v, want the process that ended", phase, err)
		}
		w.gone(t, processes)
	}
}

// TestWorkerThatDoesNotStart has one that is no program, after one that is.
func TestWorkerThatDoesNotStart(t *testing.T) {
	o, w := order(t, new(server).start(t).url, scenario.NameBroadcast, processes, broadcast())
	o.Worker = func() *exec.Cmd {
		cmd := w.make()
		if len(w.all) == 2 {
			cmd.Path = "/nonexistent"
		}
		return cmd
	}
	_, err := fleet.Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "worker process: ") || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("error %v, want what could not be started", err)
	}
	if w.all[0].ProcessState == nil {
		t.Error("the first process is still there")
	}
}

func TestServeWithoutAJob(t *testing.T) {
	for _, in := range []string{"", "hello\n", "{}\n", `{"Stop":true}`} {
		var out strings.Builder
		if err := fleet.Serve(strings.NewReader(in), &out); err == nil || !strings.Contains(err.Error(), "no job on standard input") || out.Len() > 0 {
			t.Errorf("%q: error %v, output %q", in, err, out.String())
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	plain := scenario.Options{Conns: 30, Messages: 1}
	for words, change := range map[string]func(*fleet.Order){
		"no command to start them":             func(o *fleet.Order) { o.Worker = nil },
		"put {{stamp}} into the template":      func(o *fleet.Order) { o.Spec.Groups[1].Payload.Templates = []string{"hello"} },
		"processes: 257":                       func(o *fleet.Order) { o.Processes = 257 },
		"pid: -1":                              func(o *fleet.Order) { o.PID = -1 },
		"want one of them":                     func(o *fleet.Order) { o.PID, o.Exec = 1, "true" },
		"settle: -1s\nurl: \"http://x\", want": func(o *fleet.Order) { o.Spec.Settle, o.Config.URLs = -time.Second, []string{"http://x"} },
		"process 1073741824: ":                 func(o *fleet.Order) { o.PID, o.Processes = 1<<30, 1 },
	} {
		o, _ := order(t, "ws://127.0.0.1:1/", scenario.NameBroadcast, processes, plain)
		change(&o)
		_, err := fleet.Run(t.Context(), o)
		for _, word := range strings.Split(words, "\n") {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("error %v, want %q", err, word)
			}
		}
	}
}
