package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roost/bench"
	"roost/bench/fleet"
	"roost/bench/scenario"
)

// freeAddress is a loopback address at which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestExec starts a server, measures it and stops it.
func TestExec(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, processes} {
		address := freeAddress(t)
		o, w := order(t, "ws://"+address+"/", scenario.NameBroadcast, n, broadcast())
		o.Exec = fmt.Sprintf("env %s=%s '%s'", serverVariable, address, program)
		before := descriptors(t)
		r := run(t, o)
		passed(t, r)
		if s := r.Server; s == nil || s.Command != o.Exec || s.PID == 0 || s.PID == os.Getpid() || s.RSSBeforeBytes == 0 || s.RSSEndBytes == 0 {
			t.Errorf("server %+v, want the one that was started to be measured", r.Server)
		}
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Error("the server still listens")
		}
		if _, err := bench.ReadProcess(r.Server.PID); err == nil {
			t.Errorf("process %d is still there", r.Server.PID)
		}
		if after := descriptors(t); after > before {
			t.Errorf("%d descriptors open, %d before the run", after, before)
		}
		if n == 1 {
			n = 0
		}
		w.gone(t, n)
	}
}

func TestExecThatFails(t *testing.T) {
	taken := new(server).start(t).listener.Addr().String()
	for _, test := range []struct {
		command, address string
		words            []string
	}{
		{"sh -c 'echo no such option >&2; exit 3'", freeAddress(t), []string{"ended before it listened", "exit status 3", "no such option"}},
		{"/nonexistent --fast", freeAddress(t), []string{"ended before it listened", "/nonexistent"}},
		{"true", freeAddress(t), []string{"ended before it listened"}},
		{"true", taken, []string{"something listens at " + taken + " already"}},
	} {
		o, _ := order(t, "ws://"+test.address+"/", scenario.NameIdle, 1, scenario.Options{Conns: 1})
		o.Exec = test.command
		_, err := fleet.Run(t.Context(), o)
		for _, word := range test.words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: error %v, want %q", test.command, err, word)
			}
		}
	}
}

// TestExecInterrupted ends the wait for a server that never listens, and the server.
func TestExecInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o, _ := order(t, "ws://"+freeAddress(t)+"/", scenario.NameIdle, 1, scenario.Options{Conns: 1})
	o.Exec = "sleep 600"
	if _, err := fleet.Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}

// TestServerIsWatched reads the memory of this very process, and metrics that
// count how often they are read; the run ends with the second whole second.
func TestServerIsWatched(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var reads atomic.Int64
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := reads.Add(1)
		fmt.Fprintf(w, "# TYPE reads_total counter\nreads_total %d\n# TYPE other gauge\nother 1\n", n)
		if n == 6 { // before, opened, begin; at once, after one second, after two
			cancel()
		}
	}))
	defer h.Close()
	opt := scenario.Options{Conns: 20} // no duration: until interrupted
	o, _ := order(t, new(server).start(t).url, scenario.NameIdle, processes, opt)
	o.PID = os.Getpid()
	var err error
	if o.Metrics, err = bench.NewScrape(h.URL, "reads"); err != nil {
		t.Fatal(err)
	}
	r, err := fleet.Run(ctx, o)
	http.DefaultClient.CloseIdleConnections()
	if err != nil {
		t.Fatal(err)
	}
	passed(t, r)
	s := r.Server
	if s == nil || s.PID != os.Getpid() || s.Command != "" || s.RSSBeforeBytes == 0 || s.RSSOpenBytes == 0 || s.RSSEndBytes == 0 {
		t.Fatalf("server %+v, want the memory of this process", s)
	}
	change := s.Metrics["reads_total"]
	if len(s.Metrics) != 1 || change.Before < 1 || change.After <= change.Before {
		t.Errorf("metrics %v, want the one that matches, and it to grow", s.Metrics)
	}
	if len(r.Seconds) == 0 || r.Seconds[0].Server == nil || r.Seconds[0].Server.RSSBytes == 0 || r.Seconds[0].Metrics["reads_total"] == 0 {
		t.Errorf("seconds %+v, want the server in the first", r.Seconds)
	}
}

func TestMetricsThatAreNotThere(t *testing.T) {
	o, _ := order(t, new(server).start(t).url, scenario.NameIdle, 1, scenario.Options{Conns: 1, Duration: time.Millisecond})
	var err error
	if o.Metrics, err = bench.NewScrape("http://"+freeAddress(t)+"/metrics", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := fleet.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "metrics: ") {
		t.Errorf("error %v before the run, want that nothing answers", err)
	}
}
