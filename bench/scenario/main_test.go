package scenario_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"roost/bench"
	"roost/bench/fleet"
	"roost/bench/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options are what the tests start from: no pause, small numbers.
func options() scenario.Options {
	return scenario.Options{Payload: scenario.Payload{Bytes: "64"}, Messages: 20, InFlight: 2, Publishers: 2}
}

// config is for servers that answer: its timeouts only end a test of broken code.
func config(s *server) bench.Config {
	return bench.Config{URLs: []string{s.url}, Timeout: 20 * time.Second, CloseTimeout: 20 * time.Second}
}

// impatient is for servers that withhold something, so that the timeouts are met.
func impatient(s *server) bench.Config {
	cfg := config(s)
	cfg.Timeout, cfg.CloseTimeout = time.Second, time.Second
	return cfg
}

// play runs a preset in this process.
func play(t *testing.T, ctx context.Context, name string, conns int, cfg bench.Config, opt scenario.Options) *bench.Result {
	t.Helper()
	opt.Conns = conns
	spec, err := scenario.Preset(name, opt)
	if err != nil {
		t.Fatal(err)
	}
	return playSpec(t, ctx, cfg, spec)
}

func playSpec(t *testing.T, ctx context.Context, cfg bench.Config, spec scenario.Spec) *bench.Result {
	t.Helper()
	r, err := fleet.Run(ctx, fleet.Order{Config: cfg, Spec: spec, Processes: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pace(t *testing.T, text string) bench.Pace {
	t.Helper()
	p, err := bench.ParsePace(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func passed(t *testing.T, r *bench.Result) {
	t.Helper()
	if !r.Passed() {
		t.Fatalf("failed: %q, failures %+v", r.Problems, r.Failures)
	}
}

// failedWith checks that a problem contains the words.
func failedWith(t *testing.T, r *bench.Result, words string) {
	t.Helper()
	if !strings.Contains(strings.Join(r.Problems, "\n"), words) {
		t.Fatalf("problems %q do not mention %q", r.Problems, words)
	}
}

func closes(r *bench.Result) map[int]int64 {
	m := map[int]int64{}
	for _, c := range r.Closes {
		m[c.Code] = c.Count
	}
	return m
}
