package handshake

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// The heads a bare client and a browser send.
const (
	clientHead = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	browserHead = "GET /ws?room=7 HTTP/1.1\r\nHost: chat.example.com\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
		"Upgrade: websocket\r\nOrigin: https://chat.example.com\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Accept-Language: en-US,en;q=0.9\r\nCookie: session=0123456789abcdef0123456789abcdef0123456789abcdef\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
	plainHead = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n\r\n"
)

func BenchmarkNegotiate(b *testing.B) {
	p := testPolicy()
	for _, bm := range []struct {
		name, head string
		kind       Kind
	}{
		{"client", clientHead, Upgrade},
		{"browser", browserHead, Upgrade},
		{"browser with subprotocol", strings.Replace(browserHead, "Pragma: no-cache", "Sec-WebSocket-Protocol: mqtt, chat", 1), Upgrade},
		{"http", plainHead, HTTP},
		{"incomplete", clientHead[:len(clientHead)-2], Incomplete},
		{"refused", strings.Replace(clientHead, ": 13", ": 12", 1), Refuse},
	} {
		b.Run(bm.name, func(b *testing.B) {
			head, dst := []byte(bm.head), make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				if r := p.Negotiate(dst[:0], head); r.Kind != bm.kind {
					b.Fatalf("%v, %q", r.Kind, r.Reason)
				}
			}
		})
	}
}

// BenchmarkAccept is the part of a handshake that ws.Upgrader and the canonical
// request take.
func BenchmarkAccept(b *testing.B) {
	key, dst := []byte("dGhlIHNhbXBsZSBub25jZQ=="), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := accept(dst[:0], key, "", deflateTerms{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpgraderAlone is ws.Upgrader over the client's own bytes, unchecked.
func BenchmarkUpgraderAlone(b *testing.B) {
	for _, bm := range []struct{ name, head string }{{"client", clientHead}, {"browser", browserHead}} {
		b.Run(bm.name, func(b *testing.B) {
			head := []byte(bm.head)
			rw := &struct {
				bytes.Reader
				io.Writer
			}{Writer: io.Discard}
			b.ReportAllocs()
			for b.Loop() {
				rw.Reader.Reset(head)
				if _, err := ws.Upgrade(rw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
