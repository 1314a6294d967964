//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

//go:embed web
var web embed.FS

// contentSecurityPolicy lets the page load its own files, talk to its own host
// and do nothing else. 'self' covers ws: and wss: of the same host and port
// (CSP Level 3, section 6.7.2.8). Trusted Types turn a string that would be
// parsed as markup into an error.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'"

// pageConfig is what the chat page has to know.
type pageConfig struct {
	Path    string `json:"path"`    // of the WebSocket
	Handler string `json:"handler"` // what becomes of a message
	Auth    string `json:"auth"`    // who may connect: those with a "token", those that the "back end" lets in, or "" for everybody
}

// chatPage serves the chat page and the two answers it asks for:
//
//	GET /             the page, with style.css, app.js and icon.svg beside it
//	GET /config.json  what the page has to know of the server
//	GET /clients      {"clients": n, "refresh_ms": how long to wait before asking again}
//
// Methods other than GET and HEAD get 405. clients returns the number of open
// connections; it is called once per request, from many goroutines.
func chatPage(about pageConfig, clients func() int) http.Handler {
	config, _ := json.Marshal(about) // strings always encode
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", file("text/html; charset=utf-8", embedded("index.html")))
	mux.Handle("GET /style.css", file("text/css; charset=utf-8", embedded("style.css")))
	mux.Handle("GET /app.js", file("text/javascript; charset=utf-8", embedded("app.js")))
	mux.Handle("GET /icon.svg", file("image/svg+xml", embedded("icon.svg")))
	mux.Handle("GET /config.json", file("application/json", config))
	mux.HandleFunc("GET /clients", func(w http.ResponseWriter, _ *http.Request) {
		n := clients()
		w.Header().Set("Content-Type", "application/json")
		// Kept alive, every open page would hold a second connection that idles.
		w.Header().Set("Connection", "close")
		_, _ = fmt.Fprintf(w, `{"clients":%d,"refresh_ms":%d}`, n, refreshMillis(n)) // fails when the browser left
	})
	return withHeaders(mux)
}

// refreshMillis is how long a page waits before it asks for the count again.
// Beyond 200 clients it grows with their number, so that all pages together
// ask about 100 times a second, be they a thousand or a million.
func refreshMillis(clients int) int {
	return max(2000, clients*10)
}

// withHeaders sets what every answer carries. no-cache makes the browser ask
// each time, so that page and server never differ in version; the ETag makes
// that cheap.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// file serves body, which never changes, with an ETag made from its hash.
func file(contentType string, body []byte) http.Handler {
	sum := sha256.Sum256(body)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}

// embedded returns a file of the page. It panics when the name was not
// embedded, which the first call of Handler in any test would show.
func embedded(name string) []byte {
	body, err := web.ReadFile("web/" + name)
	if err != nil {
		panic(err)
	}
	return body
}
