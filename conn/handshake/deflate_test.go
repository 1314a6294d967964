package handshake

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestDeflateOffers(t *testing.T) {
	const answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for _, tt := range []struct {
		offer  string
		window int // 0: declined
	}{
		{"permessage-deflate", 15},
		{"permessage-deflate; client_max_window_bits", 15},
		{" permessage-deflate ;client_max_window_bits = 15 ", 15},
		{"permessage-deflate; client_max_window_bits=8", 15},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15},
		{"permessage-deflate; server_max_window_bits=15", 15},
		{"permessage-deflate; server_max_window_bits=14", 14},
		{"permessage-deflate; server_max_window_bits=9; client_max_window_bits=9", 9},
		{"permessage-deflate; server_max_window_bits=\"10\"", 10},
		{"permessage-deflate; server_max_window_bits=\"1\\0\"; client_max_window_bits=\"\\8\"", 10},
		{"permessage-deflate; client_no_context_takeover; server_max_window_bits=12; server_no_context_takeover; client_max_window_bits", 12},
		// The first that can be met, among others and over several lines.
		{"x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=10, permessage-deflate", 10},
		{"permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=11", 11},
		{"permessage-deflate; unknown, permessage-deflate", 15},
		{"permessage-deflate; server_max_window_bits=8, permessage-deflate", 15},
		{"permessage-deflate; server_max_window_bits=15; client_max_window_bits, permessage-deflate; server_max_window_bits=9", 15},
		{"permessage-deflate; unknown\r\nSec-WebSocket-Extensions: a;b=c, permessage-deflate; server_max_window_bits=13", 13},

		{"deflate", 0},
		{"permessage-bzip2", 0},
		{"Permessage-Deflate", 0},
		{"permessage-deflate; unknown", 0},
		{"permessage-deflate; unknown=15", 0},
		{"permessage-deflate; Server_no_context_takeover", 0},
		{"permessage-deflate; server_no_context_takeover=true", 0},
		{"permessage-deflate; client_no_context_takeover=1", 0},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", 0},
		{"permessage-deflate; client_no_context_takeover; client_no_context_takeover", 0},
		{"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15", 0},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits=10", 0},
		{"permessage-deflate; server_max_window_bits", 0},
		{"permessage-deflate; server_max_window_bits=8", 0},
		{"permessage-deflate; server_max_window_bits=7", 0},
		{"permessage-deflate; server_max_window_bits=16", 0},
		{"permessage-deflate; server_max_window_bits=09", 0},
		{"permessage-deflate; server_max_window_bits=+9", 0},
		{"permessage-deflate; server_max_window_bits=1000000000000000000009", 0},
		{"permessage-deflate; server_max_window_bits=ten", 0},
		{"permessage-deflate; client_max_window_bits=7", 0},
		{"permessage-deflate; client_max_window_bits=16", 0},
		{"permessage-deflate; client_max_window_bits=08", 0},
		{"permessage-deflate; client_max_window_bits=\"x\"", 0},
	} {
		head := strings.Replace(clientHead, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: "+tt.offer+"\r\n\r\n", 1)
		for _, compress := range []bool{true, false} {
			p := testPolicy()
			p.Compress = compress
			want, wantAnswer := 0, ""
			if compress && tt.window > 0 {
				want, wantAnswer = tt.window, answer
				// Section 7.1.2.1: a bound is accepted by repeating it.
				if tt.window < 15 || strings.Contains(tt.offer, "server_max_window_bits=15") {
					wantAnswer += fmt.Sprintf("; server_max_window_bits=%d", tt.window)
				}
			}
			r := p.Negotiate(nil, []byte(head))
			if r.Kind != Upgrade || r.Window != want {
				t.Errorf("%s, compress %v: %v, window %d, want %d", tt.offer, compress, r.Kind, r.Window, want)
				continue
			}
			if got := answered(t, r.Response); got != wantAnswer {
				t.Errorf("%s, compress %v: answered with %q, want %q", tt.offer, compress, got, wantAnswer)
			}
		}
	}
}

// answered is the one value of Sec-WebSocket-Extensions in a response, "" without.
func answered(t *testing.T, response []byte) string {
	t.Helper()
	lines := strings.Split(string(bytes.TrimSuffix(response, []byte("\r\n\r\n"))), "\r\n")
	h := http.Header{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	values := h.Values(extensionsHeader)
	if len(values) > 1 {
		t.Errorf("%d lines of extensions", len(values))
	}
	return h.Get(extensionsHeader)
}

// A malformed list fails the handshake, whatever good offers it has and whether or not
// one could be agreed to.
func TestMalformedOffersAreRefused(t *testing.T) {
	for _, offer := range []string{"permessage-deflate, ;", "permessage-deflate; =", "permessage-deflate; server_max_window_bits=",
		"permessage-deflate; server_max_window_bits=\"\"", "permessage-deflate; client max window bits"} {
		p := testPolicy()
		p.Compress = true
		head := strings.Replace(clientHead, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: "+offer+"\r\n\r\n", 1)
		if r := p.Negotiate(nil, []byte(head)); r.Kind != Refuse || r.Status != 400 || r.Window != 0 {
			t.Errorf("%s: %v, status %d", offer, r.Kind, r.Status)
		}
	}
}
