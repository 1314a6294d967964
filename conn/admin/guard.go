//go:build linux

package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"time"
)

// contentSecurityPolicy lets the dashboard load its own files, talk to its own host
// and do nothing else. Trusted Types turn a string that would be parsed as markup
// into an error.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'"

// mostBody bounds what a request may have behind its head, in bytes, unless it publishes. Only
// pprof/symbol needs any, but whoever looks for a parameter reads a form as well, and keeps 32 MB of it.
const mostBody = 64 << 10

// guard lets in who may ask, and sets what every answer carries.
func (l *Listener) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		if !isPublish(r) { // else it has bounds of its own
			r.Body = http.MaxBytesReader(w, r.Body, mostBody)
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(slowestAnswer)) // HTTP/1 can
		if r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
			if status, why := l.refuse(r); status != 0 {
				if status == http.StatusUnauthorized {
					h.Set("WWW-Authenticate", `Basic realm="roost", charset="UTF-8"`)
				}
				if isPublish(r) {
					l.publishing.count(resultUnauthorized)
				}
				text(w, status, why)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// refuse returns the status to refuse r with, and 0 if it may pass.
func (l *Listener) refuse(r *http.Request) (status int, why string) {
	tokens, missing := l.tokensFor(r)
	switch {
	case len(tokens) == 0 && !loopback(hostname(r.Host)):
		// The name is the attacker's own, made to point here (DNS rebinding).
		return http.StatusForbidden, "this listener answers for localhost and loopback addresses only; for other names start it with --admin-token"
	case foreign(r) || l.csrf.Check(r) != nil:
		return http.StatusForbidden, "a page of another site sent this request"
	case len(tokens) > 0 && !carries(r, tokens):
		return http.StatusUnauthorized, missing
	}
	return 0, ""
}

// tokensFor are those of which r has to bring one, and what to say if it does not. No tokens
// mean that everybody may ask.
func (l *Listener) tokensFor(r *http.Request) (tokens []string, missing string) {
	missing = "the admin token is missing or wrong: send 'Authorization: Bearer TOKEN', or give it as the password"
	if token := *l.token.Load(); token != "" {
		tokens = append(tokens, token)
	}
	if !isPublish(r) {
		return tokens, missing
	}
	if token := *l.publishToken.Load(); token != "" {
		return append(tokens, token), "the publish token is missing or wrong: send 'Authorization: Bearer TOKEN', as --publish-token (or --admin-token) has it"
	}
	return tokens, missing
}

// hostname is a Host header without its port.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}

// foreign reports whether a page of another site loads r as a part of itself. A link
// to the dashboard may be followed from anywhere (Fetch Metadata, sections 2.1 and 2.3).
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}

// carries reports whether r brings one of the tokens. How long that takes says nothing
// about how much of it is right, nor which it is.
func carries(r *http.Request, tokens []string) bool {
	var given string
	var ok bool
	if scheme, rest, found := strings.Cut(r.Header.Get("Authorization"), " "); found && strings.EqualFold(scheme, "Bearer") {
		given, ok = strings.TrimSpace(rest), true
	} else {
		_, given, ok = r.BasicAuth()
	}
	a, same := sha256.Sum256([]byte(given)), 0
	for _, token := range tokens {
		b := sha256.Sum256([]byte(token))
		same |= subtle.ConstantTimeCompare(a[:], b[:])
	}
	return ok && same == 1
}
