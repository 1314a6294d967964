//go:build linux

package admin_test

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"roost/conn/admin"
	"roost/conn/conntest"
	"roost/conn/server"
)

const token = "a token of 22 letters."

func withToken(c *admin.Config) { c.Token = token }

func TestHealthAndReadiness(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo(), Limits: server.Limits{MaxConns: 1}}, withToken)
	// Neither asks for the token, nor minds a name.
	for _, path := range []string{"/healthz", "/readyz"} {
		if res, body := r.do("GET", path, "Host", "pod.example"); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
		r.want(http.StatusMethodNotAllowed, "POST", path)
	}
	c := conntest.Dial(t, r.addr, "/ws")
	r.want(http.StatusServiceUnavailable, "GET", "/readyz", "not ready: ", "--max-conns")
	_ = c.Close()
	eventually(t, "ready again", func() bool { return r.server.Ready() == nil })
	r.want(http.StatusOK, "GET", "/readyz", "ready")

	// While the server drains it is alive and not ready, and the listener tells so.
	held := conntest.Dial(t, r.addr, "/ws")
	done := make(chan error, 1)
	go func() { done <- r.server.Shutdown(context.Background()) }()
	if _, _, err := held.Next(); err != nil { // the close frame, which it does not answer yet
		t.Fatal(err)
	}
	r.want(http.StatusServiceUnavailable, "GET", "/readyz", "draining")
	r.want(http.StatusOK, "GET", "/healthz", "ok")
	_ = held.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.want(http.StatusServiceUnavailable, "GET", "/readyz")
	r.want(http.StatusOK, "GET", "/healthz")
}

func TestPaths(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	for path, contentType := range map[string]string{
		"/": "text/html; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/app.js": "text/javascript; charset=utf-8",
		"/plot.js": "text/javascript; charset=utf-8", "/icon.svg": "image/svg+xml",
		"/metrics": "text/plain; version=0.0.4; charset=utf-8", "/debug/pprof/": "text/html; charset=utf-8", "/debug/pprof/cmdline": "text/plain; charset=utf-8",
		"/debug/pprof/goroutine?debug=1": "text/plain; charset=utf-8", "/debug/pprof/trace?seconds=1": "application/octet-stream",
		"/debug/conns": "text/plain; charset=utf-8", "/debug/density": "text/plain; charset=utf-8",
	} {
		res, body := r.do("GET", path)
		if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || !strings.HasPrefix(got, contentType) || body == "" {
			t.Errorf("%s: status %d, %q, %d bytes", path, res.StatusCode, got, len(body))
		}
		if !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, res.Header)
		}
	}
	for _, path := range []string{"/index.html", "/web/app.js", "/nothing", "/debug/", "/ws"} {
		r.want(http.StatusNotFound, "GET", path)
	}
	for _, path := range []string{"/", "/metrics", "/events", "/debug/conns", "/debug/density", "/debug/pprof/", "/debug/pprof/profile"} {
		r.want(http.StatusMethodNotAllowed, "POST", path)
	}
	r.want(http.StatusMethodNotAllowed, "GET", "/debug/conns/1-1/close")
	for _, bad := range []string{"0", "-1", "x", "301", "1.5", "1e9"} {
		r.want(http.StatusBadRequest, "GET", "/debug/pprof/profile?seconds="+bad, "want 1 to 300")
		r.want(http.StatusBadRequest, "GET", "/debug/pprof/heap?seconds="+bad, "want 1 to 300")
	}
}

