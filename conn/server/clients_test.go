//go:build linux

package server

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/handshake"
)

// namer is a Handler that tells each client who it is taken for, and whatever it says
// after that.
type namer struct{ server *Server }

func (h *namer) OnOpen(c *conn.Conn, _ *handshake.Request) {
	_ = c.Write(frame.Text, []byte(h.server.Client(c).String()))
}
func (*namer) OnMessage(c *conn.Conn, op frame.Opcode, b []byte) { _ = c.Write(op, b) }
func (*namer) OnClose(*conn.Conn, conn.CloseInfo)                {}

// proxied is a server that trusts 127.0.0.1 and 10.0.0.0/8.
func proxied(t *testing.T, config Config) (*Server, string) {
	t.Helper()
	h := new(namer)
	config.Handler = h
	config.TrustedProxies = []string{"127.0.0.1", "10.0.0.0/8"}
	config.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) })
	s, _ := prepare(t, config)
	h.server = s
	return s, run(t, s)
}

const v1 = "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n" // as v2IPv4

func TestClientBehindProxy(t *testing.T) {
	s, addr := proxied(t, Config{Limits: Limits{MaxConnsPerIP: 1000}})
	for name, c := range map[string]struct {
		source, before string
		headers        []string
		want           string // "" for the peer's own
	}{
		"nothing":                  {"127.0.0.1", "", nil, ""},
		"PROXY 1":                  {"127.0.0.1", v1, nil, "192.0.2.1:4711"},
		"PROXY 2":                  {"127.0.0.1", v2(0x21, 0x11, v2IPv4), nil, "192.0.2.1:4711"},
		"PROXY local":              {"127.0.0.1", v2(0x20, 0, ""), nil, ""},
		"PROXY local, header":      {"127.0.0.1", v2(0x20, 0, ""), []string{"X-Forwarded-For: 192.0.2.9"}, "192.0.2.9:0"},
		"X-Forwarded-For":          {"127.0.0.1", "", []string{"X-Forwarded-For: 6.6.6.6, 192.0.2.9, 10.9.9.9"}, "192.0.2.9:0"},
		"Forwarded":                {"127.0.0.1", "", []string{`Forwarded: for="[2001:db8::1]:99"`}, "[2001:db8::1]:99"},
		"hidden":                   {"127.0.0.1", "", []string{"Forwarded: for=_secret"}, ""},
		"PROXY, spoofed header":    {"127.0.0.1", v1, []string{"X-Forwarded-For: 6.6.6.6"}, "192.0.2.1:4711"},
		"PROXY from another proxy": {"127.0.0.1", "PROXY TCP4 10.1.1.1 10.0.0.1 1 2\r\n", []string{"X-Forwarded-For: 192.0.2.9"}, "192.0.2.9:0"},
		"untrusted, headers":       {"127.0.0.2", "", []string{"X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1 << 20, 1} { // whole, and byte by byte
				c2 := conntest.ConnectFrom(t, c.source, addr)
				for b := []byte(c.before + conntest.Request(addr, "/ws", c.headers...)); len(b) > 0; {
					n := min(step, len(b))
					c2.Raw(b[:n])
					b = b[n:]
				}
				c2.Accepted()
				want := c.want
				if want == "" {
					want = c2.LocalAddr().String()
				}
				c2.ExpectText(want)
				if infos := s.Inspect(ByAge, 10); len(infos) != 1 || infos[0].Peer.String() != want {
					t.Errorf("inspected: %+v", infos)
				}
				_ = c2.Close()
				eventually(t, "it has left", func() bool { return s.hub.Len() == 0 && s.clients.visitors.size() == 0 })
			}
		})
	}
}

