package handshake

import (
	"io"
	"sync"

	"github.com/gobwas/ws"
)

// Kind says what to do with the bytes at the front of a connection.
type Kind uint8

const (
	// Incomplete: the head has not ended. Read more, unless the deadline has
	// passed, and negotiate again over all bytes so far.
	Incomplete Kind = iota
	// Upgrade: send Response; behind its N bytes the connection speaks RFC 6455
	// section 5. The client may have sent frames along with the head already.
	Upgrade
	// Refuse: send Response and close. Terminal.
	Refuse
	// HTTP: an ordinary request for somewhere else. Hand the connection to
	// net/http, together with every byte read. Terminal as far as this package
	// is concerned.
	HTTP
)

// String returns the name of k.
func (k Kind) String() string {
	switch k {
	case Incomplete:
		return "incomplete"
	case Upgrade:
		return "upgrade"
	case Refuse:
		return "refuse"
	case HTTP:
		return "http"
	}
	return "invalid"
}

// Result is what Negotiate made of the bytes so far.
type Result struct {
	Kind Kind

	// N is the length of the head in bytes. Bytes behind it stay with the
	// caller: after an Upgrade they are frames. It is 0 for Incomplete, for
	// HTTP, which takes nothing, and for a Refuse that did not wait for the end
	// of the head.
	N int

	// Response is dst with the bytes to send appended. It is nil for
	// Incomplete and HTTP.
	Response []byte

	// Status is the status code in Response, 0 when there is none.
	Status int

	// Subprotocol is the index in Policy.Subprotocols of the agreed
	// subprotocol, or -1 for none.
	Subprotocol int

	// Window is the size of the window with which the server may deflate messages, as a
	// power of two from 9 to 15, when permessage-deflate is agreed, or 0 when it is not.
	Window int

	// Request is the scanned head, in views into b. It is empty for Incomplete
	// and partial where a Refuse says the head is malformed or too long.
	Request Request

	// Reason says in a short fixed phrase why the request was refused, for the
	// log. It is empty otherwise.
	Reason string
}

// Negotiate looks at b, all bytes received on a connection so far, and says
// what to do. It keeps neither dst nor b. When it answers with Upgrade or
// Refuse it appends the response to dst; pass a used buffer as dst[:0] to save
// the allocation.
//
// A head for Path is answered here, whatever is wrong with it. So are heads
// that are malformed or too long, and handshakes for other paths. The rest is
// HTTP.
func (p *Policy) Negotiate(dst, b []byte) Result {
	return p.NegotiateFrom(dst, b, 0)
}

// NegotiateFrom is Negotiate for a caller whose previous call on this
// connection returned Incomplete: from is the length b had then. Only the bytes
// after it are searched for the end of the head, so a client that delivers its
// head byte by byte costs no more in total than one that sends it whole. Any
// from the caller has not seen return Incomplete may hide the end.
func (p *Policy) NegotiateFrom(dst, b []byte, from int) Result {
	if len(b) == 0 {
		return Result{Subprotocol: -1}
	}
	// A TLS client would otherwise sit here until the deadline.
	if class[b[0]]&tokenByte == 0 {
		return p.refuse(dst, 0, &Request{}, &notHTTP)
	}
	limit := max(p.MaxHead, 0)
	n := HeadEnd(b[:min(len(b), limit)], from)
	if n < 0 && len(b) >= limit {
		return p.refuse(dst, 0, &Request{}, &headTooLong)
	}
	if n < 0 {
		return Result{Subprotocol: -1}
	}

	var h head
	if fault := h.scan(b[:n], p.MaxHeaders); fault != nil {
		return p.refuse(dst, n, &h.req, fault)
	}
	if string(h.req.Path) != p.Path {
		if h.websocket {
			return p.refuse(dst, n, &h.req, &wrongPath)
		}
		return Result{Kind: HTTP, Subprotocol: -1, Request: h.req}
	}
	if fault := p.check(&h); fault != nil {
		return p.refuse(dst, n, &h.req, fault)
	}

	name, index := "", -1
	if h.subprotocols > 0 {
		var ok bool
		if index, ok = p.choose(&h.req); !ok {
			return p.refuse(dst, n, &h.req, &badSubprotocols)
		}
		if index >= 0 {
			name = p.Subprotocols[index]
		}
	}
	response, err := accept(dst, h.key, name, h.deflate)
	if err != nil {
		return p.refuse(dst, n, &h.req, &notComputed)
	}
	return Result{
		Kind:        Upgrade,
		N:           n,
		Response:    response,
		Status:      101,
		Subprotocol: index,
		Window:      h.deflate.window,
		Request:     h.req,
	}
}

