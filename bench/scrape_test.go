package bench

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const exposition = `# HELP conns_open Connections open.
# TYPE conns_open gauge
conns_open 12
# TYPE messages_total counter
messages_total{topic="a",kind="text"} 3
messages_total{topic="b \"quoted\"",kind="binary"} 4.5e3
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.1"} 2
wait_seconds_bucket{le="+Inf"} 7
wait_seconds_sum 1.25
wait_seconds_count 7
# TYPE size_bytes summary
size_bytes{quantile="0.5"} 10
size_bytes_sum 99
size_bytes_count 9
plain -1
`

func serveText(t *testing.T, status int, text string) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestScrape(t *testing.T) {
	url := serveText(t, http.StatusOK, exposition)
	all := map[string]float64{
		"conns_open": 12, `messages_total{topic="a",kind="text"}`: 3, `messages_total{topic="b \"quoted\"",kind="binary"}`: 4500,
		"wait_seconds_sum": 1.25, "wait_seconds_count": 7, "size_bytes_sum": 99, "size_bytes_count": 9, "plain": -1,
	}
	for match, want := range map[string]map[string]float64{
		"":                 all,
		"^conns_":          {"conns_open": 12},
		`topic="a"`:        {`messages_total{topic="a",kind="text"}`: 3},
		"_count$|^plain$":  {"wait_seconds_count": 7, "size_bytes_count": 9, "plain": -1},
		"wait_seconds_sum": {"wait_seconds_sum": 1.25},
	} {
		s, err := NewScrape(url, match)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := s.Read(t.Context()); err != nil || !maps.Equal(got, want) {
				t.Errorf("matching %q: %v, error %v; want %v", match, got, err, want)
			}
		}
	}
}

func TestScrapeKeepsTheFirstSeries(t *testing.T) {
	var text strings.Builder
	for i := range 3 * maxSeries {
		fmt.Fprintf(&text, "m%04d 1\n", 3*maxSeries-1-i)
	}
	s, err := NewScrape(serveText(t, http.StatusOK, text.String()), "[02468]$")
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Read(t.Context())
	if err != nil || len(got) != maxSeries {
		t.Fatalf("%d series, error %v; want %d", len(got), err, maxSeries)
	}
	for i := range maxSeries {
		if _, ok := got[fmt.Sprintf("m%04d", 2*i)]; !ok {
			t.Fatalf("m%04d is not among the first %d", 2*i, maxSeries)
		}
	}
}

func TestScrapeErrors(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:9", "ws://127.0.0.1:9/metrics", "http://", "http:///metrics", "http://127.0.0.1:x/", ":"} {
		if _, err := NewScrape(url, ""); err == nil || !strings.Contains(err.Error(), "want http://host:port/metrics") {
			t.Errorf("%q: error %v", url, err)
		}
	}
	if _, err := NewScrape("http://127.0.0.1:9/metrics", "("); err == nil || !strings.HasPrefix(err.Error(), "metrics: ") {
		t.Errorf("a broken expression: error %v", err)
	}
	for _, test := range []struct {
		status      int
		text, match string
		want        string
	}{
		{http.StatusNotFound, exposition, "", "404 Not Found"},
		{http.StatusOK, "<html>hello</html>", "", "metrics: http://"},
		{http.StatusOK, "", "", "no series matches"},
		{http.StatusOK, exposition, "nothing", "no series matches"},
	} {
		s, err := NewScrape(serveText(t, test.status, test.text), test.match)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%d %.10q: %v, error %v; want %q", test.status, test.text, got, err, test.want)
		}
	}
	s, err := NewScrape("http://127.0.0.1:1/metrics", "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Read(t.Context()); err == nil {
		t.Errorf("%v where nobody listens", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := s.Read(ctx); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("%v of a context that has ended, error %v", got, err)
	}
}