// A header of the PROXY protocol is worth nothing from anybody else, and a broken one
// nothing at all.
func TestProxyHeaderRefused(t *testing.T) {
	s, addr := proxied(t, Config{})
	for i, c := range []struct{ source, before string }{
		{"127.0.0.2", v1},
		{"127.0.0.2", v2(0x21, 0x11, v2IPv4)},
		{"127.0.0.1", "PROXY TCP4 nobody\r\n"},
		{"127.0.0.1", "PROXY TCP4 " + strings.Repeat("1", 200)},
		{"127.0.0.1", v2(0x2f, 0x11, v2IPv4)},
		{"127.0.0.1", v1 + v1}, // one is enough
		{"127.0.0.1", "\r\nGET"},
	} {
		p := conntest.ConnectFrom(t, c.source, addr)
		p.Raw([]byte(c.before + conntest.Request(addr, "/ws")))
		res := p.Response()
		if body, err := io.ReadAll(res.Body); res.StatusCode != 400 || err != nil || len(body) == 0 {
			t.Errorf("%q from %s: %s, %q, %v", c.before, c.source, res.Status, body, err)
		}
		_ = p.Close()
		eventually(t, "it is counted", func() bool { return ended(s, conn.ReasonHandshakeRefused) == uint64(i)+1 })
	}
	two := knock(t, "127.0.0.1", addr, "Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.2")
	if res := two.Response(); res.StatusCode != 400 {
		t.Errorf("two clients in one request: %s", res.Status)
	}
}

// Limits count the client and never the proxy, however it was told.
func TestLimitsBehindProxy(t *testing.T) {
	s, addr := proxied(t, Config{Limits: Limits{MaxConnsPerIP: 1, AcceptRatePerIP: 2}})
	var silent []*conntest.Client
	for range 5 {
		silent = append(silent, conntest.ConnectFrom(t, "127.0.0.1", addr))
	}
	first := knock(t, "127.0.0.1", addr, "X-Forwarded-For: 192.0.2.1")
	first.Accepted()
	turnedAway(t, knock(t, "127.0.0.1", addr, "X-Forwarded-For: 192.0.2.1"), 503)
	proxy := func(source string) *conntest.Client {
		c := conntest.ConnectFrom(t, "127.0.0.1", addr)
		c.Raw([]byte("PROXY TCP4 " + source + " 10.0.0.1 1 2\r\n")) // the answer does not wait for the request
		return c
	}
	turnedAway(t, proxy("192.0.2.1"), 503)
	knock(t, "127.0.0.1", addr, "X-Forwarded-For: 192.0.2.2").Accepted()
	_ = first.Close()
	eventually(t, "it has left", func() bool { return ended(s, conn.ReasonPeerGone) == 1 })
	second := proxy("192.0.2.1")
	second.Raw([]byte(conntest.Request(addr, "/ws")))
	second.Accepted()
	_ = second.Close()
	eventually(t, "it has left", func() bool { return ended(s, conn.ReasonPeerGone) == 2 })
	turnedAway(t, proxy("192.0.2.1"), 429)
	turnedAway(t, knock(t, "127.0.0.1", addr, "Forwarded: for=192.0.2.1"), 429)
	for i := range 5 { // clients inside are not limited
		c := knock(t, "127.0.0.1", addr, "X-Forwarded-For: 10.1.1.1")
		c.Accepted()
		c.ExpectText("10.1.1.1:0")
		silent[i].Raw([]byte(conntest.Request(addr, "/ws")))
		silent[i].Accepted()
	}
}

