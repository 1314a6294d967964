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
	h := newHandshake(42, "example.org:80", "/chat?room=1", []string{"Origin: http://example.org", "Sec-WebSocket-Protocol: b, a"})
	var answer bytes.Buffer
	var origin string
	u := ws.Upgrader{
		Protocol: func(p []byte) bool { return string(p) == "a" },
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
	if err != nil || got.Protocol != "a" || origin != "http://example.org" {
		t.Fatalf("handshake %+v, origin %q, error %v", got, origin, err)
	}
	whole := answer.Bytes()
	for cut := range whole {
		if size, err := h.check(whole[:cut], 7); size != 0 || err != nil {
			t.Fatalf("%d of %d bytes: size %d, error %v", cut, len(whole), size, err)
		}
	}
	if size, err := h.check(append(whole, "frames"...), 7); size != len(whole) || err != nil {
		t.Errorf("size %d of %d, error %v", size, len(whole), err)
	}
	if _, err := h.check(whole, 8); !errors.Is(err, ErrHandshakeAccept) {
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
		size, err := h.check([]byte(text), 0)
		if !errors.Is(err, test.want) || (err == nil) != (size == len(text)) {
			t.Errorf("%q for %q: size %d, error %v, want %v", test.new, test.old, size, err, test.want)
		}
	}
	var refused *RefusedError
	for _, status := range []string{"200 OK", "1010 Odd", "404 Not Found"} {
		if _, err := h.check([]byte("HTTP/1.1 "+status+"\r\n\r\n"), 0); !errors.As(err, &refused) || refused.Status != status {
			t.Errorf("status %q: error %v, want it refused", status, err)
		}
	}
}
