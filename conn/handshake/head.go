package handshake

import (
	"bytes"
	"encoding/binary"
)

// HeadEnd returns the length of the request head at the front of b, its empty
// last line included, or -1 when b does not hold all of it yet.
//
// from is the number of bytes already searched in vain: when a call returned
// -1 for len(b) == n and more bytes were appended since, pass n, and only the
// new ones are searched. Pass 0 the first time.
//
// A line may end in a bare LF here, as in net/http, so that such a head is
// seen as complete and can be refused at once. The strict scan does that.
func HeadEnd(b []byte, from int) int {
	// The ending that straddles from began at most two bytes before it: LF CR LF.
	i := max(0, min(from, len(b))-2)
	for {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n + 1
		switch rest := b[i:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 2
		}
	}
}

// Classes of bytes, as bits of the class table.
const (
	tokenByte  = 1 << iota // tchar, RFC 9110 section 5.6.2
	valueByte              // field-vchar, SP and HTAB, RFC 9110 section 5.5
	targetByte             // VCHAR without '#', which no request target holds, RFC 9112 section 3.2
	hostByte               // reg-name without percent encoding, RFC 3986 section 3.2.2
	digitByte
)

var class = func() (t [256]uint8) {
	set := func(bit uint8, chars string) {
		for i := range len(chars) {
			t[chars[i]] |= bit
		}
	}
	const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	set(tokenByte, alphanumeric+"!#$%&'*+-.^_`|~")
	set(hostByte, alphanumeric+"-._~"+"!$&'()*+,;=")
	set(digitByte, "0123456789")
	for c := range t {
		switch {
		case c > ' ' && c < 0x7f && c != '#':
			t[c] |= targetByte | valueByte
		case c == '#', c == ' ', c == '\t', c >= 0x80:
			t[c] |= valueByte
		}
	}
	return t
}()

// head is what one pass over a request head gathers.
type head struct {
	req          Request
	major, minor byte // of the HTTP version

	// How many header lines carried each name.
	hosts, origins, keys, versions, subprotocols, extensions int

	// The last value of each.
	host, key, version []byte

	websocket bool // some Upgrade header lists websocket
	upgrade   bool // some Connection header lists upgrade
	body      bool // Content-Length or Transfer-Encoding is present

	deflate deflateTerms // set by Policy.check
}

// scan reads b, one whole head as HeadEnd delimits it, and returns why it is
// malformed, or nil. It accepts CRLF line endings only and no line folding
// (RFC 9112 sections 2.2 and 5.2). What a head means is left to Policy.check.
//
// b ends in LF and no class holds LF, so every loop below stops inside b.
func (h *head) scan(b []byte, maxHeaders int) *refusal {
	i, fault := h.scanRequestLine(b)
	if fault != nil {
		return fault
	}
	h.req.headers = b[i:max(i, len(b)-2)]
	for count := 1; i < len(b)-2; count++ {
		if count > maxHeaders {
			return &tooManyHeaders
		}
		start := i
		for class[b[i]]&tokenByte != 0 {
			i++
		}
		name := b[start:i]
		switch c := b[i]; {
		case c == ':' && len(name) > 0:
			i++
		case (c == ' ' || c == '\t') && len(name) == 0:
			return &foldedLine
		case c == ' ' || c == '\t':
			return &spaceBeforeColon // RFC 9112 section 5.1
		default:
			return &badHeaderName
		}
		start = i
		i += valueLen(b[i:])
		value := trim(b[start:i])
		if fault := lineEnd(b[i:], &badHeaderValue); fault != nil {
			return fault
		}
		i += 2
		h.take(name, value)
	}
	if len(b)-i != 2 {
		return &bareLineFeed
	}
	if h.req.Host == nil {
		h.req.Host = h.host
	}
	return nil
}

// scanRequestLine reads the first line of b and returns its length
// (RFC 9112 section 3: method SP request-target SP HTTP-version CRLF).
func (h *head) scanRequestLine(b []byte) (int, *refusal) {
	i := 0
	for class[b[i]]&tokenByte != 0 {
		i++
	}
	if i == 0 || b[i] != ' ' {
		return 0, &badRequestLine
	}
	h.req.Method = b[:i]

	i++
	start := i
	for class[b[i]]&targetByte != 0 {
		i++
	}
	if i == start || b[i] != ' ' {
		return 0, &badRequestLine
	}
	if !h.req.setTarget(b[start:i]) {
		return 0, &badAuthority
	}

	const version = "HTTP/1.1"
	i++
	v := b[i:min(i+len(version), len(b))]
	if len(v) < len(version) || string(v[:5]) != version[:5] || v[6] != '.' ||
		class[v[5]]&class[v[7]]&digitByte == 0 {
		return 0, &badRequestLine
	}
	h.major, h.minor = v[5]-'0', v[7]-'0'
	i += len(version)
	return i + 2, lineEnd(b[i:], &badRequestLine)
}

// valueLen returns how many bytes at the front of b may stand in a header
// value. b holds at least one that may not.
//
// Values are most of a browser's head, so eight bytes are judged at a time:
// (w-n)&^w has the top bit set in some byte exactly when a byte of w is below
// n. A horizontal tab fails that too and is left to the loop behind it.
func valueLen(b []byte) int {
	const (
		ones  = 0x0101010101010101
		tops  = 0x80 * ones
		space = ' ' * ones
		del   = 0x7f * ones
	)
	i := 0
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		d := w ^ del // zero where w has 0x7f
		if ((w-space)&^w|(d-ones)&^d)&tops != 0 {
			break
		}
		i += 8
	}
	for class[b[i]]&valueByte != 0 {
		i++
	}
	return i
}

// lineEnd reports what is wrong when a line does not end in CRLF at the front
// of b: other if any other byte stands there.
func lineEnd(b []byte, other *refusal) *refusal {
	switch {
	case b[0] == '\n':
		return &bareLineFeed
	case b[0] != '\r' || b[1] != '\n':
		return other
	}
	return nil
}

// take notes a header line that the handshake cares about.
func (h *head) take(name, value []byte) {
	switch len(name) {
	case len("Host"):
		if foldEqual(name, "Host") {
			h.hosts++
			h.host = value
		}
	case len("Origin"):
		if foldEqual(name, "Origin") {
			h.origins++
			h.req.Origin = value
		}
	case len("Upgrade"):
		if foldEqual(name, "Upgrade") {
			h.websocket = h.websocket || hasToken(value, "websocket")
		}
	case len("Connection"):
		if foldEqual(name, "Connection") {
			h.upgrade = h.upgrade || hasToken(value, "Upgrade")
		}
	case len("Content-Length"):
		h.body = h.body || foldEqual(name, "Content-Length")
	case len("Sec-WebSocket-Key"): // as long as Transfer-Encoding
		if foldEqual(name, "Sec-WebSocket-Key") {
			h.keys++
			h.key = value
		} else {
			h.body = h.body || foldEqual(name, "Transfer-Encoding")
		}
	case len("Sec-WebSocket-Version"):
		if foldEqual(name, "Sec-WebSocket-Version") {
			h.versions++
			h.version = value
		}
	case len(subprotocolHeader):
		if foldEqual(name, subprotocolHeader) {
			h.subprotocols++
		}
	case len(extensionsHeader):
		if foldEqual(name, extensionsHeader) {
			h.extensions++
		}
	}
}
