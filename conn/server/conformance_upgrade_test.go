//go:build linux

package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"roost/conn/conntest"
	"roost/conn/server"
)

// upgrade is the request that the cases below differ from in one place.
var upgrade = conntest.Request("example.com", "/ws")

// request is one case of section 4.2.1.
type request struct {
	name   string
	bytes  string
	status int
}

// with is the request with old replaced, which must be there once.
func with(old, by string) string {
	if strings.Count(upgrade, old) != 1 {
		panic("the request has no single " + old)
	}
	return strings.Replace(upgrade, old, by, 1)
}

// plus is the request with further header lines, as they are.
func plus(lines string) string { return with("\r\n\r\n", "\r\n"+lines+"\r\n\r\n") }

const (
	connectionLine = "Connection: Upgrade\r\n"
	upgradeLine    = "Upgrade: websocket\r\n"
	versionLine    = "Sec-WebSocket-Version: 13\r\n"
	keyLine        = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	hostLine       = "Host: example.com\r\n"
)

// smuggled is a second request that must not be answered.
var smuggled = upgrade

// requests are heads at the WebSocket path, or malformed wherever they go.
var requests = []request{
	{"as it is", upgrade, 101},
	{"odd case", strings.NewReplacer("Host", "hOST", "Upgrade:", "UPGRADE:", "Connection", "connection",
		"Sec-WebSocket", "SEC-WEBSOCKET", ": websocket", ": WebSocket", ": Upgrade", ": uPGRADE").Replace(upgrade), 101},
	{"no space behind colons", strings.ReplaceAll(upgrade, ": ", ":"), 101},
	{"tabs and spaces around values", strings.NewReplacer(": ", ":\t  ", "\r\nSec", " \t\r\nSec").Replace(upgrade), 101},
	{"query", with("/ws", "/ws?a=b&c=%20"), 101},
	{"cookies and text beyond ASCII", plus("Cookie: a=b; c=d\r\nX-Name: J\xf6rg \u65e5\u672c"), 101},
	{"extensions", plus("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x; y=\"z\""), 101},

	// The request line.
	{"absolute form", with("/ws", "http://example.com/ws"), 101},
	{"absolute form, other host", with("/ws", "http://example.org:8080/ws?x"), 101},
	{"absolute form, elsewhere", with("/ws", "http://example.com/other"), 404},
	{"absolute form, user", with("/ws", "http://me@example.com/ws"), 400},
	{"absolute form, no host", with("/ws", "http:///ws"), 400},
	{"absolute form, bad port", with("/ws", "http://example.com:port/ws"), 400},
	{"absolute form, ws scheme", with("/ws", "ws://example.com/ws"), 404},
	{"authority form", with("/ws", "example.com:443"), 404},
	{"asterisk form", with("/ws", "*"), 404},
	{"other path", with("/ws", "/other"), 404},
	{"path below", with("/ws", "/ws/"), 404},
	{"path with dots", with("/ws", "/./ws"), 404},
	{"path encoded", with("/ws", "/%77s"), 404},
	{"fragment", with("/ws", "/ws#part"), 400},
	{"no target", with(" /ws", ""), 400},
	{"two spaces", with(" /ws", "  /ws"), 400},
	{"tab for space", with("GET ", "GET\t"), 400},
	{"space at the end", with("HTTP/1.1", "HTTP/1.1 "), 400},
	{"NUL in target", with("/ws", "/ws\x00"), 400},
	{"NUL in method", with("GET", "G\x00T"), 400},
	{"NUL first", "\x00" + upgrade, 400},
	{"empty line first", "\r\n" + upgrade, 400},
	{"no version", with(" HTTP/1.1", ""), 400},
	{"HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), 400},
	{"HTTP/0.9", with("HTTP/1.1", "HTTP/0.9"), 505},
	{"HTTP/2.0", with("HTTP/1.1", "HTTP/2.0"), 505},
	{"HTTP/1.10", with("HTTP/1.1", "HTTP/1.10"), 400},
	{"http/1.1", with("HTTP/1.1", "http/1.1"), 400},
	{"POST", with("GET", "POST"), 405},
	{"HEAD", with("GET", "HEAD"), 405},
	{"get", with("GET", "get"), 405},

	// Host.
	{"no Host", with(hostLine, ""), 400},
	{"two Hosts", plus("Host: example.com"), 400},
	{"two Hosts that differ", plus("host: example.org"), 400},
	{"empty Host", with("example.com", ""), 400},
	{"Host with path", with("example.com", "example.com/ws"), 400},
	{"Host with a list", with("example.com", "example.com, example.org"), 400},
	{"no Host beside an absolute form", strings.Replace(with("/ws", "http://example.com/ws"), hostLine, "", 1), 400},

	// Upgrade and Connection.
	{"no Upgrade", with(upgradeLine, ""), 426},
	{"other Upgrade", with(upgradeLine, "Upgrade: h2c\r\n"), 426},
	{"Upgrade with a version", with(upgradeLine, "Upgrade: websocket/13\r\n"), 426},
	{"several Upgrades", with(upgradeLine, "Upgrade: h2c, websocket\r\n"), 101},
	{"no Connection", with(connectionLine, ""), 400},
	{"Connection without Upgrade", with(connectionLine, "Connection: keep-alive\r\n"), 400},
	{"Connection with a longer name", with(connectionLine, "Connection: Upgrades\r\n"), 400},
	{"Connection quoted", with(connectionLine, "Connection: \"Upgrade\"\r\n"), 400},
	{"Connection tokens", with(connectionLine, "Connection: keep-alive, Upgrade\r\n"), 101},
	{"Connection tokens without space", with(connectionLine, "Connection: keep-alive,upgrade,x\r\n"), 101},
	{"Connection lines", with(connectionLine, "Connection: keep-alive\r\n"+connectionLine), 101},
	{"Connection tokens, some empty", with(connectionLine, "Connection: ,, Upgrade ,\r\n"), 101},

	// Sec-WebSocket headers.
	{"no version header", with(versionLine, ""), 400},
	{"version 0", with(": 13", ": 0"), 426},
	{"version 8", with(": 13", ": 8"), 426},
	{"version 14", with(": 13", ": 14"), 426},
	{"version 13 and 8", with(": 13", ": 13, 8"), 426},
	{"version of letters", with(": 13", ": draft"), 426},
	{"version empty", with(": 13", ": "), 426},
	{"version twice", plus("Sec-WebSocket-Version: 13"), 400},
	{"no key", with(keyLine, ""), 400},
	{"key empty", with(keyLine, "Sec-WebSocket-Key:\r\n"), 400},
	{"key twice", plus("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="), 400},
	{"key of 15 bytes", with("b25jZQ==", "b25j"), 400},
	{"key of 17 bytes", with("jZQ==", "jZQo="), 400},
	{"key without padding", with("Q==", "Q"), 400},
	{"key with a space", with("dGhl", "dG l"), 400},
	{"key of URL letters", with("dGhl", "dG_l"), 400},
	{"subprotocols of none", plus("Sec-WebSocket-Protocol: ,"), 400},
	{"subprotocol of two words", plus("Sec-WebSocket-Protocol: a b"), 400},
	{"extensions malformed", plus("Sec-WebSocket-Extensions: a; b=\"c d\""), 400},
	{"Origin of another", plus("Origin: http://evil.example"), 403},
	{"Origin twice", plus("Origin: http://example.com\r\nOrigin: http://example.com"), 400},

	// Lines.
	{"bare LF", strings.ReplaceAll(upgrade, "\r\n", "\n"), 400},
	{"one bare LF", with(": 13\r\n", ": 13\n"), 400},
	{"bare LF at the end", with("\r\n\r\n", "\r\n\n"), 400},
	{"bare CR", plus("X: a\rb"), 400},
	{"two CRs", plus("X: a\r"), 400},
	{"folded with a space", plus("X: a\r\n b"), 400},
	{"folded with a tab", with("Connection: ", "Connection:\r\n\t"), 400},
	{"first line folded", with(hostLine, " "+hostLine), 400},
	{"space before colon", with("Host:", "Host :"), 400},
	{"no colon", plus("nonsense"), 400},
	{"no name", plus(": nonsense"), 400},
	{"NUL in name", plus("X\x00: a"), 400},
	{"NUL in value", plus("X: a\x00"), 400},
	{"DEL in value", plus("X: \x7f"), 400},
	{"name beyond ASCII", plus("N\u00e4me: a"), 400},

	// Limits: the server's are 8 KiB and 100 lines.
	{"head at the limit", plus("X: " + strings.Repeat("x", 8192-len(upgrade)-len("X: \r\n"))), 101},
	{"head over the limit", plus("X: " + strings.Repeat("x", 8193-len(upgrade)-len("X: \r\n"))), 431},
	{"target over the limit", with("/ws", "/ws?"+strings.Repeat("x", 9000)), 431},
	{"headers at the limit", plus(strings.TrimSuffix(strings.Repeat("X: y\r\n", 95), "\r\n")), 101},
	{"headers over the limit", plus(strings.TrimSuffix(strings.Repeat("X: y\r\n", 96), "\r\n")), 431},

	// A body, and what may hide in one.
	{"Content-Length", plus(fmt.Sprint("Content-Length: ", len(smuggled))) + smuggled, 400},
	{"Content-Length 0", plus("Content-Length: 0") + smuggled, 400},
	{"Content-Length that is none", plus("Content-Length: -1") + smuggled, 400},
	{"Content-Length twice", plus("content-length: 0\r\nContent-Length: 4") + smuggled, 400},
	{"chunked", plus("Transfer-Encoding: chunked") + "0\r\n\r\n" + smuggled, 400},
	{"chunked, in odd case", plus("tRANSFER-eNCODING:\tCHUNKED") + "0\r\n\r\n" + smuggled, 400},
	{"identity", plus("Transfer-Encoding: identity") + smuggled, 400},
	{"unknown coding", plus("Transfer-Encoding: xchunked") + smuggled, 400},
	{"both", plus("Content-Length: 5\r\nTransfer-Encoding: chunked") + "0\r\n\r\n" + smuggled, 400},
	{"chunked, space before colon", plus("Transfer-Encoding : chunked") + "0\r\n\r\n" + smuggled, 400},
	{"chunked, folded", plus("X: a\r\n Transfer-Encoding: chunked") + "0\r\n\r\n" + smuggled, 400},
	{"chunked behind a bare CR", plus("X: a\rTransfer-Encoding: chunked") + "0\r\n\r\n" + smuggled, 400},
	{"chunked behind a bare LF", plus("X: a\nTransfer-Encoding: chunked") + "0\r\n\r\n" + smuggled, 400},
	{"refused, then another", with(": 13", ": 8") + smuggled, 426},
}

// TestSection42Requests sends every request whole, by lines and byte by byte. One
// answer must come, and after a refusal the end of the stream. What net/http cannot
// read must not be upgraded.
func TestSection42Requests(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo()})
	for _, r := range requests {
		t.Run(r.name, func(t *testing.T) {
			if _, err := http.ReadRequest(bufio.NewReader(strings.NewReader(r.bytes))); err != nil && r.status == 101 {
				t.Errorf("net/http would refuse it: %v", err)
			}
			t.Run("whole", func(t *testing.T) { r.send(t, addr, []string{r.bytes}) })
			t.Run("by lines", func(t *testing.T) { r.send(t, addr, strings.SplitAfter(r.bytes, "\n")) })
			t.Run("byte by byte", func(t *testing.T) { r.send(t, addr, strings.Split(r.bytes, "")) })
		})
	}
}

