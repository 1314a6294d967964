package handshake

import (
	"net/http"
	"strconv"
)

// refusal is one way to say no.
type refusal struct {
	status int
	reason string // short and fixed, for the log
	header string // extra header lines, each with its CRLF
	hint   string // one line for whoever sees the body: what to do
}

// upgradeHeaders go with every 426: RFC 9110 section 15.5.22 asks for Upgrade,
// RFC 6455 section 4.4 for the version.
const upgradeHeaders = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade, close\r\n"

const closeHeader = "Connection: close\r\n"

// Heads that are too long.
var (
	headTooLong    = refusal{431, "head too long", closeHeader, "send fewer or shorter headers, or a shorter URL; the server's limit is in bytes"}
	tooManyHeaders = refusal{431, "too many headers", closeHeader, "send fewer headers"}
)

// Heads that are malformed, whatever they ask for.
var (
	notHTTP          = refusal{400, "not HTTP", closeHeader, "speak HTTP/1.1, without TLS, on this port"}
	badRequestLine   = refusal{400, "malformed request line", closeHeader, "send: method, space, target, space, HTTP/1.1"}
	badAuthority     = refusal{400, "malformed authority in target", closeHeader, "send a URL with a plain host and port, or only its path"}
	bareLineFeed     = refusal{400, "bare line feed", closeHeader, "end every line in CR LF"}
	foldedLine       = refusal{400, "folded header line", closeHeader, "send every header on one line"}
	spaceBeforeColon = refusal{400, "space before colon", closeHeader, "put the colon right behind the header name"}
	badHeaderName    = refusal{400, "malformed header name", closeHeader, "send every header as name, colon, value"}
	badHeaderValue   = refusal{400, "control character in header", closeHeader, "send header values without control characters"}
)

// Heads for Policy.Path that are no handshake.
var (
	wrongMajor          = refusal{505, "unsupported HTTP version", closeHeader, "speak HTTP/1.1"}
	oldMinor            = refusal{400, "HTTP/1.0", closeHeader, "speak HTTP/1.1; a proxy may have to be told to"}
	notOneHost          = refusal{400, "missing or repeated Host", closeHeader, "send one Host header"}
	badHost             = refusal{400, "malformed Host", closeHeader, "send a plain host and port as Host"}
	wrongMethod         = refusal{405, "method is not GET", "Allow: GET\r\n" + closeHeader, "open the WebSocket with GET"}
	noUpgrade           = refusal{426, "no Upgrade: websocket", upgradeHeaders, "connect with a WebSocket client; a proxy in between has to pass on Upgrade and Connection"}
	hasBody             = refusal{400, "body on a handshake", closeHeader, "send neither Content-Length nor Transfer-Encoding"}
	noConnectionUpgrade = refusal{400, "no Connection: Upgrade", closeHeader, "send Connection: Upgrade; a proxy in between has to pass it on"}
	noVersion           = refusal{400, "missing Sec-WebSocket-Version", closeHeader, "send Sec-WebSocket-Version: 13"}
	manyVersions        = refusal{400, "repeated Sec-WebSocket-Version", closeHeader, "send Sec-WebSocket-Version: 13 once"}
	wrongVersion        = refusal{426, "unsupported Sec-WebSocket-Version", upgradeHeaders, "speak version 13 of the protocol, RFC 6455"}
	badKey              = refusal{400, "missing, repeated or malformed Sec-WebSocket-Key", closeHeader, "send one Sec-WebSocket-Key: 16 random bytes in base64"}
	manyOrigins         = refusal{400, "repeated Origin", closeHeader, "send at most one Origin header"}
	originRefused       = refusal{403, "origin not allowed", closeHeader, "the server takes other origins when started with --origins; refused was "}
	badExtensions       = refusal{400, "malformed Sec-WebSocket-Extensions", closeHeader, "send extensions as in RFC 6455 section 9.1, or none"}
	badSubprotocols     = refusal{400, "malformed Sec-WebSocket-Protocol", closeHeader, "send subprotocols as tokens with commas between them, or none"}
	notComputed         = refusal{400, "handshake not answered", closeHeader, "send a plain RFC 6455 handshake"}
)

// wrongPath answers a handshake for anything but Policy.Path.
var wrongPath = refusal{404, "handshake for another path", closeHeader, "the WebSocket is at "}

// detailLimit is how many bytes of a detail a body shows.
const detailLimit = 200

// append writes the whole response to dst. detail completes the hint; it may
// come from the client, so it is shortened, quoted and escaped. A HEAD request
// gets the headers only (RFC 9110 section 9.3.2).
func (f *refusal) append(dst []byte, method []byte, detail string) []byte {
	var buf [512]byte
	body := append(buf[:0], f.reason...)
	body = append(body, ": "...)
	body = append(body, f.hint...)
	if detail != "" {
		body = strconv.AppendQuoteToASCII(body, detail[:min(len(detail), detailLimit)])
	}
	body = append(body, '\n')

	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(f.status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(f.status)...)
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n"...)
	dst = append(dst, f.header...)
	dst = append(dst, "\r\n"...)
	if string(method) == http.MethodHead {
		return dst
	}
	return append(dst, body...)
}
