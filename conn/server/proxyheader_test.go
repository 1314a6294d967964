package server

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// v2 is a header of version 2, with payload for the address block and beyond.
func v2(command, family byte, payload string) string {
	return string(proxyproto.SIGV2) + string([]byte{command, family, byte(len(payload) >> 8), byte(len(payload))}) + payload
}

const (
	v2IPv4 = "\xc0\x00\x02\x01\x0a\x00\x00\x01\x12\x67\x01\xbb" // 192.0.2.1:4711 to 10.0.0.1:443
	v2IPv6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x12\x67\x01\xbb"
)

// Each header is found whole, with whatever stands behind it, and is incomplete while a
// byte is missing.
func TestProxyHeader(t *testing.T) {
	for name, c := range map[string]struct {
		header string
		want   string // "" for unknown
	}{
		"v1 IPv4":        {"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n", "192.0.2.1:4711"},
		"v1 IPv6":        {"PROXY TCP6 2001:db8::1 fd00::1 4711 443\r\n", "[2001:db8::1]:4711"},
		"v1 unknown":     {"PROXY UNKNOWN\r\n", ""},
		"v1 and more":    {"PROXY UNKNOWN ffff:f...f ffff:f...f 65535 65535\r\n", ""},
		"v2 IPv4":        {v2(0x21, 0x11, v2IPv4), "192.0.2.1:4711"},
		"v2 with a TLV":  {v2(0x21, 0x11, v2IPv4+"\x04\x00\x02xx"), "192.0.2.1:4711"},
		"v2 IPv6":        {v2(0x21, 0x21, v2IPv6), "[2001:db8::1]:4711"},
		"v2 local":       {v2(0x20, 0x00, ""), ""},
		"v2 local, more": {v2(0x20, 0x11, v2IPv4), ""},
		"v2 unspecified": {v2(0x21, 0x00, "anything"), ""},
		"v2 unix":        {v2(0x21, 0x31, strings.Repeat("\x00", 216)), ""},
		"v2 UDP":         {v2(0x21, 0x12, v2IPv4), ""},
	} {
		for i := 1; i < len(c.header); i++ {
			if _, n, err := proxyHeader([]byte(c.header[:i])); n != -1 || err != nil {
				t.Errorf("%s: %d of %d bytes: %d, %v", name, i, len(c.header), n, err)
				break
			}
		}
		want := netip.AddrPort{}
		if c.want != "" {
			want = netip.MustParseAddrPort(c.want)
		}
		for _, behind := range []string{"", "GET / HTTP/1.1\r\n\r\n"} {
			if got, n, err := proxyHeader([]byte(c.header + behind)); got != want || n != len(c.header) || err != nil {
				t.Errorf("%s: %v, %d of %d, %v", name, got, n, len(c.header), err)
			}
		}
	}
}

func TestProxyHeaderFaults(t *testing.T) {
	for _, b := range []string{
		"PROXY \r\n", "PROXY TCP4 192.0.2.1\r\n", "PROXY TCP4 2001:db8::1 fd00::1 1 2\r\n", "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\n",
		"PROXY TCP4 192.0.2.1 10.0.0.1 -1 443\r\n", "PROXY UDP4 192.0.2.1 10.0.0.1 4711 443\r\n",
		"PROXY TCP4 " + strings.Repeat("1", 100), v2(0x22, 0x11, v2IPv4), v2(0x31, 0x11, v2IPv4), v2(0x21, 0x13, v2IPv4),
		v2(0x21, 0x11, "short"), v2(0x21, 0x11, strings.Repeat("x", 5000)), v2(0x21, 0x11, strings.Repeat("x", 5000))[:16],
	} {
		if got, n, err := proxyHeader([]byte(b)); err == nil {
			t.Errorf("%q: %v, %d", b, got, n)
		}
	}
	for _, b := range []string{"GET / HTTP/1.1\r\n", "POST", "PRO ", "\r\n\r\nx", "\x16\x03\x01"} {
		if _, n, err := proxyHeader([]byte(b)); n != 0 || err != nil {
			t.Errorf("%q: %d, %v; want no header", b, n, err)
		}
	}
}

// FuzzProxyHeader compares all of it with every beginning, and asks the library about
// what it has written itself.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\nGET"))
	f.Add([]byte(v2(0x21, 0x11, v2IPv4) + "GET"))
	f.Add([]byte(v2(0x21, 0x21, v2IPv6)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		client, n, err := proxyHeader(b)
		if n > len(b) || client.IsValid() && (n <= 0 || err != nil) {
			t.Fatalf("%v, %d, %v", client, n, err)
		}
		for i := 1; i <= len(b); i++ {
			c, m, e := proxyHeader(b[:i])
			if m == -1 && e == nil {
				continue
			}
			if n == -1 && err == nil || c != client || m != n || (e != nil) != (err != nil) {
				t.Fatalf("%d bytes: %v, %d, %v; all: %v, %d, %v", i, c, m, e, client, n, err)
			}
			return
		}
	})
}

// What the library writes is read.
func TestProxyHeaderRoundTrip(t *testing.T) {
	for _, version := range []byte{1, 2} {
		for _, src := range []string{"192.0.2.9:1", "[2001:db8::9]:65535"} {
			from := netip.MustParseAddrPort(src)
			h := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(from))
			var b bytes.Buffer
			if _, err := h.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			if got, n, err := proxyHeader(b.Bytes()); got != from || n != b.Len() || err != nil {
				t.Errorf("version %d: %v, %d, %v", version, got, n, err)
			}
		}
	}
}
