//go:build linux

package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	draining := false
	held := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\nand more\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if draining {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-held:
		}
	}))
	defer silent.Close()
	defer close(held)
	elsewhere := httptest.NewServer(http.RedirectHandler(server.URL+"/healthz", http.StatusFound))
	defer elsewhere.Close()
	address := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
	socket := filepath.Join(t.TempDir(), "s")
	local, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	unixServer := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	defer unixServer.Close()
	go func() { _ = unixServer.Serve(local) }()
	port := address(server)[strings.LastIndex(address(server), ":"):]

	for _, c := range []struct {
		args     string
		draining bool
		code     int
		want     string
	}{
		{"--admin " + address(server), false, exitOK, "ok\n"},
		{"--admin " + address(server), true, exitOK, "ok\n"},
		{"--admin " + address(server) + " --ready", false, exitOK, "\n"},
		{"--admin " + address(server) + " --ready", true, exitFailure, "503 Service Unavailable: draining\n"},
		{"--admin " + port, false, exitOK, "ok\n"},
		{"--admin unix:" + socket, false, exitOK, "ok\n"},
		{"--admin unix:" + socket + "x", false, exitFailure, "no such file"},
		{"--admin unix:", false, exitUsage, "the path of a file"},
		{"--admin 0.0.0.0" + port, false, exitOK, "ok\n"},
		{"--admin " + address(silent) + " --timeout 50ms", false, exitFailure, "deadline exceeded"},
		{"--admin " + address(elsewhere), false, exitFailure, "302 Found"},
		{"--admin 127.0.0.1:1", false, exitFailure, "refused"},
		{"--admin nowhere", false, exitUsage, "--admin: \"nowhere\" is no address"},
		{"--admin=", false, exitUsage, "--admin: there is nobody to ask"},
		{"--timeout soon", false, exitUsage, "--timeout: \"soon\" is not a time"},
	} {
		draining = c.draining
		var out, stderr strings.Builder
		code := run(append([]string{"health"}, strings.Fields(c.args)...), &out, &stderr, nil)
		if code != c.code || !strings.Contains(out.String()+stderr.String(), c.want) {
			t.Errorf("health %s: exit code %d, %q, %q; want %d, %q", c.args, code, out.String(), stderr.String(), c.code, c.want)
		}
		if lines := strings.Count(out.String()+stderr.String(), "\n"); code != exitUsage && lines != 1 {
			t.Errorf("health %s: %d lines, want one", c.args, lines)
		}
	}
}
