package handshake

import (
	"bytes"
	"iter"
)

// Request is a scanned request head. Its slices are views into the bytes given
// to [Policy.Negotiate]: valid while those are, not to be written to, and to be
// copied by a caller who keeps them. A Request whose head was malformed or too
// long may hold only part of this.
type Request struct {
	// Method is the method as sent; methods are case-sensitive.
	Method []byte
	// Target is the request target as sent (RFC 9112 section 3.2).
	Target []byte
	// Path is the path of an origin-form or http(s) absolute-form target, still
	// percent-encoded. It is nil for other targets.
	Path []byte
	// Query is what follows the first '?' of such a target, without the '?'.
	Query []byte
	// Host is the authority of an absolute-form target, else the Host header
	// (RFC 9112 section 3.2.2). It is a well-formed host with an optional port
	// when the Kind is Upgrade, and may be anything otherwise.
	Host []byte
	// Origin is the Origin header, nil when there was none.
	Origin []byte

	headers []byte // the header lines, each with its CRLF
}

// Header returns the value of the first header called name, without the space
// around it. name is compared without regard to case. ok is false when the
// request has no such header.
func (r *Request) Header(name string) (value []byte, ok bool) {
	for k, v := range r.Headers() {
		if foldEqual(k, name) {
			return v, true
		}
	}
	return nil, false
}

// Headers yields name and value of every header line, in the order sent. Names
// are spelt as sent; the space around a value is gone.
func (r *Request) Headers() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for rest := r.headers; len(rest) > 0; {
			line, more, _ := bytes.Cut(rest, crlf)
			name, value, _ := bytes.Cut(line, colon)
			if !yield(name, trim(value)) {
				return
			}
			rest = more
		}
	}
}

var (
	crlf  = []byte("\r\n")
	colon = []byte(":")
	root  = []byte("/")
)

// setTarget splits target into Path, Query and, for absolute-form, Host. It
// returns false when the authority of an http or https URL is malformed.
func (r *Request) setTarget(target []byte) bool {
	r.Target = target
	path := target
	if target[0] != '/' {
		scheme, rest, ok := bytes.Cut(target, []byte("://"))
		if !ok || !foldEqual(scheme, "http") && !foldEqual(scheme, "https") {
			return true // "*", an authority, or a scheme that is not HTTP's
		}
		end := bytes.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		r.Host, path = rest[:end], rest[end:]
		if _, _, ok := splitHost(r.Host); !ok {
			return false
		}
	}
	r.Path, r.Query, _ = bytes.Cut(path, []byte("?"))
	if len(r.Path) == 0 {
		r.Path = root // RFC 9110 section 4.2.3
	}
	return true
}

// trim cuts optional white space, RFC 9110 section 5.6.3, off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// foldEqual compares two ASCII texts without regard to case.
func foldEqual(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	if string(a) == b { // the usual spelling
		return true
	}
	for i, c := range a {
		if lower(c) != lower(b[i]) {
			return false
		}
	}
	return true
}

// lower is the ASCII lower case of c.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
