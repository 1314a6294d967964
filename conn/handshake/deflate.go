package handshake

import (
	"bytes"
	"strconv"
)

// deflateToken names the extension of RFC 7692.
const deflateToken = "permessage-deflate"

// The bits of a window (RFC 7692 section 7.1.2). Offers that bind the server to 8 are
// declined: 256 bytes hold next to no repetition, and zlib's own writer has no such window.
const (
	leastWindow  = 8
	leastOfOurs  = 9
	maxWindow    = 15
	windowDigits = 2
)

// deflateTerms are what is agreed to besides what always is. The zero value is no compression.
type deflateTerms struct {
	window int  // bits of the server's window
	bound  bool // the client has bound it, and must be told (RFC 7692 section 7.1.2.1)
}

// deflateOffer is one offer of permessage-deflate, as far as it has been read.
type deflateOffer struct {
	good  bool // it can be met so far
	terms deflateTerms
	seen  [4]bool
}

// take reads a parameter that is in the grammar. One that is unknown, comes twice or has a
// value it must not have declines the offer (RFC 7692 section 7.1).
func (d *deflateOffer) take(param []byte) {
	if !d.good {
		return
	}
	name, value, assigned := bytes.Cut(param, equals)
	value = unquote(trim(value))
	var i int
	switch string(trim(name)) {
	case "server_no_context_takeover": // section 7.1.1.1; always agreed to
		i, d.good = 0, !assigned
	case "client_no_context_takeover": // section 7.1.1.2; always asked for
		i, d.good = 1, !assigned
	case "server_max_window_bits": // section 7.1.2.1
		i = 2
		d.terms.window, d.good = windowBits(value)
		d.terms.bound = true
		d.good = d.good && d.terms.window >= leastOfOurs
	case "client_max_window_bits": // section 7.1.2.2; any window of the client's will do
		i = 3
		if assigned {
			_, d.good = windowBits(value)
		}
	default:
		d.good = false
		return
	}
	d.good = d.good && !d.seen[i]
	d.seen[i] = true
}

// windowBits reads 8 to 15, without leading zeros.
func windowBits(b []byte) (bits int, ok bool) {
	if len(b) == 0 || len(b) > windowDigits || b[0] == '0' || !all(b, digitByte) {
		return 0, false
	}
	for _, c := range b {
		bits = 10*bits + int(c-'0')
	}
	return bits, leastWindow <= bits && bits <= maxWindow
}

// unquote takes the quotes and backslashes off a valid value (RFC 9110 section 5.6.4).
func unquote(b []byte) []byte {
	if len(b) == 0 || b[0] != '"' {
		return b
	}
	var bare []byte
	for i := 1; i < len(b)-1; i++ {
		if b[i] == '\\' {
			i++
		}
		bare = append(bare, b[i])
	}
	return bare
}

// deflateAnswer is the answer to an offer (RFC 7692 section 7.1): neither side keeps a
// window between messages, so that a connection at rest costs nothing. The window is
// mentioned only if the client has bound it.
func deflateAnswer(t deflateTerms) string {
	const answer = deflateToken + "; server_no_context_takeover; client_no_context_takeover"
	if !t.bound {
		return answer
	}
	return answer + "; server_max_window_bits=" + strconv.Itoa(t.window)
}
