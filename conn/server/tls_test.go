//go:build linux

package server_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
)

// startTLS is start with a listener for TLS first, and a plain one behind it.
func startTLS(t testing.TB, config server.Config) (srv *server.Server, addr, plain string, ca *conntest.Authority) {
	t.Helper()
	ca = conntest.NewAuthority(t)
	if config.TLS.Certs == nil {
		cert, key := ca.IssueFiles("localhost")
		config.TLS.Certs = []server.KeyPair{{Cert: cert, Key: key}}
	}
	config.Listen = []string{"tls:127.0.0.1:0", "127.0.0.1:0"}
	srv, addr = start(t, config)
	return srv, addr, srv.Addrs()[1].String(), ca
}

func TestEchoOverTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, piece := range []int{1 << 20, 1000, 7, 1} {
			t.Run(fmt.Sprintf("%s in pieces of %d", tls.VersionName(version), piece), func(t *testing.T) {
				_, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
				c := conntest.Connect(t, addr)
				c.Dribble(piece)
				config := ca.Trust("localhost")
				config.MinVersion, config.MaxVersion = version, version
				config.NextProtos = []string{"h2", "http/1.1"}
				tc, err := c.Secure(config)
				if err != nil {
					t.Fatal(err)
				}
				if st := tc.ConnectionState(); st.Version != version || st.NegotiatedProtocol != "http/1.1" {
					t.Fatalf("%s, protocol %q", tls.VersionName(st.Version), st.NegotiatedProtocol)
				}
				c.Raw([]byte(conntest.Request(addr, "/ws")))
				c.Accepted()
				sizes := []int{0, 1, 125, 4000}
				if piece > 100 {
					sizes = append(sizes, 16<<10-8, 16<<10, 40_000, 500_000)
				}
				for _, n := range sizes {
					text := strings.Repeat("x", n)
					c.Text(text)
					c.ExpectText(text)
				}
				c.Raw(conntest.CloseFrame(1000, ""))
				if code := c.Closed(); code != 1000 {
					t.Errorf("closed with %d", code)
				}
			})
		}
	}
}

// Many frames in one record, and each byte of them in a record of its own.
func TestFramesAndRecordsAreIndependent(t *testing.T) {
	_, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
	c := conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost"))
	var all []byte
	for i := range 300 {
		all = append(all, conntest.Frame(true, ws.OpText, fmt.Sprint(i))...)
	}
	c.Raw(all)
	for i := range 300 {
		c.ExpectText(fmt.Sprint(i))
	}
	c.Dribble(1)
	c.Raw(all[:200])
	for i := range 25 {
		c.ExpectText(fmt.Sprint(i))
	}
}

// Members with and without TLS get every message, in one order.
func TestBroadcastToPlainAndSecure(t *testing.T) {
	_, addr, plain, ca := startTLS(t, server.Config{Handler: server.Chat(), WriteQueueFrames: -1})
	members := []*conntest.Client{
		conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost")), conntest.Dial(t, plain, "/ws"),
		conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost")), conntest.Dial(t, plain, "/ws"),
	}
	const each = 300
	for _, m := range members[:2] {
		go func() {
			for i := range each {
				if _, err := m.Write(conntest.Frame(true, ws.OpText, fmt.Sprint(i)+strings.Repeat("-", i*7))); err != nil {
					return // the readers find that messages are missing
				}
			}
		}()
	}
	var first []string
	for k, m := range members {
		var got []string
		for range 2 * each {
			_, p, err := m.Next()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(p))
		}
		if k == 0 {
			first = got
		}
		for i := range got {
			if got[i] != first[i] {
				t.Fatalf("member %d has %.10q as message %d, the first has %.10q", k, got[i], i, first[i])
			}
		}
	}
}

