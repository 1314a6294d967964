package bench

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// TestAcceptOfTheRFC is the example of RFC 6455 section 1.3.
func TestAcceptOfTheRFC(t *testing.T) {
	h := handshake{sample: true}
	if got := accept(h.key(0)); string(got[:]) != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("accept %s", got)
	}
}

// TestRequestSatisfiesServer lets gobwas/ws upgrade our request and checks its answer.
func TestRequestSatisfiesServer(t *testing.T) {
	targets := []target{{host: "example.com", path: "/"}, {host: "example.org:80", path: "/chat?room=1"}}
	h := newHandshake(42, targets, []string{"Origin: http://example.org"}, []string{"b", "a"}, false)
	var answer bytes.Buffer
	var uri, host, origin string
	u := ws.Upgrader{
		OnRequest: func(b []byte) error { uri = string(b); return nil },
		OnHost:    func(b []byte) error { host = string(b); return nil },
		Protocol:  func(p []byte) bool { return string(p) == "a" },
		OnHeader: func(name, value []byte) error {
			if string(name) == "Origin" {
				origin = string(value)
			}
			return nil
		},
	}
	got, err := u.Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(h.appendRequest(nil, 7)), &answer})
	if err != nil || got.Protocol != "a" || origin != "http://example.org" || host != "example.org:80" || uri != "/chat?room=1" {
		t.Fatalf("handshake %+v of %s at %s, origin %q, error %v", got, uri, host, origin, err)
	}
	whole := answer.Bytes()
	for cut := range whole {
		if size, _, err := h.check(whole[:cut], 7); size != 0 || err != nil {
			t.Fatalf("%d of %d bytes: size %d, error %v", cut, len(whole), size, err)
		}
	}
	if size, _, err := h.check(append(whole, "frames"...), 7); size != len(whole) || err != nil {
		t.Errorf("size %d of %d, error %v", size, len(whole), err)
	}
	if _, _, err := h.check(whole, 8); !errors.Is(err, ErrHandshakeAccept) {
		t.Errorf("another connection's answer: error %v, want ErrHandshakeAccept", err)
	}
}

func TestCheckAnswer(t *testing.T) {
	h := handshake{sample: true}
	const ok = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	for _, test := range []struct {
		old, new string
		want     error
	}{
		{"", "", nil},
		{"Upgrade: websocket", "UPGRADE:  WebSocket ", nil},
		{"Connection: Upgrade", "Connection: keep-alive, upgrade", nil},
		{"Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade", nil},
		{"HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101", nil},
		{"Upgrade: websocket\r\n", "", ErrHandshakeUpgrade},
		{"Connection: Upgrade\r\n", "", ErrHandshakeUpgrade},
		{"Upgrade: websocket", "Upgrade: h2c", ErrHandshakeUpgrade},
		{"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", "", ErrHandshakeAccept},
		{"xOo=", "xOO=", ErrHandshakeAccept},
		{"\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", ErrHandshakeExtension},
		{"\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n", ErrHandshakeExtension},
		{"HTTP/1.1", "HTTP/1.0", ErrHandshakeAnswer},
		{"HTTP/1.1 101 Switching Protocols", "HTTP/1.1 ", ErrHandshakeAnswer},
	} {
		text := strings.Replace(ok, test.old, test.new, 1)
		size, _, err := h.check([]byte(text), 0)
		if !errors.Is(err, test.want) || (err == nil) != (size == len(text)) {
			t.Errorf("%q for %q: size %d, error %v, want %v", test.new, test.old, size, err, test.want)
		}
	}
	var refused *RefusedError
	for _, status := range []string{"200 OK", "1010 Odd", "404 Not Found"} {
		if _, _, err := h.check([]byte("HTTP/1.1 "+status+"\r\n\r\n"), 0); !errors.As(err, &refused) || refused.Status != status {
			t.Errorf("status %q: error %v, want it refused", status, err)
		}
	}
}

// TestSubprotocols offers some, with Config and with a header line, and wants
// no other than those in the answer.
func TestSubprotocols(t *testing.T) {
	const answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	targets := []target{{host: "h", path: "/"}}
	for _, test := range []struct {
		lines, offered []string
		request        string // in it
		answer         string
		want           error
	}{
		{nil, []string{"chat", "v2.chat"}, "\r\nSec-WebSocket-Protocol: chat, v2.chat\r\n", "v2.chat", nil},
		{nil, []string{"chat"}, "\r\nSec-WebSocket-Protocol: chat\r\n", "superchat", ErrHandshakeExtension},
		{nil, []string{"chat", "v2.chat"}, "", "chat, v2.chat", ErrHandshakeExtension},
		{[]string{"sec-websocket-protocol: soap, wamp"}, nil, "\r\nsec-websocket-protocol: soap, wamp\r\n", "wamp", nil},
		{[]string{"Sec-WebSocket-Protocol: soap"}, []string{"chat"}, "\r\nSec-WebSocket-Protocol: chat\r\n", "soap", nil},
		{nil, nil, "", "chat", ErrHandshakeExtension},
		{nil, nil, "", "", ErrHandshakeExtension},
	} {
		h := newHandshake(1, targets, test.lines, test.offered, false)
		h.sample = true
		request := string(h.appendRequest(nil, 0))
		if !strings.Contains(request, test.request) {
			t.Errorf("offered %q and %q: the request is\n%s", test.lines, test.offered, request)
		}
		if len(test.lines)+len(test.offered) == 0 && strings.Contains(request, "Protocol") {
			t.Errorf("nothing offered, but the request is\n%s", request)
		}
		_, _, err := h.check([]byte(answer+"Sec-WebSocket-Protocol: "+test.answer+"\r\n\r\n"), 0)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("offered %q and %q, answer %q: error %v, want %v", test.lines, test.offered, test.answer, err, test.want)
		}
		if _, _, err := h.check([]byte(answer+"\r\n"), 0); err != nil {
			t.Errorf("offered %q and %q, none chosen: %v", test.lines, test.offered, err)
		}
	}
}
