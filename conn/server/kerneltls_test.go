//go:build linux

package server_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/server"
	"roost/poller/socket"
)

// needKernelTLS skips a test where the kernel has no TLS. scripts/ktls.sh runs them, and all
// others about TLS, where it has.
func needKernelTLS(t *testing.T) {
	t.Helper()
	known, err := socket.KernelTLS()
	if slices.Equal(known, socket.TLSSuites) {
		return
	}
	if os.Getenv("ROOST_REQUIRE_KTLS") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// inUserSpace is for tests of what crypto/tls does on open connections.
var inUserSpace = server.TLS{Kernel: conn.KernelTLSOff}

func TestKernelTLSRequired(t *testing.T) {
	ca := conntest.NewAuthority(t)
	cert, key := ca.IssueFiles("localhost")
	config := server.Config{
		Listen: []string{"tls:127.0.0.1:0"}, Handler: server.Echo(),
		TLS: server.TLS{Certs: []server.KeyPair{{Cert: cert, Key: key}}, Kernel: conn.KernelTLSRequire},
	}
	if known, _ := socket.KernelTLS(); known == nil {
		srv, err := server.New(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Start(); err == nil || !strings.Contains(err.Error(), "modprobe tls") {
			t.Errorf("started without: %v", err)
		}
		return
	}
	_, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(), TLS: server.TLS{Kernel: conn.KernelTLSRequire}})
	old := ca.Trust("localhost")
	old.MaxVersion = tls.VersionTLS12
	if _, err := conntest.Connect(t, addr).Secure(old); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2: %v", err)
	}
	c := conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost"))
	c.Text("here")
	c.ExpectText("here")
}

// Who is in the kernel, who is not and why is told.
func TestKernelTLSIsCounted(t *testing.T) {
	needKernelTLS(t)
	srv, addr, plain, ca := startTLS(t, server.Config{Handler: server.Echo()})
	old := ca.Trust("localhost")
	old.MaxVersion = tls.VersionTLS12
	conntest.Dial(t, plain, "/ws")
	for _, c := range []*conntest.Client{
		conntest.DialTLS(t, addr, "/ws", old),
		conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost")),
		conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost")),
	} {
		c.Text("here")
		c.ExpectText("here")
	}
	if st := srv.Stats(); st.TLSOpen != 3 || st.TLSKernel != 2 || st.TLSKept != 1 {
		t.Errorf("%d with TLS, %d in the kernel, %d kept", st.TLSOpen, st.TLSKernel, st.TLSKept)
	}
	var names []string
	srv.Hub().Each(func(of *conn.Conn) { names = append(names, of.Info().TLS) })
	slices.Sort(names)
	if !slices.Equal(names, []string{"", "TLS 1.2", conn.KernelTLSName, conn.KernelTLSName}) {
		t.Errorf("%q", names)
	}
	srv.Hub().Each(func(of *conn.Conn) { of.Close(1000, "") })
	eventually(t, "all are gone", func() bool { st := srv.Stats(); return st.TLSOpen == 0 && st.TLSKernel == 0 })
}

// Each suite, with a fresh session and a resumed one: the records of tickets are counted.
func TestKernelTLSTickets(t *testing.T) {
	needKernelTLS(t)
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
	cache := tls.NewLRUClientSessionCache(4)
	for i, cached := range []tls.ClientSessionCache{nil, cache, cache, cache} {
		config := ca.Trust("localhost")
		config.ClientSessionCache = cached
		config.SessionTicketsDisabled = cached == nil
		c := conntest.DialTLS(t, addr, "/ws", config)
		for range 3 {
			c.Text("here")
			c.ExpectText("here")
		}
		if st := srv.Stats(); st.TLSKernel != int64(i+1) || st.TLSResumed != uint64(max(0, i-1)) {
			t.Errorf("%d in the kernel, %d resumed", st.TLSKernel, st.TLSResumed)
		}
	}
}

// The alert that says that nothing follows comes behind the close frame.
func TestKernelTLSClose(t *testing.T) {
	needKernelTLS(t)
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
	for i, leave := range []struct {
		by   func(c *conntest.Client)
		why  conn.Reason
		code ws.StatusCode
	}{
		{func(c *conntest.Client) { c.Raw(conntest.CloseFrame(1000, "")) }, conn.ReasonPeerClosed, 1000},
		{func(*conntest.Client) { srv.Hub().Each(func(of *conn.Conn) { of.Close(4000, "") }) }, conn.ReasonApplication, 4000},
		{func(c *conntest.Client) { c.Raw(conntest.Frame(true, 3, "")) }, conn.ReasonProtocolError, 1002},
	} {
		c := conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost"))
		leave.by(c)
		if code := c.Closed(); code != leave.code { // it fails where the stream is cut off
			t.Errorf("%d: closed with %d", i, code)
		}
		_ = c.Close()
		eventually(t, "it is counted", func() bool { return srv.Stats().Ended[leave.why] == 1 })
	}
	// close_notify without a close frame.
	c, network, r := byHand(t, conntest.Connect(t, addr), ca.Trust("localhost"))
	send(t, network, r.Seal(conntest.RecordAlert, []byte{1, 0}))
	if code := c.Closed(); code != 0 {
		t.Errorf("closed with %d", code)
	}
	eventually(t, "the peer is gone", func() bool { return srv.Stats().Ended[conn.ReasonPeerGone] == 1 })
}