func TestServerName(t *testing.T) {
	ca := conntest.NewAuthority(t)
	var pairs []server.KeyPair
	for _, name := range []string{"one.example", "two.example"} {
		cert, key := ca.IssueFiles(name)
		pairs = append(pairs, server.KeyPair{Cert: cert, Key: key})
	}
	_, addr, _, _ := startTLS(t, server.Config{Handler: server.Echo(), TLS: server.TLS{Certs: pairs}})
	for _, name := range []string{"one.example", "two.example"} {
		c := conntest.DialTLS(t, addr, "/ws", ca.Trust(name))
		c.Text(name)
		c.ExpectText(name)
	}
	if _, err := conntest.Connect(t, addr).Secure(ca.Trust("three.example")); err == nil || !strings.Contains(err.Error(), "one.example") {
		t.Errorf("who asks for an unknown name gets %v, want the first certificate", err)
	}
}

func TestLeastVersion(t *testing.T) {
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(), TLS: server.TLS{MinVersion: tls.VersionTLS13}})
	config := ca.Trust("localhost")
	config.MaxVersion = tls.VersionTLS12
	if _, err := conntest.Connect(t, addr).Secure(config); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2: %v, want the alert protocol version", err)
	}
	eventually(t, "the end is counted", func() bool { return srv.Stats().Ended[conn.ReasonTLSHandshake] == 1 })
}

func TestClientCertificates(t *testing.T) {
	clients := conntest.NewAuthority(t)
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(), TLS: server.TLS{ClientCA: clients.File}})
	config := ca.Trust("localhost")
	config.Certificates = []tls.Certificate{clients.Pair("client")}
	c := conntest.DialTLS(t, addr, "/ws", config)
	c.Text("let in")
	c.ExpectText("let in")
	for i, pair := range [][]tls.Certificate{nil, {conntest.NewAuthority(t).Pair("client")}} {
		config := ca.Trust("localhost")
		config.Certificates = pair
		c := conntest.Connect(t, addr)
		_, err := c.Secure(config)
		if err == nil { // in TLS 1.3 the client is done before the server has judged it
			_, _, err = c.Next()
			_ = c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("client %d was not refused for its certificate: %v", i, err)
		}
	}
	eventually(t, "the refusals are counted", func() bool { return srv.Stats().Ended[conn.ReasonTLSHandshake] == 2 })
}

func TestPlainRequestOnTLSPort(t *testing.T) {
	srv, addr, _, _ := startTLS(t, server.Config{Handler: server.Echo()})
	for _, piece := range []int{1000, 7, 1} {
		c := conntest.Connect(t, addr)
		c.Dribble(piece)
		_, _ = c.Write([]byte(conntest.Request(addr, "/ws"))) // a part may come after the answer
		res := c.Response()
		body, err := io.ReadAll(res.Body)
		if res.StatusCode != 400 || err != nil || !strings.Contains(string(body), "this port speaks TLS") {
			t.Errorf("answer %s %q, %v", res.Status, body, err)
		}
		_ = c.Close()
	}
	eventually(t, "all are counted", func() bool { return srv.Stats().Ended[conn.ReasonTLSPlaintext] == 3 })
}

