package server

import (
	"net/netip"
	"strings"
	"testing"

	"roost/conn/handshake"
)

func TestParseProxies(t *testing.T) {
	p, err := parseProxies([]string{"10.0.0.0/8", "192.0.2.7", "fd00::/8", "::ffff:198.51.100.0/120"})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "11.0.0.1": false, "192.0.2.7": true, "192.0.2.8": false, "fd12::1": true, "2001:db8::1": false,
		"198.51.100.9": true, "198.51.101.9": false,
	} {
		if got := p.trust(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if p.trust(netip.Addr{}) || (*proxies)(nil).trust(netip.Addr{}) {
		t.Error("a unix socket is trusted unasked")
	}
	if p, err := parseProxies([]string{"unix"}); err != nil || !p.trust(netip.Addr{}) || p.trust(netip.MustParseAddr("127.0.0.1")) {
		t.Error("unix means the peers of unix sockets")
	}
	_, err = parseProxies([]string{"10.0.0.0/33", "example.com", "fe80::1%eth0", "", "10.0.0.1:80"})
	for _, s := range []string{"10.0.0.0/33", "example.com", "fe80::1%eth0", `""`, "10.0.0.1:80"} {
		if err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%q is not reported: %v", s, err)
		}
	}
}

func TestForwarded(t *testing.T) {
	p, err := parseProxies([]string{"10.0.0.0/8", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		headers string // lines
		want    string // "" for unknown, "!" for a refusal
	}{
		{"", ""},
		{"X-Forwarded-For: 192.0.2.1", "192.0.2.1:0"},
		{"x-forwarded-for: 192.0.2.1:4711", "192.0.2.1:4711"},
		{"X-Forwarded-For: 198.51.100.1, 192.0.2.1, 10.1.1.1", "192.0.2.1:0"}, // the first was made up
		{"X-Forwarded-For: 198.51.100.1\nX-Forwarded-For: 192.0.2.1\nX-Forwarded-For: 10.1.1.1", "192.0.2.1:0"},
		{"X-Forwarded-For: 10.1.1.1, 10.2.2.2", "10.1.1.1:0"}, // a client inside
		{"X-Forwarded-For: garbage, 192.0.2.1", "192.0.2.1:0"},
		{"X-Forwarded-For: 192.0.2.1, garbage", ""},
		{"X-Forwarded-For: 192.0.2.1, garbage, 10.1.1.1", ""},
		{"X-Forwarded-For: 192.0.2.1,, ,", "192.0.2.1:0"},
		{"X-Forwarded-For: ", ""},
		{"X-Forwarded-For: unknown", ""},
		{"X-Forwarded-For: 2001:db8::1", "[2001:db8::1]:0"},
		{"X-Forwarded-For: [2001:db8::1]:80", "[2001:db8::1]:80"},
		{"X-Forwarded-For: [2001:db8::1]", "[2001:db8::1]:0"},
		{"X-Forwarded-For: ::ffff:192.0.2.1", "192.0.2.1:0"},
		{"X-Forwarded-For: ::ffff:10.0.0.1, ::ffff:10.0.0.2", "10.0.0.1:0"},
		{"X-Forwarded-For: fe80::1%eth0", ""},
		{"X-Forwarded-For: 192.0.2.256", ""},

		{"Forwarded: for=192.0.2.1", "192.0.2.1:0"},
		{"Forwarded: For=192.0.2.1;proto=http;by=10.0.0.1", "192.0.2.1:0"},
		{"Forwarded: proto=http ; for=\"192.0.2.1:4711\"", "192.0.2.1:4711"},
		{"Forwarded: for=\"[2001:db8::17]:4711\"", "[2001:db8::17]:4711"},
		{"Forwarded: for=\"[2001:db8::17]\"", "[2001:db8::17]:0"},
		{"Forwarded: for=\"192.0.2.1:_hidden\"", "192.0.2.1:0"},
		{"Forwarded: for=_hidden, for=10.0.0.9", ""},
		{"Forwarded: for=unknown", ""},
		{"Forwarded: for=198.51.100.1, for=192.0.2.1, for=10.0.0.9;by=\"_a,b\"", "192.0.2.1:0"},
		{"Forwarded: for=198.51.100.1\nForwarded: for=192.0.2.1", "192.0.2.1:0"},
		{"Forwarded: for=\"\\1\\92.0.2.1\"", "192.0.2.1:0"},
		{"Forwarded: proto=https", ""},
		// What a client leaves open must not swallow what the proxy adds.
		{"Forwarded: for=\"198.51.100.1, for=192.0.2.1", "192.0.2.1:0"},
		{"Forwarded: by=\"x\\\", for=\"192.0.2.1\"", "192.0.2.1:0"},
		{"Forwarded: for=\\, for=\"192.0.2.1\"", "192.0.2.1:0"},

		{"Forwarded: for=192.0.2.1\nX-Forwarded-For: 192.0.2.1:99", "192.0.2.1:99"},
		{"Forwarded: for=198.51.100.1\nX-Forwarded-For: 192.0.2.1", "!"},
		{"Forwarded: for=_hidden\nX-Forwarded-For: 192.0.2.1", "!"},
		{"X-Real-IP: 192.0.2.1\nClient-IP: 192.0.2.2", ""},
	} {
		head := "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		if c.headers != "" {
			head += strings.ReplaceAll(c.headers, "\n", "\r\n") + "\r\n"
		}
		res := (&handshake.Policy{Path: "/ws", MaxHead: 8192, MaxHeaders: 100}).Negotiate(nil, []byte(head+"\r\n"))
		if res.Kind != handshake.Upgrade {
			t.Fatalf("%q: %v %s", c.headers, res.Kind, res.Reason)
		}
		got, err := forwarded(p, &res.Request)
		want := netip.AddrPort{}
		if len(c.want) > 1 {
			want = netip.MustParseAddrPort(c.want)
		}
		if got != want || (err != nil) != (c.want == "!") {
			t.Errorf("%q: %v, %v; want %q", c.headers, got, err, c.want)
		}
	}
}
