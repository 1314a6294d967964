package frame

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// StatusCode is the reason for a close as a number (RFC 6455 section 7.4).
type StatusCode = ws.StatusCode

// The status codes a server has a use for.
const (
	StatusNormal          StatusCode = ws.StatusNormalClosure           // 1000: the purpose is fulfilled
	StatusGoingAway       StatusCode = ws.StatusGoingAway               // 1001: the server stops, or a page is left
	StatusProtocolError   StatusCode = ws.StatusProtocolError           // 1002: the peer broke RFC 6455
	StatusUnsupportedData StatusCode = ws.StatusUnsupportedData         // 1003: a kind of data not accepted here
	StatusNoStatus        StatusCode = ws.StatusNoStatusRcvd            // 1005: a close frame had no code; never on the wire
	StatusInvalidPayload  StatusCode = ws.StatusInvalidFramePayloadData // 1007: text that is not UTF-8
	StatusPolicyViolation StatusCode = ws.StatusPolicyViolation         // 1008: a rule of the server, with no code of its own
	StatusTooBig          StatusCode = ws.StatusMessageTooBig           // 1009: a message above the limit
	StatusMandatoryExt    StatusCode = ws.StatusMandatoryExt            // 1010: a client misses an extension; never from a server
	StatusInternalError   StatusCode = ws.StatusInternalServerError     // 1011: the server failed

	// StatusServiceRestart is 1012: come back after a random delay. It is not
	// in RFC 6455 but in IANA's WebSocket Close Code Number Registry.
	StatusServiceRestart StatusCode = 1012
)

// closeCodeSize is the length of the code in front of the reason.
const closeCodeSize = 2

// AppendClose appends a whole close frame (FIN set, not masked) to dst and
// returns the extended slice. It allocates only when dst lacks room.
//
// Of reason goes out the longest start that is valid UTF-8 and fits into a
// control frame next to the code: 123 bytes, cut between runes. A code that may
// not be on the wire, such as StatusNoStatus, gives an empty payload: the peer
// then sees a close without a status.
func AppendClose(dst []byte, code StatusCode, reason string) []byte {
	if !Sendable(code) {
		return appendHeader(dst, Close, 0)
	}
	reason = reason[:reasonLength(reason)]
	dst = appendHeader(dst, Close, closeCodeSize+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// reasonLength counts the bytes of reason that AppendClose sends.
func reasonLength(reason string) int {
	n := 0
	for n < len(reason) {
		r, size := utf8.DecodeRuneInString(reason[n:])
		if r == utf8.RuneError && size == 1 || closeCodeSize+n+size > maxControlPayload {
			break
		}
		n += size
	}
	return n
}

// ParseClose takes the unmasked payload of a close frame apart. An empty one
// gives StatusNoStatus. The reason aliases payload. With an error (one of
// ErrBadClosePayload, ErrBadCloseCode, ErrInvalidUTF8) code and reason are
// zero.
func ParseClose(payload []byte) (code StatusCode, reason []byte, err error) {
	// RFC 6455 section 7.1.5: without a code in the frame, the code is 1005.
	if len(payload) == 0 {
		return StatusNoStatus, nil, nil
	}
	// RFC 6455 section 5.5.1: if there is a body, its first two bytes are the
	// code.
	if len(payload) < closeCodeSize {
		return 0, nil, ErrBadClosePayload
	}
	code = StatusCode(binary.BigEndian.Uint16(payload))
	if !Sendable(code) {
		return 0, nil, ErrBadCloseCode
	}
	// RFC 6455 section 5.5.1: the rest may be a reason, encoded as UTF-8.
	reason = payload[closeCodeSize:]
	if !utf8.Valid(reason) {
		return 0, nil, ErrInvalidUTF8
	}
	return code, reason, nil
}

// Sendable reports whether a close frame may carry the code.
func Sendable(code StatusCode) bool {
	switch {
	// RFC 6455 section 7.4.1: 1004 has no meaning yet; 1005 and 1006 stand for
	// what was not on the wire.
	case 1000 <= code && code <= 1003:
		return true
	// RFC 6455 section 7.4.1 up to 1011; IANA added 1012 to 1014. 1015 stands
	// for a failed TLS handshake and is not on the wire either.
	case 1007 <= code && code <= 1014:
		return true
	// RFC 6455 section 7.4.2: 3000-3999 are registered by libraries and
	// applications, 4000-4999 are private.
	case 3000 <= code && code <= 4999:
		return true
	default:
		return false
	}
}
