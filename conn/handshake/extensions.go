package handshake

import "bytes"

const extensionsHeader = "Sec-WebSocket-Extensions"

// negotiate judges what a client offers by RFC 6455 section 9.1, and reports whether it
// conforms to the grammar; else the handshake must fail. With compress, agreed is the first
// offer of permessage-deflate that can be met (RFC 7692 section 5.1). The lines are one
// list, of one element at least.
func negotiate(r *Request, compress bool) (agreed deflateTerms, ok bool) {
	offers := 0
	for name, value := range r.Headers() {
		if !foldEqual(name, extensionsHeader) {
			continue
		}
		// A comma or semicolon never stands inside a quoted string: what was quoted
		// must be a token.
		for offer := range list(value) {
			token, params, more := bytes.Cut(offer, semicolon)
			if token = trim(token); len(token) == 0 || !all(token, tokenByte) {
				return deflateTerms{}, false
			}
			d := deflateOffer{good: string(token) == deflateToken, terms: deflateTerms{window: maxWindow}}
			for more {
				var param []byte
				if param, params, more = bytes.Cut(params, semicolon); !validParam(param) {
					return deflateTerms{}, false
				}
				d.take(param)
			}
			if compress && d.good && agreed.window == 0 {
				agreed = d.terms
			}
			offers++
		}
	}
	return agreed, offers > 0
}

// validParam reports whether b is token [ "=" (token | quoted-string) ].
func validParam(b []byte) bool {
	name, value, assigned := bytes.Cut(b, equals)
	if name = trim(name); len(name) == 0 || !all(name, tokenByte) {
		return false
	}
	if !assigned {
		return true
	}
	value = trim(value)
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		return validQuoted(value[1 : n-1])
	}
	return len(value) > 0 && all(value, tokenByte)
}

// validQuoted reports whether b, the inside of a quoted string, is a token once
// each backslash has given way to the byte behind it (RFC 9110 section 5.6.4).
func validQuoted(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' {
			i++
		}
		if i == len(b) || class[b[i]]&tokenByte == 0 {
			return false
		}
	}
	return len(b) > 0
}

var (
	semicolon = []byte(";")
	equals    = []byte("=")
)