func (r request) send(t *testing.T, addr string, pieces []string) {
	t.Helper()
	c := conntest.Connect(t, addr)
	defer func() { _ = c.Close() }()
	for _, piece := range pieces {
		if _, err := c.Write([]byte(piece)); err != nil {
			break // refused already
		}
	}
	if r.status == 101 {
		c.Accepted()
		c.Text("open")
		c.ExpectText("open")
		return
	}
	r.refused(t, c)
}

// refused expects one refusal and the end of the stream behind it.
func (r request) refused(t *testing.T, c *conntest.Client) {
	t.Helper()
	res := c.Response()
	if res.StatusCode != r.status {
		t.Fatalf("answered %s, want %d", res.Status, r.status)
	}
	if !res.Close && !strings.HasPrefix(r.bytes, "HEAD") {
		t.Error("the answer does not say that the connection ends")
	}
	// RFC 6455 section 4.2.2 and RFC 9110 section 15.5.22.
	if v, u := res.Header.Get("Sec-WebSocket-Version"), res.Header.Get("Upgrade"); r.status == 426 && (v != "13" || u != "websocket") {
		t.Errorf("426 with version %q, upgrade %q", v, u)
	}
	if !strings.HasPrefix(r.bytes, "HEAD") {
		if body, err := io.ReadAll(res.Body); err != nil || len(body) == 0 {
			t.Errorf("body %q, %v", body, err)
		}
	}
	if op, p, err := c.Next(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("behind the answer: %v %.60q, %v; want the end", op, p, err)
	}
}