// What is no data: everything ends the connection with a word to the peer and its reason.
func TestKernelTLSControlRecords(t *testing.T) {
	needKernelTLS(t)
	hello := clientHello(t, &tls.Config{ServerName: "localhost"})
	for _, c := range []struct {
		name, seen string
		why        conn.Reason
		record     func(r *conntest.Records) []byte
	}{
		{"bad tag", "bad record MAC", conn.ReasonTLSProtocol, func(r *conntest.Records) []byte {
			b := r.Seal(conntest.RecordData, conntest.Frame(true, ws.OpText, "forged"))
			b[len(b)-1] ^= 1
			return b
		}},
		{"oversized", "record overflow", conn.ReasonTLSProtocol, func(*conntest.Records) []byte { return []byte{conntest.RecordData, 3, 3, 0x50, 0, 0} }},
		{"wrong version", "protocol version", conn.ReasonTLSProtocol, func(*conntest.Records) []byte { return []byte{conntest.RecordData, 2, 0, 1, 0, 0} }},
		{"plaintext", "", conn.ReasonTLSProtocol, func(*conntest.Records) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }},
		{"renegotiation", "unexpected message", conn.ReasonTLSProtocol, func(r *conntest.Records) []byte { return r.Seal(conntest.RecordHandshake, hello[5:]) }},
		{"key update", "closed with 1012", conn.ReasonTLSKeyUpdate, func(r *conntest.Records) []byte { return r.Update(true) }},
		{"many key updates", "closed with 1012", conn.ReasonTLSKeyUpdate, func(r *conntest.Records) []byte {
			var all []byte
			for range 100 {
				all = append(all, r.Update(true)...)
			}
			return all
		}},
		{"alert", "", conn.ReasonTLSProtocol, func(r *conntest.Records) []byte { return r.Seal(conntest.RecordAlert, []byte{2, 80}) }},
	} {
		for _, dribble := range []int{0, 1} {
			t.Run(c.name, func(t *testing.T) {
				srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
				client := conntest.Connect(t, addr)
				if dribble > 0 {
					client.Dribble(dribble)
				}
				client, network, r := byHand(t, client, ca.Trust("localhost"))
				_, _ = network.Write(c.record(r)) // the server may close before the last byte
				switch c.seen {
				case "closed with 1012":
					if code := client.Closed(); code != 1012 {
						t.Errorf("closed with %d", code)
					}
				default:
					if _, _, err := client.Next(); err == nil || !strings.Contains(err.Error(), c.seen) {
						t.Errorf("the client sees %v, want %q", err, c.seen)
					}
				}
				_ = network.Close()
				eventually(t, "the reason is counted", func() bool { return srv.Stats().Ended[c.why] == 1 })
			})
		}
	}
}

// Empty records are no end of the stream, and neither is an alert that says nothing.
func TestKernelTLSEmptyRecords(t *testing.T) {
	needKernelTLS(t)
	_, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
	c, network, r := byHand(t, conntest.Connect(t, addr), ca.Trust("localhost"))
	for range 20 {
		send(t, network, r.Seal(conntest.RecordData, nil))
		send(t, network, r.Seal(conntest.RecordAlert, []byte{1, 90})) // user_canceled
	}
	send(t, network, r.Seal(conntest.RecordData, conntest.Frame(true, ws.OpText, "here")))
	c.ExpectText("here")
}

// Frames behind the request, in its record or in the next, and new keys in front of it, which
// leave the session where it is.
func TestKernelTLSBesideTheRequest(t *testing.T) {
	needKernelTLS(t)
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
	frame := string(conntest.Frame(true, ws.OpText, "here"))
	request := conntest.Request(addr, "/ws")
	for _, c := range []struct {
		name   string
		kernel bool
		bytes  func(r *conntest.Records) []byte
	}{
		{"in its record", true, func(r *conntest.Records) []byte { return r.Seal(conntest.RecordData, []byte(request+frame)) }},
		{"in the next", true, func(r *conntest.Records) []byte {
			return append(r.Seal(conntest.RecordData, []byte(request)), r.Seal(conntest.RecordData, []byte(frame))...)
		}},
		{"in many", true, func(r *conntest.Records) (all []byte) {
			for _, b := range []byte(request + frame) {
				all = append(all, r.Seal(conntest.RecordData, []byte{b})...)
			}
			return all
		}},
		{"after an update", false, func(r *conntest.Records) []byte {
			return append(r.Update(false), r.Seal(conntest.RecordData, []byte(request+frame))...)
		}},
		{"after an update that wants an answer", false, func(r *conntest.Records) []byte {
			return append(r.Update(true), r.Seal(conntest.RecordData, []byte(request+frame))...)
		}},
	} {
		for _, dribble := range []int{1 << 20, 1} {
			t.Run(c.name, func(t *testing.T) {
				before := srv.Stats().TLSKernel
				client := conntest.Connect(t, addr)
				client.Dribble(dribble)
				network := client.Conn
				r := client.SecureByHand(ca.Trust("localhost"))
				send(t, network, c.bytes(r))
				client.Accepted()
				client.ExpectText("here")
				if got := srv.Stats().TLSKernel == before+1; got != c.kernel {
					t.Errorf("in the kernel: %v", got)
				}
				_ = network.Close()
				eventually(t, "it has left", func() bool { return srv.Stats().TLSKernel == before })
			})
		}
	}
}

