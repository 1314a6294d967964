package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config says who may connect: whoever has a token signed with one of Keys, or whom the
// back end at URL lets in. Its zero value asks nobody; the zero value of each of the other
// fields is its default.
type Config struct {
	// Keys is a file, or an http or https URL, with the keys of tokens: a JSON Web Key Set,
	// public keys in PEM or DER, or, in a file only, a secret for HS256 of 32 bytes or more.
	Keys string
	// Refresh is how often Keys is fetched, if it is a URL. 0 means 10 minutes; a negative
	// duration means only when a token names a key that is not known.
	Refresh time.Duration
	// Audience and Issuer are what a token must have as aud and iss. "" means anything.
	Audience, Issuer string
	// Leeway is by how much clocks may differ: exp counts as so much later, nbf as so
	// much earlier.
	Leeway time.Duration
	// Cookie is the name of the cookie that may carry a token. "" means "token"; NoCookie
	// means that none may.
	Cookie string

	// URL is asked about each request, with GET. 2xx lets the client in, with what the
	// JSON of the answer allows, 401 and 403 refuse it, anything else says that the back
	// end is out of order.
	URL string
	// Forward names the headers of the request that are passed on. Nil means
	// Authorization and Cookie.
	Forward []string
	// Timeout is how long an answer may take, from the time the client came. 0 means 3 s.
	Timeout time.Duration
	// Concurrency is how many questions are asked at once. 0 means 64.
	Concurrency int
	// Queue is how many more may wait; further clients are refused. 0 means 1,024.
	Queue int

	// DefaultTopic is what a client may subscribe to that has been told no topics. ""
	// means "all".
	DefaultTopic string
	// Log is told when keys change, and when they cannot be had. Nil means slog.Default.
	Log *slog.Logger

	// For tests. 0 means the constants of those names.
	watchEvery, leastBetween time.Duration
}

// NoCookie is a Config.Cookie.
const NoCookie = "-"

const (
	watchEvery   = 2 * time.Second  // between two looks at the file of the keys
	leastBetween = 30 * time.Second // between two fetches of the keys
	slowestFetch = 10 * time.Second
	mostKeyBytes = 4 << 20  // of a key file, or what a URL gives
	mostToken    = 8 << 10  // bytes, as of a request head
	mostAnswer   = 16 << 10 // bytes of the back end's answer
)

// On reports whether anybody is asked.
func (c Config) On() bool { return c.Keys != "" || c.URL != "" }

// WithDefaults is c with the zero values replaced.
func (c Config) WithDefaults() Config {
	def(&c.Cookie, "token")
	def(&c.Refresh, 10*time.Minute)
	def(&c.Timeout, 3*time.Second)
	def(&c.Concurrency, 64)
	def(&c.Queue, 1024)
	def(&c.DefaultTopic, "all")
	def(&c.watchEvery, watchEvery)
	def(&c.leastBetween, leastBetween)
	if c.Forward == nil {
		c.Forward = []string{"Authorization", "Cookie"}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Validate reports every fault at once, each with what would be right. It opens nothing.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Keys != "" && c.URL != "" {
		bad("auth: a key and a URL are given: choose tokens, or a back end that is asked")
	}
	if c.Keys == "" && (c.Audience != "" || c.Issuer != "" || c.Leeway != 0) {
		bad("auth: audience, issuer and leeway are about tokens: give the key, too")
	}
	for _, u := range []struct {
		name, value string
		remote      bool
	}{{"auth key", c.Keys, isURL(c.Keys)}, {"auth URL", c.URL, c.URL != ""}} {
		if u.remote {
			if err := checkURL(u.value); err != nil {
				bad("%s: %w", u.name, err)
			}
		}
	}
	if strings.IndexFunc(c.Cookie, notToken) >= 0 {
		bad("auth cookie: %q is no name of a cookie; want letters, digits and -._", c.Cookie)
	}
	for _, name := range c.Forward {
		if name == "" || strings.IndexFunc(name, notToken) >= 0 {
			bad("auth forward: %q is no name of a header", name)
		} else if slices.Contains(ours, http.CanonicalHeaderKey(name)) {
			bad("auth forward: %s is not the client's to say: leave it out", name)
		}
	}
	d := c.WithDefaults()
	for _, t := range []struct {
		name               string
		value, least, most time.Duration
	}{
		{"auth timeout", d.Timeout, 10 * time.Millisecond, time.Minute},
		{"auth leeway", d.Leeway, 0, 10 * time.Minute},
	} {
		if t.value < t.least || t.value > t.most {
			bad("%s: %v is out of range; want %v to %v", t.name, t.value, t.least, t.most)
		}
	}
	if d.Refresh > 0 && (d.Refresh < leastBetween || d.Refresh > 24*time.Hour) {
		bad("auth refresh: %v is out of range; want %v to 24h", d.Refresh, leastBetween)
	}
	for _, n := range []struct {
		name        string
		value, most int
	}{{"auth concurrency", d.Concurrency, 4096}, {"auth queue", d.Queue, 1 << 20}, {"number of headers to forward", len(d.Forward), 32}} {
		if n.value < 0 || n.value > n.most {
			bad("%s: %d is out of range; want 1 to %d", n.name, n.value, n.most)
		}
	}
	return errors.Join(errs...)
}

// ours are headers that the question has of its own, or that belong to one connection
// (RFC 9110 section 7.6.1).
var ours = []string{
	"Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", forwardedFor, originalURI,
}

// notToken reports that r may not stand in the name of a header or cookie. Few need the
// rest of RFC 9110 section 5.6.2.
func notToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
}

func isURL(s string) bool { return strings.Contains(s, "://") }

// checkURL quotes nothing of the URL when it holds a password.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("it is no URL; want http://HOST/PATH or https://HOST/PATH")
	case u.User != nil:
		return errors.New("a URL shows up in logs: take user and password out of it")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%q cannot be asked; want http://HOST/PATH or https://HOST/PATH", s)
	}
	return nil
}