// What a proxy has said goes along to net/http, and comes back with an upgrade.
func TestClientGoesToHTTPAndBack(t *testing.T) {
	s, addr := proxied(t, Config{Limits: Limits{MaxConnsPerIP: 1}})
	get := func(c *conntest.Client, want string) {
		t.Helper()
		c.Raw([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		res := c.Response()
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != want {
			t.Errorf("RemoteAddr %q, %v; want %q", body, err, want)
		}
	}
	c := conntest.ConnectFrom(t, "127.0.0.1", addr)
	c.Raw([]byte(v1))
	get(c, "192.0.2.1:4711")
	get(c, "192.0.2.1:4711")
	c.Raw([]byte(conntest.Request(addr, "/ws", "X-Forwarded-For: 6.6.6.6")))
	c.Accepted()
	c.ExpectText("192.0.2.1:4711")
	other := conntest.ConnectFrom(t, "127.0.0.1", addr)
	other.Raw([]byte(v1))
	turnedAway(t, other, 503)
	_, _ = c.Close(), other.Close()

	// Without a header before the request, the headers of the upgrade say who it is.
	plain := conntest.ConnectFrom(t, "127.0.0.1", addr)
	get(plain, plain.LocalAddr().String())
	plain.Raw([]byte(conntest.Request(addr, "/ws", "X-Forwarded-For: 192.0.2.9")))
	plain.Accepted()
	plain.ExpectText("192.0.2.9:0")
	_ = plain.Close()

	// A proxy before a proxy: the second may speak for others.
	chain := conntest.ConnectFrom(t, "127.0.0.1", addr)
	chain.Raw([]byte("PROXY TCP4 10.1.1.1 10.0.0.1 7 8\r\n"))
	get(chain, "10.1.1.1:7")
	chain.Raw([]byte(conntest.Request(addr, "/ws", "X-Forwarded-For: 192.0.2.9")))
	chain.Accepted()
	chain.ExpectText("192.0.2.9:0")
	_ = chain.Close()
	eventually(t, "nobody is counted", func() bool { return s.hub.Len() == 0 && s.clients.visitors.size() == 0 })
}

// only is the one connection of s.
func only(s *Server) (its *conn.Conn) {
	s.hub.Each(func(c *conn.Conn) { its = c })
	return its
}

// The log has the client's address, and Client forgets it with the connection.
func TestClientInTheLog(t *testing.T) {
	var mu sync.Mutex
	var log strings.Builder
	w := writer(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(b)
	})
	s, addr := proxied(t, Config{Log: slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	c := conntest.ConnectFrom(t, "127.0.0.1", addr)
	c.Raw([]byte(v1 + conntest.Request(addr, "/ws")))
	c.Accepted()
	c.ExpectText("192.0.2.1:4711")
	its := only(s)
	c.Raw(conntest.CloseFrame(1000, ""))
	c.Closed()
	eventually(t, "it has left", func() bool { return s.hub.Len() == 0 })
	if got := s.Client(its); got != (netip.AddrPort{}) {
		t.Errorf("after its end: %v", got)
	}
	for {
		next := conntest.ConnectFrom(t, "127.0.0.1", addr)
		next.Raw([]byte(v1 + conntest.Request(addr, "/ws")))
		next.Accepted()
		if other := s.hub.At(its.Slot()); other != nil && other != its {
			break // it has the slot
		}
	}
	if got := s.Client(its); got != (netip.AddrPort{}) {
		t.Errorf("the old connection has the address of the next: %v", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if s := log.String(); !strings.Contains(s, "reason=peer-closed code=1000 peer=192.0.2.1:4711") {
		t.Errorf("the log:\n%s", s)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// Without trusted proxies and limits per address, nothing is kept of anybody.
func TestNothingIsKeptWithoutNeed(t *testing.T) {
	s, _ := prepare(t, Config{})
	addr := run(t, s)
	c := conntest.Dial(t, addr, "/ws", "X-Forwarded-For: 6.6.6.6")
	c.Text("hello")
	c.ExpectText("hello")
	its := only(s)
	if got, want := s.Client(its).String(), c.LocalAddr().String(); got != want {
		t.Errorf("client %s, want %s", got, want)
	}
	if s.clients.table.get(its.Slot()) != nil || s.group.Handler.(*paced).buckets.get(its.Slot()) != nil || s.clients.visitors.size() != 0 {
		t.Error("something is kept")
	}
}

// Connections of trusted proxies come and go while their clients are asked for.
func TestClientsUnderLoad(t *testing.T) {
	s, addr := proxied(t, Config{Limits: Limits{MaxConnsPerIP: 1000, AcceptRatePerIP: 1_000_000}})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				want := fmt.Sprintf("192.0.%d.%d:9", g, i+1)
				c := conntest.ConnectFrom(t, "127.0.0.1", addr)
				c.Raw([]byte(fmt.Sprintf("PROXY TCP4 %s 10.0.0.1 9 1\r\n", netip.MustParseAddrPort(want).Addr()) + conntest.Request(addr, "/ws")))
				c.Accepted()
				c.ExpectText(want)
				for _, info := range s.Inspect(ByAge, 10) {
					if a := info.Peer.Addr(); !a.IsLoopback() && a.As4()[0] != 192 {
						t.Errorf("client %v", a)
					}
				}
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "nobody is counted", func() bool { return s.hub.Len() == 0 })
}
