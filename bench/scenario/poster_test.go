package scenario_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"roost/bench/scenario"
)

// postTo is a URL that publishes at s what it accepts.
func postTo(t *testing.T, s *server, accept func(n int64, r *http.Request) bool) (url string) {
	t.Helper()
	var posts atomic.Int64
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || !accept(posts.Add(1), r) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s.publish(ws.NewBinaryFrame(body))
	}))
	t.Cleanup(h.Close)
	return h.URL + "/publish"
}

// TestPublishOverHTTP has several requests under way, which may overtake each
// other: their order is nobody's fault, and not looked at.
func TestPublishOverHTTP(t *testing.T) {
	for _, rate := range []string{"0", "1000/s"} {
		s := new(server).start(t)
		opt := options()
		opt.InFlight, opt.Rate = 3, pace(t, rate)
		opt.PublishURL = postTo(t, s, func(_ int64, r *http.Request) bool { return r.Header.Get("Content-Type") == "application/octet-stream" })
		opt.Messages = 20
		r := play(t, t.Context(), scenario.NameBroadcast, 5, config(s), opt)
		m := r.Parts[0].Messages
		if m.Sent != 20 || m.Refused != 0 || m.Expected != 100 || m.Received != 100 || m.Missing != 0 || m.DistinctOrders != 1 || m.FanOut.Count != 20 {
			t.Errorf("rate %s: %+v, want 20 messages to 5 connections", rate, m)
		}
	}
}

func TestPublishOneByOneOverHTTP(t *testing.T) {
	s := new(server).start(t)
	opt := options()
	opt.InFlight, opt.PublishURL = 1, postTo(t, s, func(int64, *http.Request) bool { return true })
	r := play(t, t.Context(), scenario.NameBroadcast, 5, config(s), opt)
	passed(t, r) // in order, too
}

func TestPublishRefused(t *testing.T) {
	s := new(server).start(t)
	opt := options()
	opt.InFlight, opt.PublishURL = 1, postTo(t, s, func(n int64, _ *http.Request) bool { return n%5 != 0 })
	r := play(t, t.Context(), scenario.NameBroadcast, 5, config(s), opt)
	failedWith(t, r, "4 of 20 messages were refused by the URL that publishes")
	if m := r.Parts[0].Messages; m.Sent != 20 || m.Refused != 4 || m.Expected != 80 || m.Received != 80 || m.Missing != 0 || m.ConnsIncomplete != 0 {
		t.Errorf("messages %+v, want the 16 that were taken to arrive", m)
	}
}

// TestPublishInterrupted ends a run whose URL does not answer.
func TestPublishInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := new(server).start(t)
	opt := options()
	opt.PublishURL = postTo(t, s, func(n int64, r *http.Request) bool {
		if n > 3 {
			cancel()
			<-r.Context().Done() // until the client gives up
		}
		return true
	})
	r := play(t, ctx, scenario.NameBroadcast, 5, impatient(s), opt)
	if m := r.Parts[0].Messages; !r.Interrupted || m.Sent < 4 || m.Missing == 0 {
		t.Errorf("interrupted %v, messages %+v; want those without an answer to be missing", r.Interrupted, m)
	}
}