// repaired are the requests that net/http makes good when it is the one to read
// them, as RFC 9112 sections 2.2 and 5.2 allow: folded lines and bare LFs.
var repaired = []string{"bare LF", "one bare LF", "bare LF at the end", "folded with a space", "folded with a tab", "chunked, folded"}

// TestRequestsBehindHTTP sends the same requests on a connection that has served a
// plain one, so that net/http reads the head.
func TestRequestsBehindHTTP(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo()})
	for _, r := range requests {
		t.Run(r.name, func(t *testing.T) {
			c := conntest.Connect(t, addr)
			defer func() { _ = c.Close() }()
			c.Raw([]byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"))
			res := c.Response()
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusNotFound {
				t.Fatalf("GET /: %s, %v", res.Status, err)
			}
			c.Raw([]byte(r.bytes))
			res = c.Response()
			if want := r.status == 101 || slices.Contains(repaired, r.name); (res.StatusCode == 101) != want {
				t.Errorf("answered %s, on a new connection it is %d", res.Status, r.status)
			}
		})
	}
}

// TestFramesBehindTheRequest: what follows an upgrade is frames, whatever it looks like.
func TestFramesBehindTheRequest(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo()})
	for _, behind := range []string{smuggled, "\r\n", "\x00\x00\x00", "GET / HTTP/1.1\r\n\r\n"} {
		c := conntest.Connect(t, addr)
		c.Raw([]byte(upgrade + behind))
		c.Accepted()
		ended(t, c, 1002)
	}
}

// TestUpgradeInsideABody: a body is no request, whoever reads it.
func TestUpgradeInsideABody(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Echo()})
	for name, head := range map[string]string{
		"length":  fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(smuggled), smuggled),
		"chunked": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled),
		"both":    fmt.Sprintf("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled),
	} {
		t.Run(name, func(t *testing.T) {
			c := conntest.Connect(t, addr)
			c.Raw([]byte("POST / HTTP/1.1\r\nHost: example.com\r\n" + head +
				"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"))
			for closed := false; !closed; {
				res := c.Response()
				if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusNotFound {
					t.Fatalf("answered %s, %v", res.Status, err)
				}
				closed = res.Close
			}
		})
	}
	if n := srv.Stats().Opened; n != 0 {
		t.Errorf("%d upgrades", n)
	}
}
