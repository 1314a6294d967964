package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
)

// TestWatch samples this process until its third look, so over two seconds.
func TestWatch(t *testing.T) {
	var looks atomic.Int64
	third := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := looks.Add(1)
		if n == 3 {
			close(third)
		}
		fmt.Fprintln(w, "looks", n)
	}))
	defer s.Close()
	scrape, err := NewScrape(s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	w := StartWatch(os.Getpid(), scrape, Monotonic())
	<-third
	seconds := make([]Second, 600)
	for i := range seconds {
		seconds[i].Start = float64(i)
	}
	for range 2 { // the second time brings nothing else
		w.Stop(seconds)
	}
	var sampled, scraped int
	for i := range seconds {
		if s := seconds[i].Server; s != nil {
			sampled++
			if s.Threads < 1 || s.Descriptors < 3 || s.RSSBytes < 1<<20 || s.CPUCores < 0 || s.CPUCores != s.UserCores+s.SystemCores || s.ContextSwitches <= 0 {
				t.Errorf("second %d: %+v; want this process", i, *s)
			}
		}
		if m := seconds[i].Metrics; m != nil {
			scraped++
			if m["looks"] < 2 || len(m) != 1 {
				t.Errorf("second %d: metrics %v", i, m)
			}
		}
	}
	// The first look ends no second, and the third answer may have been cut short.
	if sampled != 2 || scraped < 1 || scraped > 2 {
		t.Errorf("%d seconds sampled and %d scraped, want 2 and 1 or 2", sampled, scraped)
	}
}

func TestWatchOfNothing(t *testing.T) {
	for _, pid := range []int{0, 1 << 30} {
		w := StartWatch(pid, nil, 0)
		seconds := make([]Second, 3)
		w.Stop(seconds)
		for i := range seconds {
			if seconds[i].Server != nil || seconds[i].Metrics != nil {
				t.Errorf("process %d, second %d: %+v", pid, i, seconds[i])
			}
		}
	}
}

func TestContextSwitchesNeverFall(t *testing.T) {
	last := usageSample{switches: 100}
	now := usageSample{switches: 40}
	now.at = last.at.Add(1e9)
	if s := now.since(last); s.ContextSwitches != 0 {
		t.Errorf("%v switches a second after a thread has ended, want 0", s.ContextSwitches)
	}
}