// TestHTTPOverTLS has requests of both kinds on one connection, as proxies send them: the
// session goes to net/http and comes back.
func TestHTTPOverTLS(t *testing.T) {
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(), HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			http.Error(w, "no TLS", http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, r.TLS.ServerName+strings.Repeat("!", 50_000))
	})})
	c := conntest.Connect(t, addr)
	if _, err := c.Secure(ca.Trust("localhost")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.Raw([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		res := c.Response()
		if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || len(body) != 50_009 {
			t.Fatalf("%s, %d bytes, %v", res.Status, len(body), err)
		}
	}
	c.Raw(append([]byte(conntest.Request(addr, "/ws")), conntest.Frame(true, ws.OpText, "at once")...))
	c.Accepted()
	c.ExpectText("at once")
	big := strings.Repeat("y", 100_000)
	c.Text(big)
	c.ExpectText(big)
	if n := srv.Stats().TLSOpen; n != 1 {
		t.Errorf("%d connections with TLS are counted as open", n)
	}
}

func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
		config := ca.Trust("localhost")
		config.MaxVersion = version
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for range 2 {
			c := conntest.DialTLS(t, addr, "/ws", config)
			c.Text("x")
			c.ExpectText("x") // the ticket has come before
			_ = c.Close()
		}
		if st := srv.Stats(); st.TLSHandshakes != 2 || st.TLSResumed != 1 {
			t.Errorf("%s: %d handshakes, %d resumed", tls.VersionName(version), st.TLSHandshakes, st.TLSResumed)
		}
		eventually(t, "the gauge falls", func() bool { return srv.Stats().TLSOpen == 0 })
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	ca := conntest.NewAuthority(t)
	cert, key := ca.IssueFiles("old.example")
	log := new(conntest.Log)
	config := server.Config{Handler: server.Echo(), Log: slog.New(slog.NewTextHandler(log, nil)), TLS: server.TLS{Certs: []server.KeyPair{{Cert: cert, Key: key}}}}
	srv, addr, _, _ := startTLS(t, config)
	stays := conntest.DialTLS(t, addr, "/ws", ca.Trust("old.example"))
	serves := func(name string) bool {
		_, err := conntest.Connect(t, addr).Secure(ca.Trust(name))
		return err == nil
	}
	newCert, newKey := ca.Issue("new.example")
	conntest.WriteFile(t, cert, newCert) // half of it: the key is the old one's
	srv.ReloadKeys()
	eventually(t, "the log tells of the fault", func() bool {
		return strings.Contains(log.String(), "cannot be read again") && strings.Contains(log.String(), "private key does not match")
	})
	if !serves("old.example") {
		t.Error("half a change has taken the old certificate away")
	}
	conntest.WriteFile(t, key, newKey)
	eventually(t, "the new certificate is served, without being asked for", func() bool { return serves("new.example") })
	stays.Text("still here")
	stays.ExpectText("still here")
}

func TestStartWithoutCertificates(t *testing.T) {
	ca := conntest.NewAuthority(t)
	cert, key := ca.IssueFiles("localhost")
	_, other := ca.IssueFiles("localhost")
	for _, c := range []struct {
		tls  server.TLS
		want string
	}{
		{server.TLS{Certs: []server.KeyPair{{Cert: "/nowhere/cert.pem", Key: key}}}, "/nowhere/cert.pem"},
		{server.TLS{Certs: []server.KeyPair{{Cert: cert, Key: other}}}, "does not match"},
		{server.TLS{Certs: []server.KeyPair{{Cert: cert, Key: key}}, ClientCA: key}, "no certificate"},
	} {
		srv, err := server.New(server.Config{Listen: []string{"tls:127.0.0.1:0"}, Handler: server.Echo(), TLS: c.tls})
		if err != nil {
			t.Fatal(err)
		}
		var bad *server.TLSError
		if err := srv.Start(); !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Start says %v, want %q", err, c.want)
		}
	}
	for _, c := range []struct {
		config server.Config
		want   string
	}{
		{server.Config{Listen: []string{"tls::0"}}, "no certificate"},
		{server.Config{Listen: []string{":0"}, TLS: server.TLS{Certs: []server.KeyPair{{Cert: cert, Key: key}}}}, "no listener speaks TLS"},
		{server.Config{Listen: []string{"tls::0"}, TLS: server.TLS{Certs: []server.KeyPair{{Cert: cert}}}}, "one with its key"},
		{server.Config{Listen: []string{"tls::0"}, TLS: server.TLS{Certs: []server.KeyPair{{Cert: cert, Key: key}}, MinVersion: tls.VersionTLS11}}, "want 1.2 or 1.3"},
		{server.Config{Listen: []string{"tls::0"}, TLS: server.TLS{Certs: []server.KeyPair{{Cert: cert, Key: key}}, Handshakes: -1}}, "out of range"},
		{server.Config{Listen: []string{":0"}, TLS: server.TLS{Kernel: conn.KernelTLSRequire}}, "no listener speaks it"},
		{server.Config{Listen: []string{"tls:nothing"}, TLS: server.TLS{Certs: []server.KeyPair{{Cert: cert, Key: key}}}}, "want host:port"},
	} {
		c.config.Handler = server.Echo()
		if err := c.config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Validate says %v, want %q", err, c.want)
		}
	}
}

