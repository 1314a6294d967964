//go:build linux

package admin_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"roost/conn/admin"
	"roost/conn/conntest"
	"roost/conn/server"
)

func TestMain(m *testing.M) { conntest.Main(m) }

// rig is a server with its admin listener.
type rig struct {
	t      *testing.T
	server *server.Server
	addr   string // of the server
	admin  *admin.Listener
	client *http.Client // without connections of its own
}

// start starts both; config may be changed by the options.
func start(t *testing.T, sc server.Config, options ...func(*admin.Config)) *rig {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	metrics := admin.NewMetrics()
	if sc.Listen == nil {
		sc.Listen = []string{"127.0.0.1:0"}
	}
	hook := sc.OnFanOut
	sc.Log, sc.OnFanOut, sc.OnWait = quiet, metrics.FanOut, metrics.Wait
	if hook != nil {
		sc.OnFanOut = func(took time.Duration) { metrics.FanOut(took); hook(took) }
	}
	srv, err := server.New(sc)
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	ac := admin.Config{Server: srv, Metrics: metrics, Addr: "127.0.0.1:0", Version: "v1.2.3-test", Log: quiet}
	for _, option := range options {
		option(&ac)
	}
	l, err := admin.New(ac)
	if err == nil {
		err = l.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t, srv, srv.Addrs()[0].String(), l, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: conntest.Patience}}
	t.Cleanup(func() { _ = l.Close() })
	return r
}

// do asks for path; headers are names and values in turn.
func (r *rig) do(method, path string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+r.admin.Addr()+path, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		r.t.Fatal(err)
	}
	return res, string(body)
}

// want asks and fails unless the answer has the status and contains every part.
func (r *rig) want(status int, method, path string, parts ...string) string {
	r.t.Helper()
	res, body := r.do(method, path)
	if res.StatusCode != status {
		r.t.Errorf("%s %s: status %d, want %d: %s", method, path, res.StatusCode, status, body)
	}
	for _, part := range parts {
		if !strings.Contains(body, part) {
			r.t.Errorf("%s %s: %q is not in %q", method, path, part, body)
		}
	}
	return body
}

// eventually polls what nothing announces. The bound is for broken code.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(conntest.Patience); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
