package selftest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// serverVariable makes the test program the server.
const serverVariable = "ROOST_BENCH_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) != "" {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func server() *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), serverVariable+"=1", "GORACE=atexit_sleep_ms=0") // else a second each with -race
	return cmd
}

// short is a load for a machine that is busy with other tests: half of the
// freeze is less than would be missed if the freeze were not seen.
var short = load{conns: 5, rate: "1000/s", duration: 1200 * time.Millisecond, before: 400 * time.Millisecond, freeze: 300 * time.Millisecond, tolerance: 0.5}

func TestTruthIsFound(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), short, server, &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	for _, what := range []string{"p90", "p95", "p99 ", "lost", "p99 does not see it", "max does", "nobody listens", "nothing but warm-up"} {
		if strings.Count(out.String(), what) < 1 {
			t.Errorf("%q is not among the checks:\n%s", what, out.String())
		}
	}
}

// TestAFaultIsFound asks for what cannot be: percentiles without any error.
func TestAFaultIsFound(t *testing.T) {
	l := short
	l.tolerance = 0
	var out strings.Builder
	if err := run(t.Context(), l, server, &out); !errors.Is(err, ErrFailed) || strings.Count(out.String(), "FAILED") < 3 {
		t.Errorf("error %v, want every percentile to fail\n%s", err, out.String())
	}
}

func TestWhatCannotBeChecked(t *testing.T) {
	var out strings.Builder
	none := func() *exec.Cmd { return exec.Command("/nonexistent") }
	if err := run(t.Context(), short, none, &out); err == nil || !strings.Contains(err.Error(), "server process: ") {
		t.Errorf("error %v, want that the server does not start", err)
	}
	mute := func() *exec.Cmd { return exec.Command("true") }
	if err := run(t.Context(), short, mute, &out); err == nil {
		t.Error("no error of a server that gives no address")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, short, server, &out); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}
