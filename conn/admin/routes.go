//go:build linux

package admin

import (
	"bytes"
	"embed"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// routes are all paths of the listener. Other methods get 405, other paths 404.
//
//	GET /                            the dashboard, with its files beside it
//	GET /events                      what it shows, as a stream of events
//	GET /metrics                     for Prometheus
//	GET /healthz                     200 while the process works
//	GET /readyz                      200 when clients may come, else 503 and why not
//	GET /debug/conns                 the slowest connections
//	POST /debug/conns/{id}/close     closes one
//	GET /topics                      topics with most members, on all nodes
//	GET /topics/{topic}              members of one
//	GET /debug/density               what a connection takes, and how many fit
//	GET /debug/pprof/                profiles
//	POST /publish                    publishes a message, see README.md
//	POST /publish/batch              publishes one for each line
func (l *Listener) routes() http.Handler {
	mux := http.NewServeMux()
	for path, contentType := range map[string]string{
		"index.html": "text/html; charset=utf-8",
		"style.css":  "text/css; charset=utf-8",
		"app.js":     "text/javascript; charset=utf-8",
		"plot.js":    "text/javascript; charset=utf-8",
		"icon.svg":   "image/svg+xml",
	} {
		at := "/" + path
		if path == "index.html" {
			at = "/{$}"
		}
		mux.Handle("GET "+at, file(path, contentType))
	}
	mux.HandleFunc("GET /events", l.events)
	mux.Handle("GET /metrics", promhttp.HandlerFor(l.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorLog: l.http.ErrorLog}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", l.ready)
	mux.HandleFunc("GET /debug/conns", l.conns)
	mux.HandleFunc("POST /debug/conns/{id}/close", l.closeConn)
	mux.HandleFunc("GET /topics", l.topics)
	mux.HandleFunc("GET /topics/{topic...}", l.topic)
	mux.HandleFunc("GET /debug/density", l.density)
	mux.HandleFunc("GET /debug/pprof/", timed(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", timed(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", timed(pprof.Trace))
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /publish", l.publish)
	mux.HandleFunc("POST /publish/batch", l.batch)
	return mux
}

func (l *Listener) ready(w http.ResponseWriter, _ *http.Request) {
	if err := l.config.Server.Ready(); err != nil {
		text(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	text(w, http.StatusOK, "ready")
}

// mostProfile bounds ?seconds of a profile.
const mostProfile = 5 * time.Minute

// timed is a profile that takes as long as the client says.
func timed(profile http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := r.FormValue("seconds"); s != "" {
			const most = int(mostProfile / time.Second)
			if n, err := strconv.Atoi(s); err != nil || n < 1 || n > most {
				text(w, http.StatusBadRequest, fmt.Sprintf("seconds: %q, want 1 to %d", s, most))
				return
			}
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(mostProfile + slowestAnswer))
		profile(w, r)
	}
}

//go:embed web
var web embed.FS

// file serves a file of the dashboard. It panics when the name was not embedded,
// which any call of New would show.
func file(name, contentType string) http.Handler {
	body, err := web.ReadFile("web/" + name)
	if err != nil {
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}