func TestConfigFaults(t *testing.T) {
	srv, err := server.New(server.Config{Listen: []string{":0"}, Handler: server.Echo()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr, token string
		want        error // nil: only that it fails
		ok          bool
	}{
		{addr: "127.0.0.1:0", ok: true}, {addr: "127.9.9.9:0", ok: true}, {addr: "[::1]:0", ok: true}, {addr: "localhost:0", ok: true},
		{addr: "LOCALHOST:80", ok: true}, {addr: "[::ffff:127.0.0.1]:1", ok: true}, {addr: "unix:/x", ok: true},
		{addr: ":8001", want: admin.ErrTokenMissing}, {addr: "0.0.0.0:8001", want: admin.ErrTokenMissing},
		{addr: "[::]:8001", want: admin.ErrTokenMissing}, {addr: "192.0.2.1:8001", want: admin.ErrTokenMissing},
		{addr: "localhost.example:8001", want: admin.ErrTokenMissing},
		{addr: ":8001", token: strings.Repeat("x", 15), want: admin.ErrTokenShort},
		{addr: "127.0.0.1:8001", token: "x", want: admin.ErrTokenShort},
		{addr: ":8001", token: strings.Repeat("x", 16), ok: true}, {addr: "example.com:http", token: token, ok: true},
		{addr: ""}, {addr: "8001"}, {addr: "127.0.0.1"}, {addr: "127.0.0.1:port"}, {addr: "127.0.0.1:65536"},
		{addr: "unix:"}, {addr: "unix:@roost"}, {addr: "unix:/a\x00b"}, {addr: "unix:/" + strings.Repeat("x", 107)},
	} {
		_, err := admin.New(admin.Config{Server: srv, Addr: c.addr, Token: c.token})
		if c.ok != (err == nil) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%q with a token of %d: %v", c.addr, len(c.token), err)
		}
		if err != nil && c.token != "" && c.token != "x" && strings.Contains(err.Error(), c.token) {
			t.Errorf("the error tells the token: %v", err)
		}
	}
	if _, err := admin.New(admin.Config{Addr: "nowhere"}); err == nil || !strings.Contains(err.Error(), "no server\n") || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("not every fault is told: %v", err)
	}
}

func TestStartAndClose(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	if err := r.admin.Start(); err != admin.ErrStarted {
		t.Errorf("started twice: %v", err)
	}
	second, err := admin.New(admin.Config{Server: r.server, Addr: r.admin.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("on a port in use: %v", err)
	}
	if second.Addr() != "" {
		t.Errorf("it listens on %s", second.Addr())
	}
	_ = r.admin.Close()
	if err := second.Start(); err != nil { // a failed start may be tried again
		t.Error(err)
	}
	for range 2 {
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := second.Start(); err != admin.ErrStarted {
		t.Errorf("started after the end: %v", err)
	}
}

// Before the server starts there is nothing to tell, and nothing breaks.
func TestServerNotStarted(t *testing.T) {
	srv, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Handler: server.Echo()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := admin.New(admin.Config{Server: srv, Addr: "127.0.0.1:0"})
	if err == nil {
		err = l.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := &rig{t: t, server: srv, admin: l, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	r.want(http.StatusServiceUnavailable, "GET", "/readyz", "not ready: ")
	r.want(http.StatusOK, "GET", "/metrics", "\nroost_connections 0\n", "\nroost_ready 0\n")
	r.want(http.StatusOK, "GET", "/debug/conns")
	r.want(http.StatusOK, "GET", "/debug/density", "0 connections")
	r.want(http.StatusNotFound, "POST", "/debug/conns/0-1/close")
	r.want(http.StatusServiceUnavailable, "GET", "/topics", "not been started")
}

// A unix socket is its owner's, takes the place of one that a killed process has left, and
// leaves nothing.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	_ = killed.Close()
	r := start(t, server.Config{Handler: server.Echo()}, func(c *admin.Config) { c.Addr = "unix:" + path })
	if r.admin.Addr() != "unix:"+path {
		t.Errorf("listens on %q", r.admin.Addr())
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Type() != fs.ModeSocket || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: only the owner may connect", st.Mode(), err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	res, err := client.Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
	_ = r.admin.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is left behind: %v", err)
	}
}

// Clients beyond the bound are served when a place comes free.
func TestConnectionsAreBounded(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	const most = 64
	var silent *conntest.Client
	for range most {
		silent = conntest.Connect(t, r.admin.Addr())
	}
	c := conntest.Connect(t, r.admin.Addr())
	c.Raw([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the one beyond the bound got an answer: %d bytes, %v", n, err)
	}
	_ = silent.Close()
	if res := c.Response(); res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
}

// The stream of a dashboard begins with the past, goes on, and ends with the listener.
func TestEvents(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.admin.Addr()+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for events := 0; events < 2 && lines.Scan(); {
		switch line := lines.Text(); {
		case line == "":
			events++
		case !strings.HasPrefix(line, `data: {"samples":`) || !strings.Contains(line, `"version":"v1.2.3-test"`):
			t.Fatalf("a line of the stream: %q", line)
		}
	}
	_ = r.admin.Close()
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream does not end as it should: %v", err)
	}
}