// Clients that come, send, and leave in every way and at any point, beside one who listens:
// nothing is lost to him, and nothing is left of them.
func TestKernelTLSComingAndGoing(t *testing.T) {
	needKernelTLS(t)
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Chat(), WriteQueueFrames: -1})
	listener := conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost"))
	eventually(t, "the listener is in", func() bool { return srv.Clients() == 1 })
	const clients, each = 8, 12
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for k := range each {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				tc := tls.Client(nc, ca.Trust("localhost"))
				_ = tc.SetDeadline(time.Now().Add(conntest.Patience))
				text := fmt.Sprintf("%d %d", i, k)
				first := conntest.Request(addr, "/ws") + string(conntest.Frame(true, ws.OpText, text))
				if _, err := tc.Write([]byte(first)); err != nil {
					t.Error(err)
				}
				if res, err := http.ReadResponse(bufio.NewReader(tc), nil); err != nil || res.StatusCode != 101 {
					t.Error(res, err)
				}
				switch k % 4 {
				case 0:
					_ = nc.(*net.TCPConn).SetLinger(0) // RST, perhaps before the message was read
					_, _ = tc.Write(conntest.Frame(true, ws.OpPing, "a last word"))
				case 1:
					_ = tc.CloseWrite()
				case 2:
					_, _ = tc.Write(conntest.CloseFrame(1000, ""))
				case 3:
					_, _ = nc.Write([]byte{conntest.RecordData, 3, 3, 1, 0, 0}) // half a record
				}
				_ = nc.Close()
			}
		})
	}
	seen := map[string]bool{}
	next := map[byte]int{}
	for len(seen) < clients*each*3/4 { // those who left with RST may have been too fast
		_, p, err := listener.Next()
		if err != nil {
			t.Fatalf("after %d messages: %v", len(seen), err)
		}
		var client, number int
		if _, err := fmt.Sscanf(string(p), "%d %d", &client, &number); err != nil || seen[string(p)] || number < next[byte(client)] {
			t.Fatalf("%q, %v, next is %d", p, err, next[byte(client)])
		}
		if number%4 != 0 {
			seen[string(p)] = true
		}
		next[byte(client)] = number + 1
	}
	all.Wait()
	eventually(t, "nobody else is left", func() bool {
		st := srv.Stats()
		return st.TLSOpen == 1 && st.TLSKernel == 1 && st.Open == 1 && st.Closing == 0 && st.Handshaking == 0 && st.WriteQueued == 0
	})
}

// What came before a record that cannot be decrypted is answered, and so is the record.
func TestKernelTLSAnswersBeforeTheFault(t *testing.T) {
	needKernelTLS(t)
	for range 5 {
		_, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
		c := conntest.Connect(t, addr)
		network := c.Conn
		r := c.SecureByHand(ca.Trust("localhost"))
		all := r.Seal(conntest.RecordData, append([]byte(conntest.Request(addr, "/ws")), conntest.Frame(true, ws.OpText, "here")...))
		all = append(all, r.Update(false)...)
		all = append(all, r.Seal(conntest.RecordData, conntest.Frame(true, ws.OpText, "with new keys"))...)
		send(t, network, all)
		c.Accepted()
		c.ExpectText("here")
		if code := c.Closed(); code != 1012 {
			t.Errorf("closed with %d", code)
		}
	}
}

// The kernel takes no connection whose peer has closed its side: it stays where it is.
func TestKernelTLSHalfClosed(t *testing.T) {
	needKernelTLS(t)
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(), TLS: server.TLS{Kernel: conn.KernelTLSRequire}})
	for range 5 {
		c := conntest.Connect(t, addr)
		network := c.Conn
		r := c.SecureByHand(ca.Trust("localhost"))
		send(t, network, r.Seal(conntest.RecordData, append(append([]byte(conntest.Request(addr, "/ws")),
			conntest.Frame(true, ws.OpText, "here")...), conntest.CloseFrame(1000, "")...)))
		if err := network.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.Accepted()
		c.ExpectText("here")
		if code := c.Closed(); code != 1000 {
			t.Errorf("closed with %d", code)
		}
	}
	if n := srv.Stats().Ended[conn.ReasonTLSKernel]; n > 0 {
		t.Errorf("%d were closed because the kernel did not take them", n)
	}
}