// A client that takes nothing is closed as without TLS, and costs no more than its limits and
// one record.
func TestSlowConsumerOverTLS(t *testing.T) {
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Push(), WriteQueueBytes: 64 << 10, WriteQueueTotal: 1 << 30})
	slow := conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost"))
	payload := []byte(strings.Repeat("z", 8<<10))
	most := int64(0)
	eventually(t, "the slow one is closed", func() bool {
		if err := srv.Hub().Broadcast(frame.Prepare(frame.Binary, payload)); err != nil {
			return false // the queue is full for a moment
		}
		most = max(most, srv.Stats().WriteQueued)
		return srv.Stats().Closing == 1
	})
	if most > 256<<10 {
		t.Errorf("%d bytes waited for one client", most)
	}
	n := 0
	for {
		op, p, err := slow.Next()
		if err != nil {
			t.Fatalf("after %d messages: %v, want a close frame", n, err)
		}
		if op == ws.OpClose {
			if code := ws.StatusCode(p[0])<<8 | ws.StatusCode(p[1]); code != 1008 {
				t.Errorf("closed with %d", code)
			}
			break
		}
		if len(p) != len(payload) {
			t.Fatalf("message %d has %d bytes", n, len(p))
		}
		n++
	}
	if _, _, err := slow.Next(); !errors.Is(err, io.EOF) { // io.ErrUnexpectedEOF without close_notify
		t.Errorf("the stream ends with %v, want a close_notify", err)
	}
	_ = slow.Close()
	eventually(t, "nothing is left", func() bool { st := srv.Stats(); return st.Closing == 0 && st.WriteQueued == 0 })
}

// TestBacklogOverTLS has a client that reads only when the server's queue is long: every byte
// arrives, whatever was sealed when the socket was full, and the close behind it.
func TestBacklogOverTLS(t *testing.T) {
	srv, addr, _, ca := startTLS(t, server.Config{
		Handler: server.Push(), WriteQueueFrames: -1, WriteQueueBytes: -1, WriteQueueTotal: -1,
		CloseTimeout: -1, // the end must come by itself
	})
	c := conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost"))
	sent := 0
	eventually(t, "much waits", func() bool {
		f := frame.Prepare(frame.Text, fmt.Appendf(nil, "%d %s", sent, strings.Repeat("q", sent*37%20_000)))
		if err := srv.Hub().Broadcast(f); err != nil {
			return false
		}
		sent++
		return srv.Stats().WriteQueued > 2<<20
	})
	eventually(t, "all of it waits", func() bool { return srv.Stats().MessagesOut == uint64(sent) })
	srv.Hub().Each(func(of *conn.Conn) { of.Close(4000, "") })
	for i := range sent {
		c.ExpectText(fmt.Sprintf("%d %s", i, strings.Repeat("q", i*37%20_000)))
	}
	if op, p, err := c.Next(); op != ws.OpClose || ws.StatusCode(p[0])<<8|ws.StatusCode(p[1]) != 4000 {
		t.Fatal(op, err)
	}
	if _, _, err := c.Next(); !errors.Is(err, io.EOF) { // io.ErrUnexpectedEOF without close_notify
		t.Errorf("the stream ends with %v, want a close_notify", err)
	}
	_ = c.Close()
	eventually(t, "nothing waits", func() bool { return srv.Stats().WriteQueued == 0 })
}

// Neither goroutines nor more than 8 kB stay for a connection that says nothing.
func TestIdleTLSConnections(t *testing.T) {
	t.Run("in user space", func(t *testing.T) { idleTLSConnections(t, inUserSpace, 8<<10) })
	t.Run("in the kernel", func(t *testing.T) {
		needKernelTLS(t)
		idleTLSConnections(t, server.TLS{Kernel: conn.KernelTLSRequire}, 1<<10)
	})
}

