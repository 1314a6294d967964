package handshake

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func testPolicy() *Policy {
	return &Policy{Path: "/ws", Subprotocols: []string{"chat", "superchat"}, MaxHead: 8192, MaxHeaders: 100}
}

// edit returns clientHead with the first old replaced; old must be there.
func edit(t testing.TB, old, with string) string {
	t.Helper()
	if !strings.Contains(clientHead, old) {
		t.Fatalf("the head has no %q to replace", old)
	}
	return strings.Replace(clientHead, old, with, 1)
}

// add returns clientHead with header lines added at the end.
func add(lines ...string) string {
	return strings.TrimSuffix(clientHead, "\r\n") + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// TestAnswers has the example of RFC 6455 section 1.3, whole.
func TestAnswers(t *testing.T) {
	const head = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n" +
		"Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n"
	p := testPolicy()
	p.Path, p.Origins = "/chat", []string{"example.com"}
	r := p.Negotiate([]byte("before "), []byte(head))
	const want = "before HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
	if r.Kind != Upgrade || r.Status != 101 || r.N != len(head) || r.Subprotocol != 0 || r.Reason != "" {
		t.Errorf("got %v, status %d, N %d, subprotocol %d, reason %q", r.Kind, r.Status, r.N, r.Subprotocol, r.Reason)
	}
	if string(r.Response) != want {
		t.Errorf("response %q, want %q", r.Response, want)
	}
}

func TestAccepted(t *testing.T) {
	for name, head := range map[string]string{
		"as it is":             clientHead,
		"from a browser":       browserHead,
		"names in lower case":  strings.NewReplacer("Host", "host", "Upgrade:", "upgrade:", "Connection", "connection", "Sec-WebSocket", "sec-websocket").Replace(clientHead),
		"values in other case": strings.NewReplacer(": websocket", ": WebSocket", ": Upgrade", ": UPGRADE").Replace(clientHead),
		"connection list":      edit(t, "Connection: Upgrade", "Connection: keep-alive, Upgrade"),
		"connection twice":     edit(t, "Connection: Upgrade", "Connection: keep-alive\r\nConnection: ,upgrade"),
		"connection first":     add("Connection: keep-alive"),
		"upgrade first":        add("Upgrade: h2c"),
		"upgrade list":         edit(t, ": websocket", ": h2c, websocket"),
		"no space after colon": strings.ReplaceAll(clientHead, ": ", ":"),
		"tabs and spaces":      edit(t, ": 13", ":\t 13 \t"),
		"query":                edit(t, "/ws", "/ws?a=%zz&b=/?c"),
		"absolute target":      edit(t, "/ws", "HTTP://Example.com:80/ws?x"),
		"HTTP/1.2":             edit(t, "HTTP/1.1", "HTTP/1.2"),
		"host without port":    edit(t, "127.0.0.1:8080", "example.com"),
		"host is IPv6":         edit(t, "127.0.0.1:8080", "[::1]:8080"),
		"text beyond ASCII":    add("X-Name: J\xc3\xb6rg \xff"),
		"empty header":         add("X-Empty:"),
		"key with spare bits":  edit(t, "ZQ==", "ZR=="),
		"extensions":           add("Sec-WebSocket-Extensions: permessage-deflate; x", "Sec-WebSocket-Extensions: "),
		"extension parameters": add("sec-websocket-extensions: a;b;c=d , ,e ; f = \"g\\h\"\t;i,a"),
		"shortest": "GET / HTTP/1.1\r\nHost:a\r\nUpgrade:websocket\r\nConnection:upgrade\r\n" +
			"Sec-WebSocket-Version:13\r\nSec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := testPolicy()
			if name == "shortest" {
				p.Path, p.MaxHead, p.MaxHeaders = "/", leastHead, leastHeaders
				if len(head) != leastHead {
					t.Errorf("the shortest head has %d bytes, leastHead says %d", len(head), leastHead)
				}
			}
			r := p.Negotiate(nil, []byte(head))
			if r.Kind != Upgrade || r.Status != 101 || r.N != len(head) {
				t.Fatalf("got %v, status %d, N %d of %d, reason %q", r.Kind, r.Status, r.N, len(head), r.Reason)
			}
			if !strings.Contains(string(r.Response), "\r\nSec-WebSocket-Accept: ") || bytes.Contains(r.Response, []byte("Extensions")) {
				t.Errorf("response %q", r.Response)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	for _, tt := range []struct {
		name, head string
		status     int
		reason     string
	}{
		{"no request line", "\r\n" + clientHead, 400, "not HTTP"},
		{"TLS", "\x16\x03\x01\x02\x00", 400, "not HTTP"},
		{"no target", edit(t, " /ws", ""), 400, "malformed request line"},
		{"two spaces", edit(t, " /ws", "  /ws"), 400, "malformed request line"},
		{"space in target", edit(t, "/ws", "/ws a"), 400, "malformed request line"},
		{"fragment", edit(t, "/ws", "/ws#a"), 400, "malformed request line"},
		{"control in target", edit(t, "/ws", "/ws\x01"), 400, "malformed request line"},
		{"bad method", edit(t, "GET", "G{T"), 400, "malformed request line"},
		{"no version", edit(t, " HTTP/1.1", ""), 400, "malformed request line"},
		{"version in lower case", edit(t, "HTTP/1.1", "http/1.1"), 400, "malformed request line"},
		{"long version", edit(t, "HTTP/1.1", "HTTP/1.10"), 400, "malformed request line"},
		{"version of letters", edit(t, "HTTP/1.1", "HTTP/1.x"), 400, "malformed request line"},
		{"version without dot", edit(t, "HTTP/1.1", "HTTP/1,1"), 400, "malformed request line"},
		{"short version at the end", "GET / HT\r\n\r\n", 400, "malformed request line"},
		{"user in authority", edit(t, "/ws", "http://me@example.com/ws"), 400, "malformed authority in target"},
		{"empty authority", edit(t, "/ws", "http:///ws"), 400, "malformed authority in target"},
		{"port of letters", edit(t, "/ws", "http://example.com:x/ws"), 400, "malformed authority in target"},

		{"bare LF after request line", edit(t, "1.1\r\n", "1.1\n"), 400, "bare line feed"},
		{"bare LF after header", edit(t, ": 13\r\n", ": 13\n"), 400, "bare line feed"},
		{"bare LF at the end", edit(t, ": 13\r\n\r\n", ": 13\r\n\n"), 400, "bare line feed"},
		{"LF only", strings.ReplaceAll(clientHead, "\r\n", "\n"), 400, "bare line feed"},
		{"bare LF, no headers", "GET /ws HTTP/1.1\r\n\n", 400, "bare line feed"},
		{"bare CR", edit(t, ": 13", ": 1\r3"), 400, "control character in header"},
		{"CR at line start", edit(t, "Host", "\rHost"), 400, "malformed header name"},
		{"NUL", add("X: a\x00b"), 400, "control character in header"},
		{"DEL", add("X: aaaaaaaaaaaa\x7fbbbbbbbbbbbb"), 400, "control character in header"},
		{"folded", add("X: a\r\n b"), 400, "folded header line"},
		{"folded first", edit(t, "Host", " Host"), 400, "folded header line"},
		{"space before colon", edit(t, "Host:", "Host :"), 400, "space before colon"},
		{"tab before colon", edit(t, "Host:", "Host\t:"), 400, "space before colon"},
		{"no colon", add("Nonsense"), 400, "malformed header name"},
		{"empty name", add(": x"), 400, "malformed header name"},
		{"name beyond ASCII", add("N\xc3\xa4me: x"), 400, "malformed header name"},

		{"HTTP/2.0", edit(t, "HTTP/1.1", "HTTP/2.0"), 505, "unsupported HTTP version"},
		{"HTTP/0.9", edit(t, "HTTP/1.1", "HTTP/0.9"), 505, "unsupported HTTP version"},
		{"HTTP/1.0", edit(t, "HTTP/1.1", "HTTP/1.0"), 400, "HTTP/1.0"},
		{"no host", edit(t, "Host: 127.0.0.1:8080\r\n", ""), 400, "missing or repeated Host"},
		{"two hosts", add("HOST: 127.0.0.1:8080"), 400, "missing or repeated Host"},
		{"empty host", edit(t, "127.0.0.1:8080", ""), 400, "malformed Host"},
		{"host with path", edit(t, "127.0.0.1:8080", "a/b"), 400, "malformed Host"},
		{"host with user", edit(t, "127.0.0.1:8080", "a@b"), 400, "malformed Host"},
		{"bad host beside absolute target", edit(t, "/ws HTTP/1.1\r\nHost: ", "http://a/ws HTTP/1.1\r\nHost: /"), 400, "malformed Host"},
		{"unclosed IPv6 host", edit(t, "127.0.0.1:8080", "[::1"), 400, "malformed Host"},
		{"IPv6 host with zone", edit(t, "127.0.0.1:8080", "[fe80::1%eth0]"), 400, "malformed Host"},
		{"POST", edit(t, "GET", "POST"), 405, "method is not GET"},
		{"method in lower case", edit(t, "GET", "get"), 405, "method is not GET"},
		{"HEAD", edit(t, "GET", "HEAD"), 405, "method is not GET"},
		{"no upgrade", edit(t, "Upgrade: websocket\r\n", ""), 426, "no Upgrade: websocket"},
		{"other upgrade", edit(t, ": websocket", ": websockets"), 426, "no Upgrade: websocket"},
		{"body", add("Content-Length: 0"), 400, "body on a handshake"},
		{"chunks", add("Transfer-Encoding: chunked"), 400, "body on a handshake"},
		{"no connection", edit(t, "Connection: Upgrade\r\n", ""), 400, "no Connection: Upgrade"},
		{"other connection", edit(t, "Connection: Upgrade", "Connection: close"), 400, "no Connection: Upgrade"},
		{"no version header", edit(t, "Sec-WebSocket-Version: 13\r\n", ""), 400, "missing Sec-WebSocket-Version"},
		{"version twice", add("Sec-WebSocket-Version: 13"), 400, "repeated Sec-WebSocket-Version"},
		{"version 8", edit(t, ": 13", ": 8"), 426, "unsupported Sec-WebSocket-Version"},
		{"version 013", edit(t, ": 13", ": 013"), 426, "unsupported Sec-WebSocket-Version"},
		{"no key", edit(t, key+"\r\n", ""), 400, "missing, repeated or malformed Sec-WebSocket-Key"},
		{"key twice", add(key), 400, "missing, repeated or malformed Sec-WebSocket-Key"},
		{"short key", edit(t, "ZQ==", ""), 400, "missing, repeated or malformed Sec-WebSocket-Key"},
		{"key of 17 bytes", edit(t, "ZQ==", "ZQo="), 400, "missing, repeated or malformed Sec-WebSocket-Key"},
		{"key of 18 bytes", edit(t, "ZQ==", "ZQaa"), 400, "missing, repeated or malformed Sec-WebSocket-Key"},
		{"key not base64", edit(t, "dGhl", "dG_l"), 400, "missing, repeated or malformed Sec-WebSocket-Key"},
		{"other origin", add("Origin: https://evil.example"), 403, "origin not allowed"},
		{"origin beyond ASCII", add("Origin: https://\u00e9vil.example"), 403, "origin not allowed"},
		{"null origin", add("Origin: null"), 403, "origin not allowed"},
		{"two origins", add("Origin: http://127.0.0.1:8080", "Origin: http://127.0.0.1:8080"), 400, "repeated Origin"},
		{"no subprotocol in list", add("Sec-WebSocket-Protocol: ,", "Sec-WebSocket-Protocol: "), 400, "malformed Sec-WebSocket-Protocol"},
		{"no extension in list", add("Sec-WebSocket-Extensions: , ,"), 400, "malformed Sec-WebSocket-Extensions"},
		{"bad subprotocol", add("Sec-WebSocket-Protocol: chat, a b"), 400, "malformed Sec-WebSocket-Protocol"},
		{"extension of a semicolon", add("Sec-WebSocket-Extensions: good, ;"), 400, "malformed Sec-WebSocket-Extensions"},
		{"extension name of two words", add("Sec-WebSocket-Extensions: a b"), 400, "malformed Sec-WebSocket-Extensions"},
		{"extension name quoted", add("Sec-WebSocket-Extensions: \"a\""), 400, "malformed Sec-WebSocket-Extensions"},
		{"extension parameter empty", add("Sec-WebSocket-Extensions: a;"), 400, "malformed Sec-WebSocket-Extensions"},
		{"extension parameter without a name", add("Sec-WebSocket-Extensions: a; =b"), 400, "malformed Sec-WebSocket-Extensions"},
		{"extension parameter without a value", add("Sec-WebSocket-Extensions: a; b="), 400, "malformed Sec-WebSocket-Extensions"},
		{"extension value of two words", add("Sec-WebSocket-Extensions: a; b=c d"), 400, "malformed Sec-WebSocket-Extensions"},
		{"extension value quoted, empty", add("Sec-WebSocket-Extensions: a; b=\"\""), 400, "malformed Sec-WebSocket-Extensions"},
		{"extension value quoted, no token", add("Sec-WebSocket-Extensions: a; b=\"c, d\""), 400, "malformed Sec-WebSocket-Extensions"},
		{"extension value quoted, not closed", add("Sec-WebSocket-Extensions: a; b=\"c\\\""), 400, "malformed Sec-WebSocket-Extensions"},
		{"extension value of one quote", add("Sec-WebSocket-Extensions: a; b=\""), 400, "malformed Sec-WebSocket-Extensions"},

		{"handshake elsewhere", edit(t, "/ws", "/"), 404, "handshake for another path"},
		{"handshake below", edit(t, "/ws", "/ws/"), 404, "handshake for another path"},
		{"handshake for encoded path", edit(t, "/ws", "/%77s"), 404, "handshake for another path"},
		{"handshake for absolute elsewhere", edit(t, "/ws", "http://example.com"), 404, "handshake for another path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := testPolicy().Negotiate(nil, []byte(tt.head))
			if r.Kind != Refuse || r.Status != tt.status || r.Reason != tt.reason || r.Subprotocol != -1 {
				t.Fatalf("got %v, status %d, reason %q, subprotocol %d", r.Kind, r.Status, r.Reason, r.Subprotocol)
			}
			if tt.reason != "not HTTP" && r.N != len(tt.head) {
				t.Errorf("N is %d, the head has %d bytes", r.N, len(tt.head))
			}
			checkRefusal(t, r)
		})
	}
}

// checkRefusal asserts that the response of r is one whole HTTP/1.1 response
// that says the connection ends, and whose body is one line of plain ASCII.
func checkRefusal(t *testing.T, r Result) {
	t.Helper()
	request := &http.Request{Method: string(r.Request.Method)}
	in := bufio.NewReader(bytes.NewReader(r.Response))
	response, err := http.ReadResponse(in, request)
	if err != nil {
		t.Fatalf("net/http cannot read the response: %v\n%q", err, r.Response)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("body: %v", err)
	}
	if in.Buffered() != 0 {
		t.Errorf("%d bytes follow the response %q", in.Buffered(), r.Response)
	}
	if response.StatusCode != r.Status || response.Proto != "HTTP/1.1" || !response.Close ||
		response.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("response %q", r.Response)
	}
	switch length := response.Header.Get("Content-Length"); {
	case request.Method == "HEAD":
		if len(body) != 0 || length == "0" {
			t.Errorf("to HEAD: Content-Length %s and body %q", length, body)
		}
	case length != strconv.Itoa(len(body)):
		t.Errorf("Content-Length %s, body of %d bytes", length, len(body))
	case !strings.HasPrefix(string(body), r.Reason+": ") || strings.Count(string(body), "\n") != 1 || body[len(body)-1] != '\n':
		t.Errorf("body %q", body)
	}
	for _, c := range body[:max(0, len(body)-1)] {
		if c < ' ' || c >= 0x7f {
			t.Errorf("body %q holds byte %#x", body, c)
		}
	}
	for name, want := range map[int]map[string]string{
		405: {"Allow": "GET"},
		426: {"Upgrade": "websocket", "Sec-Websocket-Version": "13"},
	}[r.Status] {
		if got := response.Header.Get(name); got != want {
			t.Errorf("status %d with %s: %q, want %q", r.Status, name, got, want)
		}
	}
}

// TestRefusalSaysWhatToDo checks the two bodies that quote something.
func TestRefusalSaysWhatToDo(t *testing.T) {
	p := testPolicy()
	r := p.Negotiate(nil, []byte(add("Origin: https://\"\xff"+strings.Repeat("e", 500))))
	if want := `--origins; refused was "https://\"\xff` + strings.Repeat("e", 200-len("https://??")) + "\"\n"; !bytes.HasSuffix(r.Response, []byte(want)) {
		t.Errorf("403 body ends in %q, want %q", r.Response[len(r.Response)-len(want):], want)
	}
	r = p.Negotiate(nil, []byte(edit(t, "/ws", "/elsewhere")))
	if !bytes.HasSuffix(r.Response, []byte("the WebSocket is at \"/ws\"\n")) {
		t.Errorf("404 response %q", r.Response)
	}
}

func TestHandedToHTTP(t *testing.T) {
	for name, head := range map[string]string{
		"plain":            plainHead,
		"HTTP/1.0":         "GET / HTTP/1.0\r\n\r\n",
		"no host":          "GET / HTTP/1.1\r\n\r\n",
		"with a body":      "POST /publish HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
		"asterisk":         "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"authority":        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
		"other scheme":     "GET ftp://a/ws HTTP/1.1\r\nHost: a\r\n\r\n",
		"HTTP/2 preface":   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"other upgrade":    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n",
		"absolute, root":   "GET http://a?ws HTTP/1.1\r\nHost: a\r\n\r\n",
		"path with suffix": "GET /wss HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := testPolicy().Negotiate(nil, []byte(head))
			if r.Kind != HTTP || r.N != 0 || r.Response != nil || r.Status != 0 || r.Subprotocol != -1 || r.Reason != "" {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// TestLimits has each limit exactly reached and exceeded by one.
func TestLimits(t *testing.T) {
	p := testPolicy()
	p.MaxHead = len(clientHead)
	if r := p.Negotiate(nil, []byte(clientHead+"frames")); r.Kind != Upgrade {
		t.Errorf("head of MaxHead bytes: %v, %q", r.Kind, r.Reason)
	}
	p.MaxHead--
	whole := p.Negotiate(nil, []byte(clientHead))
	part := p.Negotiate(nil, []byte(clientHead[:p.MaxHead]))
	for _, r := range []Result{whole, part} {
		if r.Kind != Refuse || r.Status != 431 || r.Reason != "head too long" || r.N != 0 {
			t.Errorf("head of MaxHead+1 bytes: %v, status %d, %q, N %d", r.Kind, r.Status, r.Reason, r.N)
		}
		checkRefusal(t, r)
	}
	if r := p.Negotiate(nil, []byte(clientHead[:p.MaxHead-1])); r.Kind != Incomplete {
		t.Errorf("part below MaxHead: %v", r.Kind)
	}

	p = testPolicy()
	p.MaxHeaders = strings.Count(clientHead, "\r\n") - 2
	if r := p.Negotiate(nil, []byte(clientHead)); r.Kind != Upgrade {
		t.Errorf("MaxHeaders headers: %v, %q", r.Kind, r.Reason)
	}
	r := p.Negotiate(nil, []byte(add("X: y")))
	if r.Kind != Refuse || r.Status != 431 || r.Reason != "too many headers" {
		t.Errorf("MaxHeaders+1 headers: %v, status %d, %q", r.Kind, r.Status, r.Reason)
	}
	checkRefusal(t, r)

	p = &Policy{Path: "/ws", MaxHead: -1}
	if r := p.Negotiate(nil, []byte(clientHead)); r.Status != 431 {
		t.Errorf("policy without limits: %v, status %d", r.Kind, r.Status)
	}
}

// TestBytesBehindHead has frames arrive along with the head.
func TestBytesBehindHead(t *testing.T) {
	for _, behind := range []string{"\x81\x80abcd", "\r\n", "\n\n", clientHead} {
		r := testPolicy().Negotiate(nil, []byte(clientHead+behind))
		if r.Kind != Upgrade || r.N != len(clientHead) {
			t.Errorf("with %q behind: %v, N %d, want %d", behind, r.Kind, r.N, len(clientHead))
		}
	}
}

// TestByteByByte delivers heads a byte at a time: Incomplete up to the end of
// the head, then what the whole gives.
func TestByteByByte(t *testing.T) {
	for _, head := range []string{clientHead, browserHead, plainHead, edit(t, ": 13", ": 12"),
		edit(t, "127.0.0.1:8080\r\n", "\n"), strings.ReplaceAll(plainHead, "\r", "")} {
		p, b := testPolicy(), []byte(head)
		whole := p.Negotiate(nil, b)
		if whole.Kind == Incomplete {
			t.Fatalf("%q is incomplete", head)
		}
		for n := range b {
			if r := p.NegotiateFrom(nil, b[:n], max(0, n-1)); r.Kind != Incomplete || r.Response != nil || r.Subprotocol != -1 {
				t.Fatalf("after %d of %d bytes: %+v", n, len(b), r)
			}
		}
		sameResult(t, p.NegotiateFrom(nil, b, len(b)-1), whole)
	}
}

func sameResult(t *testing.T, got, want Result) {
	t.Helper()
	if got.Kind != want.Kind || got.N != want.N || got.Status != want.Status || got.Reason != want.Reason ||
		got.Subprotocol != want.Subprotocol || got.Window != want.Window || !bytes.Equal(got.Response, want.Response) ||
		!bytes.Equal(got.Request.Target, want.Request.Target) || !bytes.Equal(got.Request.headers, want.Request.headers) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

// TestAcceptReportsUpgrader gives the Upgrader what only a bug in the scan
// could give it.
func TestAcceptReportsUpgrader(t *testing.T) {
	if dst, err := accept([]byte("x"), []byte("short"), "", deflateTerms{}); err == nil || string(dst) != "x" {
		t.Errorf("got %q, %v", dst, err)
	}
	if dst, err := accept(nil, []byte("dGhlIHNhbXBsZSBub25jZQ=="), strings.Repeat("p", 5000), deflateTerms{}); err != nil || len(dst) < 5000 {
		t.Errorf("long subprotocol: %d bytes, %v", len(dst), err)
	}
}

func TestKindString(t *testing.T) {
	for k, want := range []string{"incomplete", "upgrade", "refuse", "http", "invalid"} {
		if got := Kind(k).String(); got != want {
			t.Errorf("Kind(%d) is %q, want %q", k, got, want)
		}
	}
}

func TestAllocations(t *testing.T) {
	p, dst := testPolicy(), make([]byte, 0, 1024)
	for _, tt := range []struct {
		name, head string
		kind       Kind
		most       float64
	}{
		{"incomplete", clientHead[:100], Incomplete, 0},
		{"http", plainHead, HTTP, 0},
		{"refused", edit(t, ": 13", ": 12"), Refuse, 0},
		// One in ws.Upgrader: its copy of the key.
		{"upgrade", clientHead, Upgrade, 1},
		{"browser", browserHead, Upgrade, 1},
		{"subprotocol", add("Sec-WebSocket-Protocol: mqtt, superchat"), Upgrade, 1},
	} {
		if raceEnabled && tt.kind == Upgrade {
			continue // the race detector makes sync.Pool drop at random
		}
		head := []byte(tt.head)
		got := testing.AllocsPerRun(200, func() {
			if r := p.Negotiate(dst[:0], head); r.Kind != tt.kind {
				t.Fatalf("%s: %v, %q", tt.name, r.Kind, r.Reason)
			}
		})
		if got > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, got, tt.most)
		}
	}
}
