package handshake

import (
	"slices"
	"strings"
	"testing"
)

func TestHeadEnd(t *testing.T) {
	for _, tt := range []struct {
		b    string
		want int
	}{
		{"", -1},
		{"\n", -1},
		{"a\r\n\r", -1},
		{"a\r\nb\r\n", -1},
		{"a\r\r\n\r", -1},
		{"a\r\n\r\n", 5},
		{"a\r\n\r\nmore\r\n\r\n", 5},
		{"a\n\n", 3},
		{"a\n\r\n", 4},
		{"a\r\n\n", 4},
		{"\n\n", 2},
	} {
		b := []byte(tt.b)
		if got := HeadEnd(b, 0); got != tt.want {
			t.Errorf("HeadEnd(%q, 0) = %d, want %d", b, got, tt.want)
		}
		// From wherever the end was not in sight yet.
		last := len(b)
		if tt.want >= 0 {
			last = tt.want - 1
		}
		for from := range last + 1 {
			if got := HeadEnd(b, from); got != tt.want {
				t.Errorf("HeadEnd(%q, %d) = %d, want %d", b, from, got, tt.want)
			}
		}
		if got := HeadEnd(b, len(b)+10); got > len(b) {
			t.Errorf("HeadEnd(%q, beyond it) = %d", b, got)
		}
	}
}

// TestValueLen has every byte at every place of a word and its neighbours.
func TestValueLen(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			b := slices.Repeat([]byte("x"), 24)
			b[at] = byte(c)
			b[23] = '\n'
			want := 23
			if c < ' ' && c != '\t' || c == 0x7f {
				want = at
			}
			if got := valueLen(b); got != want {
				t.Errorf("byte %#x at %d: length %d, want %d", c, at, got, want)
			}
		}
	}
}

func TestRequest(t *testing.T) {
	const head = "GET /ws?a=1?b HTTP/1.1\r\nHost: example.com\r\nX-Twice: one\r\nx-twice:two \r\nOrigin: http://example.com\r\n\r\n"
	r := testPolicy().Negotiate(nil, []byte(head+"behind")).Request
	for _, tt := range []struct{ name, got, want string }{
		{"Method", string(r.Method), "GET"},
		{"Target", string(r.Target), "/ws?a=1?b"},
		{"Path", string(r.Path), "/ws"},
		{"Query", string(r.Query), "a=1?b"},
		{"Host", string(r.Host), "example.com"},
		{"Origin", string(r.Origin), "http://example.com"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	if v, ok := r.Header("X-TWICE"); !ok || string(v) != "one" {
		t.Errorf("Header: %q, %v", v, ok)
	}
	if v, ok := r.Header("X-Thrice"); ok || v != nil {
		t.Errorf("Header of what is not there: %q, %v", v, ok)
	}
	var all []string
	for name, value := range r.Headers() {
		all = append(all, string(name)+"="+string(value))
	}
	if got, want := strings.Join(all, " "), "Host=example.com X-Twice=one x-twice=two Origin=http://example.com"; got != want {
		t.Errorf("Headers: %s, want %s", got, want)
	}
	for range (&Request{}).Headers() {
		t.Error("an empty Request has a header")
	}
}

func TestTargets(t *testing.T) {
	for _, tt := range []struct {
		target, path, query, host string
		ok                        bool
	}{
		{"/", "/", "", "", true},
		{"/a?b", "/a", "b", "", true},
		{"//a/b", "//a/b", "", "", true},
		{"http://h:1/a?b", "/a", "b", "h:1", true},
		{"HTTPS://h", "/", "", "h", true},
		{"http://h?/a", "/", "/a", "h", true},
		{"http://[::1]:8/a", "/a", "", "[::1]:8", true},
		{"*", "", "", "", true},
		{"h:443", "", "", "", true},
		{"ws://h/a", "", "", "", true},
		{"http://", "", "", "", false},
		{"http://u@h/a", "", "", "u@h", false},
	} {
		var r Request
		ok := r.setTarget([]byte(tt.target))
		if ok != tt.ok || string(r.Path) != tt.path || string(r.Query) != tt.query || string(r.Host) != tt.host {
			t.Errorf("%s: path %q, query %q, host %q, %v", tt.target, r.Path, r.Query, r.Host, ok)
		}
	}
}
