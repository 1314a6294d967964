package handshake

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestValidateAccepts(t *testing.T) {
	for _, p := range []Policy{
		*testPolicy(),
		{Path: "/", MaxHead: leastHead, MaxHeaders: leastHeaders},
		{Path: "/a/b%20c", MaxHead: 8192, MaxHeaders: 100, Subprotocols: []string{"v1.chat", "V1.chat"},
			Origins: []string{"*", "null", "example.com", "*.example.com", "https://app.example.com:8443", "localhost:*",
				"[::1]:8080", "http://[::1]", "127.0.0.[0-9]", "localhost:80[0-9][0-9]", "chrome-extension://*"}},
	} {
		if err := p.Validate(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// TestValidateReportsAll has every kind of fault in one Policy.
func TestValidateReportsAll(t *testing.T) {
	origins := []string{"", "https://", "://example.com", "https://example.com/", "example.com/path", "a b", "[::1", "a[", "a:[", ":80", "u@example.com", "a,b", "a?b", "ex\u00e4mple.com"}
	protocols := []string{"chat", "chat", "", "a,b"}
	p := Policy{Path: "ws", Origins: origins, Subprotocols: protocols, MaxHead: leastHead - 1, MaxHeaders: leastHeaders - 1}
	err := p.Validate()
	for _, want := range []error{ErrPath, ErrOrigin, ErrSubprotocol, ErrLimit} {
		if !errors.Is(err, want) {
			t.Errorf("%v is missing", want)
		}
	}
	if got, want := strings.Count(err.Error(), "\n")+1, 1+len(origins)+3+2; got != want {
		t.Errorf("%d faults, want %d:\n%v", got, want, err)
	}
	for _, path := range []string{"", "ws", "*", "/ws?x", "/ws#x", "/w s", "/%zz", "/\u00e4", "http://a/ws", "/a\"b"} {
		p := testPolicy()
		p.Path = path
		if err := p.Validate(); !errors.Is(err, ErrPath) {
			t.Errorf("path %q: %v", path, err)
		}
	}
}

func TestOrigins(t *testing.T) {
	const host = "example.com"
	for _, tt := range []struct {
		patterns, host, origin string
		want                   bool
	}{
		// Same host.
		{"", "example.com", "https://example.com", true},
		{"", "example.com", "http://EXAMPLE.com", true},
		{"", "Example.com:443", "https://example.com", true},
		{"", "example.com:80", "http://example.com", true},
		{"", "example.com", "http://example.com:80", true},
		{"", "example.com:", "http://example.com", true},
		{"", "[::1]:8080", "http://[::1]:8080", true},
		{"", "example.com:8080", "http://example.com:8080", true},
		{"", "example.com:80", "https://example.com", false},
		{"", "example.com:8080", "http://example.com", false},
		{"", "example.com", "http://example.com:8080", false},
		{"", "example.com", "http://example.com.evil", false},
		{"", "example.com", "http://evil.example.com", false},
		{"", "example.com", "null", false},
		{"", "example.com", "", false},
		{"", "example.com", "example.com", false},
		{"", "example.com", "http://example.com/", false},
		{"", "example.com", "http://example.com http://example.com", false},
		{"", "example.com", "http://me@example.com", false},
		{"", "localhost", "app://localhost", false},

		// Patterns.
		{"*", host, "null", true},
		{"*", host, "any nonsense", true},
		{"other.com", host, "https://other.com", true},
		{"other.com", host, "https://other.com:443", true},
		{"Other.com", host, "http://OTHER.com", true},
		{"other.com", host, "https://example.com", true}, // the same host always may
		{"other.com", host, "https://third.com", false},
		{"other.com", host, "https://other.com:8443", false},
		{"other.com:*", host, "https://other.com:8443", true},
		{"other.com:*", host, "https://other.com", true},
		{"other.com:443", host, "https://other.com", true},
		{"other.com:443", host, "http://other.com", false},
		{"other.com:8[0-9]", host, "http://other.com", true},
		{"*.other.com", host, "https://a.other.com", true},
		{"*.other.com", host, "https://a.b.other.com", true},
		{"*.other.com", host, "https://other.com", false},
		{"*.other.com", host, "https://otherXcom", false},
		{"*.other.com", host, "https://a.other.com.evil", false},
		{"https://other.com", host, "https://other.com", true},
		{"https://other.com", host, "http://other.com", false},
		{"https://other.com:8443", host, "https://other.com:8443", true},
		{"https://other.com:8443", host, "https://other.com", false},
		{"[::1]:8080", host, "http://[::1]:8080", true},
		{"[::1]:8080", host, "http://[::2]:8080", false},
		{"http://[::1]", host, "http://[::1]", true},
		{"app://*", host, "app://localhost", true},
		{"localhost", host, "app://localhost", true},
		{"null", host, "null", true},
		{"other.com", host, "null", false},
		{"a.com b.com", host, "http://b.com", true},
		{strings.Repeat("a", 300), host, "http://" + strings.Repeat("A", 300), true},
	} {
		p := testPolicy()
		p.Origins = strings.Fields(tt.patterns)
		if err := p.Validate(); err != nil {
			t.Errorf("%q: %v", tt.patterns, err)
		}
		if got := p.allowed([]byte(tt.origin), []byte(tt.host)); got != tt.want {
			t.Errorf("origins %q, host %q, origin %q: %v, want %v", tt.patterns, tt.host, tt.origin, got, tt.want)
		}
	}
}

func TestSubprotocols(t *testing.T) {
	for _, tt := range []struct {
		lines string // values of Sec-WebSocket-Protocol headers, split by |
		want  int
	}{
		{"chat", 0},
		{"superchat", 1},
		{"superchat, chat", 1},
		{"mqtt,\tchat ,superchat", 0},
		{"mqtt|superchat", 1},
		{"mqtt|,,superchat,|chat", 1},
		{"CHAT", -1},
		{"mqtt", -1},
		{"|mqtt", -1},
	} {
		var lines []string
		for value := range strings.SplitSeq(tt.lines, "|") {
			lines = append(lines, "sec-websocket-PROTOCOL: "+value)
		}
		p := testPolicy()
		r := p.Negotiate(nil, []byte(add(lines...)))
		if r.Kind != Upgrade || r.Subprotocol != tt.want {
			t.Errorf("%q: %v, subprotocol %d, want %d", tt.lines, r.Kind, r.Subprotocol, tt.want)
			continue
		}
		header := "none"
		if tt.want >= 0 {
			header = "\r\nSec-WebSocket-Protocol: " + p.Subprotocols[tt.want] + "\r\n"
		}
		if got := bytes.Contains(r.Response, []byte(header)); got != (tt.want >= 0) {
			t.Errorf("%q: response %q", tt.lines, r.Response)
		}
		if n := bytes.Count(r.Response, []byte("Sec-WebSocket-Protocol")); n != min(tt.want, 0)+1 {
			t.Errorf("%q: %d subprotocol headers", tt.lines, n)
		}
	}
	if r := (&Policy{Path: "/ws", MaxHead: 8192, MaxHeaders: 100}).Negotiate(nil, []byte(add("Sec-WebSocket-Protocol: chat"))); r.Kind != Upgrade || r.Subprotocol != -1 {
		t.Errorf("server without subprotocols: %v, %d", r.Kind, r.Subprotocol)
	}
}
