package handshake

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
)

// Policy is what a server accepts. Fill it, call Validate once, and share it:
// it is read-only afterwards and safe for concurrent use.
type Policy struct {
	// Path is the path WebSockets are opened at, such as "/ws". It is compared
	// byte by byte with the path of the request target, before any percent
	// decoding; the query does not matter.
	Path string

	// Origins are the web origins whose pages may connect besides those of the
	// same host (RFC 6455 section 10.2), as [scheme://]host[:port]. Host and port are patterns as in
	// path.Match, compared without regard to case: "example.com",
	// "*.example.com", "localhost:*", "https://app.example.com:8443". Without a
	// scheme any scheme will do; without a port only the default port of the
	// origin's scheme. "*" is any Origin header whatever; "null" is the Origin of
	// sandboxed frames and local files.
	//
	// Same host: host and port of the Origin are those of the request, as Request.Host has them. Whether TLS was used cannot be seen
	// from here, so a Host without a port has the default port of the Origin's
	// scheme.
	//
	// A request without Origin comes from no browser and passes.
	Origins []string

	// Subprotocols are the names the server speaks (RFC 6455 section 1.9),
	// compared with regard to case. The order does not matter: the first name
	// of the client's list that is here is chosen (section 4.2.2: the client's
	// list is in order of preference). If there is none the connection opens
	// without a subprotocol, and the client decides whether it stays.
	Subprotocols []string

	// Compress says that permessage-deflate (RFC 7692) may be agreed to, without context
	// takeover in either direction. Otherwise no extension is.
	Compress bool

	// MaxHead is the largest request head in bytes, from the request line to
	// the empty line, inclusive. Longer ones are refused with 431. There is no
	// default here; 8192 is usual.
	MaxHead int

	// MaxHeaders is the largest number of header lines. More are refused with
	// 431. There is no default here; 100 is usual.
	MaxHeaders int
}

// Bounds below which no handshake fits: the shortest one has 5 headers and
// takes 135 bytes at "/".
const (
	leastHead    = 135
	leastHeaders = 5
)

// Validate returns every fault of p at once, joined: ErrPath, ErrOrigin,
// ErrSubprotocol, ErrLimit, each wrapped with the value it is about.
func (p *Policy) Validate() error {
	var faults []error
	// url.ParseRequestURI is what net/http will judge the target by.
	if u, err := url.ParseRequestURI(p.Path); err != nil || u.EscapedPath() != p.Path ||
		p.Path[0] != '/' || !all(p.Path, targetByte) {
		faults = append(faults, fmt.Errorf("handshake: path %q: %w", p.Path, ErrPath))
	}
	for _, s := range p.Origins {
		if !validPattern(s) {
			faults = append(faults, fmt.Errorf("handshake: origin %q: %w", s, ErrOrigin))
		}
	}
	for i, s := range p.Subprotocols {
		if s == "" || !all(s, tokenByte) || slices.Contains(p.Subprotocols[:i], s) {
			faults = append(faults, fmt.Errorf("handshake: subprotocol %q: %w", s, ErrSubprotocol))
		}
	}
	if p.MaxHead < leastHead {
		faults = append(faults, fmt.Errorf("handshake: at most %d bytes of head: %w of %d", p.MaxHead, ErrLimit, leastHead))
	}
	if p.MaxHeaders < leastHeaders {
		faults = append(faults, fmt.Errorf("handshake: at most %d headers: %w of %d", p.MaxHeaders, ErrLimit, leastHeaders))
	}
	return errors.Join(faults...)
}

// check judges a well-formed head for p.Path by RFC 6455 section 4.2.1 and
// returns why it is refused, or nil.
func (p *Policy) check(h *head) *refusal {
	switch {
	case h.major != 1:
		return &wrongMajor
	case h.minor < 1: // section 4.2.1 item 1: HTTP/1.1 or higher
		return &oldMinor
	case h.hosts != 1: // item 2, and RFC 9112 section 3.2
		return &notOneHost
	}
	// The header counts even where an absolute target takes its place.
	if _, _, ok := splitHost(h.host); !ok {
		return &badHost
	}
	switch {
	case string(h.req.Method) != "GET": // item 1
		return &wrongMethod
	case !h.websocket: // item 3
		return &noUpgrade
	case h.body: // RFC 9112 section 6: a body would come before the first frame
		return &hasBody
	case !h.upgrade: // item 4
		return &noConnectionUpgrade
	case h.versions == 0: // item 6
		return &noVersion
	case h.versions > 1: // section 11.3.5: must not appear more than once
		return &manyVersions
	case string(h.version) != "13": // section 4.4
		return &wrongVersion
	case h.keys != 1 || !validKey(h.key): // item 5 and section 11.3.1
		return &badKey
	case h.origins > 1: // RFC 6454 section 7.3: at most one
		return &manyOrigins
	case h.origins == 1 && !p.allowed(h.req.Origin, h.req.Host): // item 7
		return &originRefused
	}
	if h.extensions > 0 { // item 9 and section 9.1
		var ok bool
		if h.deflate, ok = negotiate(&h.req, p.Compress); !ok {
			return &badExtensions
		}
	}
	return nil
}

// choose returns the index of the subprotocol to speak, or -1 for none. ok is
// false when the list of the client is malformed or, over all its lines, empty
// (section 4.2.1 item 8 and the grammar of section 4.3).
func (p *Policy) choose(r *Request) (index int, ok bool) {
	index = -1
	named := false
	for name, value := range r.Headers() {
		if !foldEqual(name, subprotocolHeader) {
			continue
		}
		for token := range list(value) {
			if !all(token, tokenByte) {
				return -1, false
			}
			named = true
			if index < 0 {
				index = slices.IndexFunc(p.Subprotocols, func(s string) bool { return s == string(token) })
			}
		}
	}
	return index, named
}

const subprotocolHeader = "Sec-WebSocket-Protocol"

// validKey reports whether key is the base64 of 16 bytes. What the bytes are
// does not matter, nor do the unused bits of the last digit.
func validKey(key []byte) bool {
	var nonce [18]byte // what 24 digits decode to without padding
	if len(key) != 24 {
		return false
	}
	n, err := base64.StdEncoding.Decode(nonce[:], key)
	return err == nil && n == 16
}

// hasToken reports whether a comma-separated list holds token in any case.
func hasToken(value []byte, token string) bool {
	for t := range list(value) {
		if foldEqual(t, token) {
			return true
		}
	}
	return false
}

// list yields the elements of a comma-separated header value, skipping empty
// ones as RFC 9110 section 5.6.1.2 asks.
func list(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(value) > 0 {
			element, rest, _ := bytes.Cut(value, comma)
			value = rest
			if element = trim(element); len(element) > 0 && !yield(element) {
				return
			}
		}
	}
}

var comma = []byte(",")

// all reports whether every byte of s is in the given class.
func all[T []byte | string](s T, bit uint8) bool {
	for i := range len(s) {
		if class[s[i]]&bit == 0 {
			return false
		}
	}
	return true
}