// refuse makes the Result of a refusal.
func (p *Policy) refuse(dst []byte, n int, r *Request, fault *refusal) Result {
	detail := ""
	switch fault {
	case &wrongPath:
		detail = p.Path
	case &originRefused:
		detail = string(r.Origin)
	}
	return Result{
		Kind:        Refuse,
		N:           n,
		Response:    fault.append(dst, r.Method, detail),
		Status:      fault.status,
		Subprotocol: -1,
		Request:     *r,
		Reason:      fault.reason,
	}
}

// accept appends the 101 response for a valid key (RFC 6455 section 4.2.2) to
// dst. subprotocol is "" for none, deflate zero for no compression.
func accept(dst, key []byte, subprotocol string, deflate deflateTerms) ([]byte, error) {
	x := exchanges.Get().(*exchange)
	x.request = append(x.request[:len(canonicalHead)], key...)
	if subprotocol != "" {
		x.request = append(x.request, "\r\n"+subprotocolHeader+": "...)
		x.request = append(x.request, subprotocol...)
	}
	x.request = append(x.request, "\r\n\r\n"...)
	x.unread, x.response, x.subprotocol, x.deflate = x.request, dst, subprotocol, deflate

	_, err := x.upgrader.Upgrade(x)

	response := x.response
	x.unread, x.response, x.subprotocol = nil, nil, "" // the pool must not hold the caller's memory
	exchanges.Put(x)
	if err != nil {
		return dst, err
	}
	return response, nil
}

// canonicalHead is the request ws.Upgrader sees, up to the key. Target and
// Host were judged already and have no part in the response.
const canonicalHead = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "

// exchange is one conversation with a ws.Upgrader in memory: the Upgrader
// reads the canonical request from it and writes the response to it.
type exchange struct {
	upgrader    ws.Upgrader
	subprotocol string
	deflate     deflateTerms
	request     []byte // canonicalHead and what follows; reused
	unread      []byte // what the Upgrader has not read of request
	response    []byte // the caller's dst, growing
}

// exchanges holds idle exchanges.
var exchanges = sync.Pool{New: func() any {
	x := &exchange{request: append(make([]byte, 0, 256), canonicalHead...)}
	x.upgrader = ws.Upgrader{
		ReadBufferSize:  512,
		WriteBufferSize: 512,
		ProtocolCustom:  func([]byte) (string, bool) { return x.subprotocol, true },
		OnBeforeUpgrade: x.extensions,
	}
	return x
}}

// extensions is the header line that says what has been agreed, if anything.
func (x *exchange) extensions() (ws.HandshakeHeader, error) {
	if x.deflate.window == 0 {
		return nil, nil
	}
	return ws.HandshakeHeaderString(extensionsHeader + ": " + deflateAnswer(x.deflate) + "\r\n"), nil
}

// Read gives the Upgrader the canonical request.
func (x *exchange) Read(b []byte) (int, error) {
	if len(x.unread) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(b, x.unread)
	x.unread = x.unread[n:]
	return n, nil
}

// Write takes the response from the Upgrader.
func (x *exchange) Write(b []byte) (int, error) {
	x.response = append(x.response, b...)
	return len(b), nil
}