func idleTLSConnections(t *testing.T, config server.TLS, most int64) {
	t.Helper()
	const n = 1000
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Push(), PingInterval: -1, TLS: config})
	open := func() net.Conn {
		// Clients in this process would be measured too: these keep only their descriptor.
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		_ = nc.SetDeadline(time.Now().Add(conntest.Patience))
		tc := tls.Client(nc, ca.Trust("localhost"))
		if _, err := io.WriteString(tc, conntest.Request(addr, "/ws")); err != nil {
			t.Fatal(err)
		}
		if res, err := http.ReadResponse(bufio.NewReader(tc), nil); err != nil || res.StatusCode != 101 {
			t.Fatal(res, err)
		}
		return nc
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools hold survives one
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	for range 50 {
		open()
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	for range n {
		open()
	}
	eventually(t, "all are in", func() bool { return srv.Clients() == n+50 })
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
	each := (int64(heap()) - int64(before)) / n
	t.Logf("%d bytes for an idle TLS connection, with its part of the test's client", each)
	if each > most && !raceEnabled {
		t.Errorf("an idle TLS connection takes %d bytes, want %d at the most", each, most)
	}
}

// TestProxyInFrontOfTLS has a proxy that passes TLS on and says who the client is.
func TestProxyInFrontOfTLS(t *testing.T) {
	for _, piece := range []int{1000, 1} {
		srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(), TrustedProxies: []string{"127.0.0.1"}})
		c := conntest.Connect(t, addr)
		c.Dribble(piece)
		c.Raw([]byte("PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n"))
		if _, err := c.Secure(ca.Trust("localhost")); err != nil {
			t.Fatal(err)
		}
		c.Raw([]byte(conntest.Request(addr, "/ws")))
		c.Accepted()
		srv.Hub().Each(func(of *conn.Conn) {
			if client := srv.Client(of).String(); client != "192.0.2.7:4711" {
				t.Errorf("the client is %s", client)
			}
			if v := of.Info().TLS; !strings.HasPrefix(v, "TLS 1.3") {
				t.Errorf("its version is %q", v)
			}
		})
	}
}

// One HTTP connection too many is told so over TLS as well.
func TestTooManyHTTPConnectionsOverTLS(t *testing.T) {
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(), MaxHTTPConns: 1})
	get := func() int {
		c := conntest.Connect(t, addr)
		if _, err := c.Secure(ca.Trust("localhost")); err != nil {
			t.Fatal(err)
		}
		c.Raw([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		return c.Response().StatusCode
	}
	if code := get(); code != 404 {
		t.Errorf("the first gets %d", code)
	}
	if code := get(); code != 503 {
		t.Errorf("the second gets %d, want 503", code)
	}
	eventually(t, "it is counted", func() bool { return srv.Stats().HTTPRefused == 1 })
}

func TestTLSOverUnixSocket(t *testing.T) {
	ca := conntest.NewAuthority(t)
	cert, key := ca.IssueFiles("localhost")
	path := "unix:" + t.TempDir() + "/s"
	srv, _ := start(t, server.Config{
		Listen: []string{"tls:" + path, "127.0.0.1:0"}, Handler: server.Echo(),
		TLS: server.TLS{Certs: []server.KeyPair{{Cert: cert, Key: key}}},
	})
	c := conntest.DialTLS(t, path, "/ws", ca.Trust("localhost"))
	c.Text("local")
	c.ExpectText("local")
	if got := fmt.Sprint(srv.Secure()); got != "[true false]" {
		t.Errorf("Secure says %s", got)
	}
}

// A refusal would take a handshake: who has too many connections is cut off.
func TestLimitsPerAddressOverTLS(t *testing.T) {
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(), Limits: server.Limits{MaxConnsPerIP: 1}})
	c := conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost"))
	if _, err := conntest.Connect(t, addr).Secure(ca.Trust("localhost")); err == nil {
		t.Error("a second connection was let in")
	}
	c.Text("the first stays")
	c.ExpectText("the first stays")
	eventually(t, "it is counted", func() bool { return srv.Stats().Ended[conn.ReasonMaxConnsPerIP] == 1 })
}

// A stop closes clients of both kinds, and those in the middle of their handshake.
func TestShutdownOverTLS(t *testing.T) {
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
	c := conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost"))
	stuck := conntest.Connect(t, addr)
	stuck.Raw(clientHello(t, ca.Trust("localhost")))
	if _, err := io.ReadFull(stuck.Conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(t.Context()) }()
	op, p, err := c.Next()
	if err != nil || op != ws.OpClose {
		t.Fatalf("%v %q, %v; want a close frame", op, p, err)
	}
	c.Raw(conntest.CloseFrame(1001, ""))
	if _, _, err := c.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ends with %v, want a close_notify", err)
	}
	_ = c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
