package bench

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors of the opening handshake, RFC 6455 section 4.1.
var (
	// ErrHandshakeAnswer is returned when the answer is not HTTP/1.1 or longer than 16 KiB.
	ErrHandshakeAnswer = errors.New("the answer to the handshake is not HTTP/1.1")
	// ErrHandshakeUpgrade is returned when a 101 answer lacks "Upgrade: websocket" or "Connection: Upgrade".
	ErrHandshakeUpgrade = errors.New("the 101 answer lacks Upgrade: websocket or Connection: Upgrade")
	// ErrHandshakeAccept is returned when Sec-WebSocket-Accept does not belong to the key that was sent.
	ErrHandshakeAccept = errors.New("Sec-WebSocket-Accept does not match the key")
	// ErrHandshakeExtension is returned when the answer names an extension or a subprotocol nobody asked for.
	ErrHandshakeExtension = errors.New("the answer names an extension or subprotocol that was not offered")
	// ErrHandshakeDeflate is returned when the answer agrees to permessage-deflate with parameters
	// that RFC 7692 section 7.1 does not allow, or without server_no_context_takeover.
	ErrHandshakeDeflate = errors.New("the answer agrees to permessage-deflate in a way that was not offered")
	// ErrHandshakeTLS is returned when the answer is a record of TLS.
	ErrHandshakeTLS = errors.New("the answer to the handshake is TLS")
	// ErrHandshakeClosed is returned when the server closes the connection before it has answered.
	ErrHandshakeClosed = errors.New("the server closed the connection before it answered the handshake")
	// ErrHandshakeTimeout is returned when the answer is not complete in time.
	ErrHandshakeTimeout = errors.New("no answer to the handshake in time")
	// ErrConnectTimeout is returned when TCP does not connect in time.
	ErrConnectTimeout = errors.New("no TCP connection in time")
)

// RefusedError is returned when the server answers with a status other than 101.
type RefusedError struct {
	Status string // status code and reason phrase
}

func (e *RefusedError) Error() string { return "refused with HTTP " + e.Status }

const maxAnswerBytes = 16 << 10

// handshake writes requests and checks answers. Keys are computed from a seed
// and the connection's token, so that no connection has to keep its own.
type handshake struct {
	seed     uint64
	sample   bool     // the key of section 1.3 for all
	prefixes []string // the request up to the key, by target
	offers   string   // subprotocols asked for, "" for none
	compress bool     // permessage-deflate is offered
}

func newHandshake(seed uint64, targets []target, lines, subprotocols []string, compress bool) handshake {
	h := handshake{seed: seed, compress: compress}
	var more strings.Builder
	if len(subprotocols) > 0 {
		lines = append(slices.Clone(lines), "Sec-WebSocket-Protocol: "+strings.Join(subprotocols, ", "))
	}
	if compress {
		lines = append(slices.Clone(lines), "Sec-WebSocket-Extensions: "+deflateOffer)
	}
	for _, line := range lines {
		more.WriteString(line + "\r\n")
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Sec-WebSocket-Protocol") {
			h.offers = strings.TrimPrefix(h.offers+","+value, ",")
		}
	}
	for _, t := range targets {
		h.prefixes = append(h.prefixes, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\n%sSec-WebSocket-Key: ", t.path, t.host, more.String()))
	}
	return h
}

// appendRequest appends the request of the connection with this token.
func (h *handshake) appendRequest(dst []byte, token uint64) []byte {
	dst = append(dst, h.prefixes[int(uint32(token))%len(h.prefixes)]...)
	key := h.key(token)
	dst = append(dst, key[:]...)
	return append(dst, "\r\n\r\n"...)
}

// key is the nonce of RFC 6455 section 4.1: 16 bytes in base64.
func (h *handshake) key(token uint64) (key [24]byte) {
	if h.sample {
		copy(key[:], "dGhlIHNhbXBsZSBub25jZQ==")
		return key
	}
	var nonce [16]byte
	binary.LittleEndian.PutUint64(nonce[:8], mix(h.seed^token))
	binary.LittleEndian.PutUint64(nonce[8:], mix(h.seed+token))
	base64.StdEncoding.Encode(key[:], nonce[:])
	return key
}

// accept is what the server must answer to key, RFC 6455 section 4.2.2.
func accept(key [24]byte) (value [28]byte) {
	var joined [60]byte
	copy(joined[:], key[:])
	copy(joined[24:], "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
	sum := sha1.Sum(joined[:])
	base64.StdEncoding.Encode(value[:], sum[:])
	return value
}

// check looks for a complete answer at the start of b. It returns the bytes
// the answer takes, or 0 while it is incomplete, and whether it agrees to
// permessage-deflate.
func (h *handshake) check(b []byte, token uint64) (size int, deflate bool, err error) {
	if len(b) > 1 && b[0] == 21 && b[1] == 3 { // an alert, RFC 8446 section 5.1
		return 0, false, ErrHandshakeTLS
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxAnswerBytes {
			return 0, false, ErrHandshakeAnswer
		}
		return 0, false, nil
	}
	line, fields, _ := bytes.Cut(b[:end+2], []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) || len(line) < len("HTTP/1.1 101") {
		return 0, false, ErrHandshakeAnswer
	}
	// RFC 6455 section 4.1: any status but 101 is HTTP, not WebSocket.
	if status := line[len("HTTP/1.1 "):]; !bytes.HasPrefix(status, []byte("101")) || (len(status) > 3 && status[3] != ' ') {
		return 0, false, &RefusedError{Status: string(status[:min(len(status), 60)])}
	}
	if deflate, err = h.checkFields(fields, token); err != nil {
		return 0, false, err
	}
	return end + 4, deflate, nil
}

// checkFields enforces the numbered list at the end of RFC 6455 section 4.1.
func (h *handshake) checkFields(fields []byte, token uint64) (deflate bool, err error) {
	var upgrade, connection, accepted bool
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case isName(name, "Upgrade"):
			upgrade = bytes.EqualFold(value, []byte("websocket"))
		case isName(name, "Connection"):
			connection = connection || hasToken(value, "upgrade")
		case isName(name, "Sec-WebSocket-Accept"):
			want := accept(h.key(token))
			if accepted || !bytes.Equal(value, want[:]) {
				return false, ErrHandshakeAccept
			}
			accepted = true
		case isName(name, "Sec-WebSocket-Extensions") && len(value) > 0:
			if !h.compress || deflate {
				return false, ErrHandshakeExtension
			}
			if err := checkDeflate(string(value)); err != nil {
				return false, err
			}
			deflate = true
		case isName(name, "Sec-WebSocket-Protocol") && !hasToken([]byte(h.offers), string(value)):
			return false, ErrHandshakeExtension
		}
	}
	switch {
	case !upgrade || !connection:
		return false, ErrHandshakeUpgrade
	case !accepted:
		return false, ErrHandshakeAccept
	}
	return deflate, nil
}

func isName(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}

// hasToken looks for one element of a comma-separated list.
func hasToken(list []byte, token string) bool {
	for len(list) > 0 {
		var element []byte
		element, list, _ = bytes.Cut(list, []byte(","))
		if strings.EqualFold(string(bytes.TrimSpace(element)), token) {
			return true
		}
	}
	return false
}

// mix is the finalizer of splitmix64: every input bit reaches every output bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
