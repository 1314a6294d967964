//go:build linux

package server_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
)

// byHand opens a WebSocket over records that the test makes. What is sent goes to the
// network, what comes is read through TLS.
func byHand(t *testing.T, c *conntest.Client, config *tls.Config) (_ *conntest.Client, network net.Conn, r *conntest.Records) {
	t.Helper()
	addr := c.RemoteAddr().String()
	network = c.Conn
	r = c.SecureByHand(config)
	send(t, network, r.Seal(conntest.RecordData, []byte(conntest.Request(addr, "/ws"))))
	c.Accepted()
	return c, network, r
}

func send(t *testing.T, to net.Conn, b []byte) {
	t.Helper()
	if _, err := to.Write(b); err != nil {
		t.Fatal(err)
	}
}

// Faults in records end the connection with an alert and its own reason, and nothing of
// what follows is taken.
func TestBrokenRecords(t *testing.T) {
	const both = 0
	for _, c := range []struct {
		name, alert string
		version     uint16
		records     func(r *conntest.Records) []byte
	}{
		{"bad tag", "bad record MAC", both, func(r *conntest.Records) []byte {
			b := r.Seal(conntest.RecordData, conntest.Frame(true, ws.OpText, "forged"))
			b[len(b)-1] ^= 1
			return b
		}},
		{"oversized", "record overflow", both, func(*conntest.Records) []byte { return []byte{conntest.RecordData, 3, 3, 0x50, 0, 0} }},
		{"oversized inside", "record overflow", both, func(r *conntest.Records) []byte {
			return r.Seal(conntest.RecordData, make([]byte, 16<<10+1))
		}},
		{"wrong version", "protocol version", both, func(*conntest.Records) []byte { return []byte{conntest.RecordData, 2, 0, 0, 1, 0} }},
		{"renegotiation", "unexpected message", both, func(r *conntest.Records) []byte {
			return r.Seal(conntest.RecordHandshake, clientHello(t, &tls.Config{ServerName: "localhost"})[5:])
		}},
		{"too many key updates", "unexpected message", tls.VersionTLS13, func(r *conntest.Records) []byte {
			var all []byte
			for range 20 {
				all = append(all, r.Update(false)...)
			}
			return all
		}},
		{"too many warnings", "unexpected message", tls.VersionTLS12, func(r *conntest.Records) []byte {
			var all []byte
			for range 20 {
				all = append(all, r.Seal(conntest.RecordAlert, []byte{1, 90})...)
			}
			return all
		}},
		{"too many changes of cipher", "unexpected message", tls.VersionTLS13, func(*conntest.Records) []byte {
			return bytes.Repeat([]byte{20, 3, 3, 0, 1, 1}, 20)
		}},
		{"too many empty records", "unexpected message", both, func(r *conntest.Records) []byte {
			var all []byte
			for range 20 {
				all = append(all, r.Seal(conntest.RecordData, nil)...)
			}
			return all
		}},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			if c.version != both && c.version != version {
				continue
			}
			for _, piece := range []int{1 << 20, 7, 1} {
				t.Run(fmt.Sprintf("%s, %s in pieces of %d", c.name, tls.VersionName(version), piece), func(t *testing.T) {
					srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(), TLS: inUserSpace})
					client := conntest.Connect(t, addr)
					client.Dribble(piece)
					config := ca.Trust("localhost")
					config.MaxVersion = version
					client, network, r := byHand(t, client, config)
					_, _ = network.Write(c.records(r)) // the server may close before the last byte
					_, _, err := client.Next()
					if err == nil || !strings.Contains(err.Error(), c.alert) {
						t.Errorf("the client sees %v, want the alert %q", err, c.alert)
					}
					_ = network.Close()
					eventually(t, "the reason is counted", func() bool { return srv.Stats().Ended[conn.ReasonTLSProtocol] == 1 })
				})
			}
		}
	}
}

// A KeyUpdate asks for an answer each. One who reads none of them is cut off, and what waits
// for him stays bounded; one who does is served.
func TestKeyUpdates(t *testing.T) {
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Push(), WriteQueueTotal: 1 << 30, TLS: inUserSpace})
	good, network, r := byHand(t, conntest.Connect(t, addr), ca.Trust("localhost"))
	for range 10 {
		send(t, network, r.Update(true))
	}
	send(t, network, r.Seal(conntest.RecordData, conntest.Frame(true, ws.OpPing, "with new keys")))
	good.Expect(ws.OpPong, "with new keys")

	_, network, r = byHand(t, conntest.ConnectNarrow(t, addr, 4<<10, 536), ca.Trust("localhost"))
	most := int64(0)
	for {
		var some []byte
		for range 200 { // data in between, for crypto/tls counts what is of no use
			for range 8 {
				some = append(some, r.Update(true)...)
			}
			some = append(some, r.Seal(conntest.RecordData, conntest.Frame(true, ws.OpPong, ""))...)
		}
		_ = network.SetDeadline(time.Now().Add(conntest.Patience))
		_, err := network.Write(some)
		most = max(most, srv.Stats().WriteQueued)
		if err != nil {
			if errors.Is(err, io.EOF) || strings.Contains(err.Error(), "reset") || strings.Contains(err.Error(), "broken pipe") {
				break
			}
			t.Fatal(err)
		}
	}
	eventually(t, "the flood is counted", func() bool { return srv.Stats().Ended[conn.ReasonTLSProtocol] == 1 })
	if most > 256<<10 {
		t.Errorf("%d bytes waited for one who does not read", most)
	}
	eventually(t, "nothing waits", func() bool { return srv.Stats().WriteQueued == 0 })
}

// TestRenegotiationIsRefused uses a client that can ask for it, in TLS 1.2.
func TestRenegotiationIsRefused(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl here")
	}
	srv, addr, _, _ := startTLS(t, server.Config{Handler: server.Echo()})
	cmd := exec.Command(openssl, "s_client", "-connect", addr, "-tls1_2", "-legacy_renegotiation")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handshake is over", func() bool { return srv.Stats().TLSHandshakes == 1 })
	_, _ = io.WriteString(in, "R\n")
	eventually(t, "it is refused", func() bool { return srv.Stats().TLSOpen == 0 })
	_ = in.Close()
	_ = cmd.Wait() // it fails, as it should
	eventually(t, "the reason is counted", func() bool {
		st := srv.Stats()
		return st.Ended[conn.ReasonTLSProtocol]+st.Ended[conn.ReasonHandshakeAbandoned] == 1
	})
}

// A stream that is cut off is no close: neither where a record ends nor in one.
func TestTruncatedClose(t *testing.T) {
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
	for i, cut := range []int{0, 3, 20} {
		c, network, r := byHand(t, conntest.Connect(t, addr), ca.Trust("localhost"))
		record := r.Seal(conntest.RecordData, conntest.Frame(true, ws.OpText, "half of this"))
		send(t, network, record[:cut])
		tcp := network.(*net.TCPConn)
		if err := tcp.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if code := c.Closed(); code != 0 {
			t.Errorf("closed with %d", code)
		}
		_ = c.Close()
		eventually(t, "the peer is gone", func() bool { return srv.Stats().Ended[conn.ReasonPeerGone] == uint64(i+1) })
	}
}

// Those who do not go on with their handshake are dropped at its deadline, wherever they
// have stopped, and take no goroutine before their first record is there.
func TestSlowHandshakes(t *testing.T) {
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(), HandshakeTimeout: 300 * time.Millisecond})
	hello := clientHello(t, ca.Trust("localhost"))
	cuts := []int{0, 1, 4, 5, 100, len(hello) - 1, len(hello)}
	for _, cut := range cuts {
		c := conntest.Connect(t, addr)
		c.Raw(hello[:cut])
		if _, err := io.ReadAll(c.Conn); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("after %d bytes: %v", cut, err)
		}
	}
	eventually(t, "all have timed out", func() bool { return srv.Stats().Ended[conn.ReasonHandshakeTimeout] == uint64(len(cuts)) })
	if n := srv.Stats().ReadKept; n != 0 {
		t.Errorf("%d bytes are still kept", n)
	}
}

// TestFloodSparesThoseInTheQueue: who has sent a whole ClientHello and waits for a place is
// older than the flood, and nobody waits for him.
func TestFloodSparesThoseInTheQueue(t *testing.T) {
	const most = 20
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(),
		Limits: server.Limits{MaxHandshakes: most}, TLS: server.TLS{Handshakes: 1}})
	silent := func(n int) (last net.Addr) {
		for range n {
			last = conntest.Connect(t, addr).LocalAddr()
		}
		return last
	}
	witness := silent(1).String()
	// later waits until those who come are younger than those who are there.
	later := func() {
		age := func() (age time.Duration) {
			srv.Hub().Each(func(c *conn.Conn) {
				if srv.Client(c).String() == witness {
					age, _ = c.HandshakeAge()
				}
			})
			return age
		}
		before := age()
		eventually(t, "the clock goes on", func() bool { return age() > before })
	}
	eventually(t, "the first one is there", func() bool { return srv.Stats().Handshaking == 1 })
	later()
	stuck := conntest.Connect(t, addr)
	stuck.Raw(clientHello(t, ca.Trust("localhost")))
	if _, err := io.ReadFull(stuck.Conn, make([]byte, 1)); err != nil { // the server's answer: it is in its place
		t.Fatal(err)
	}
	in := srv.Stats().BytesIn
	c := conntest.Connect(t, addr)
	secured := make(chan error, 1)
	go func() {
		_, err := c.Secure(ca.Trust("localhost"))
		secured <- err
	}()
	eventually(t, "it has sent its ClientHello", func() bool { return srv.Stats().BytesIn >= in+100 })
	later()
	silent(most / 2)
	later()
	silent(most / 2)
	eventually(t, "some are dropped", func() bool { return srv.Stats().Ended[conn.ReasonHandshakeFlood] > 0 })
	if err := <-secured; err != nil {
		t.Fatal(err)
	}
	c.Raw([]byte(conntest.Request(addr, "/ws")))
	c.Accepted()
}

// clientHello is the first record of a client.
func clientHello(t *testing.T, config *tls.Config) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer func() { _ = a.Close() }()
	defer func() { _ = b.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(b, config).Handshake() // it is cut off
	}()
	head := make([]byte, 5)
	if _, err := io.ReadFull(a, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(a, body); err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	<-done
	return append(head, body...)
}

// With all places taken by clients that have stopped, the next one waits a second and
// is served; who leaves meanwhile is not waited for.
func TestHandshakePlaces(t *testing.T) {
	srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(), TLS: server.TLS{Handshakes: 2}})
	hello := clientHello(t, ca.Trust("localhost"))
	stuck := func() *conntest.Client {
		c := conntest.Connect(t, addr)
		c.Raw(hello)
		return c
	}
	for range 2 {
		c := stuck()
		if _, err := io.ReadFull(c.Conn, make([]byte, 1)); err != nil { // the server's answer: it is in its place
			t.Fatal(err)
		}
	}
	_ = stuck().Close()
	eventually(t, "who left is counted", func() bool {
		return srv.Stats().Ended[conn.ReasonHandshakeAbandoned]+srv.Stats().Ended[conn.ReasonPeerReset] <= 1
	})
	c := conntest.DialTLS(t, addr, "/ws", ca.Trust("localhost"))
	c.Text("at last")
	c.ExpectText("at last")
	if n := srv.Stats().Ended[conn.ReasonHandshakeFlood]; n < 1 || n > 2 {
		t.Errorf("%d were dropped for others, want one or two", n)
	}
}

// A byte now and then helps nobody: neither a handshake nor a request gets more time for it,
// and half a record is no sign of life.
func TestDripsOverTLS(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason conn.Reason
		bytes  func(c *conntest.Client, config *tls.Config) []byte
	}{
		{"handshake", conn.ReasonHandshakeTimeout, func(_ *conntest.Client, config *tls.Config) []byte { return clientHello(t, config) }},
		{"request", conn.ReasonHandshakeTimeout, func(c *conntest.Client, config *tls.Config) (all []byte) {
			r := c.SecureByHand(config)
			for _, b := range []byte(conntest.Request("localhost", "/ws")) {
				all = append(all, r.Seal(conntest.RecordData, []byte{b})...)
			}
			return all
		}},
		{"record", conn.ReasonPongTimeout, func(c *conntest.Client, config *tls.Config) []byte {
			_, _, r := byHand(t, c, config)
			return r.Seal(conntest.RecordData, make([]byte, 16<<10))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo(),
				HandshakeTimeout: 300 * time.Millisecond, PingInterval: 100 * time.Millisecond})
			client := conntest.Connect(t, addr)
			network := client.Conn
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for _, b := range c.bytes(client, ca.Trust("localhost")) {
				<-tick.C
				_, _ = network.Write([]byte{b}) // it fails behind the end
				if srv.Stats().Ended[c.reason] == 1 {
					return
				}
			}
			t.Error("every byte was waited for")
		})
	}
}

// A ClientHello may come in as many records as it likes, each in pieces.
func TestHelloInManyRecords(t *testing.T) {
	_, addr, _, ca := startTLS(t, server.Config{Handler: server.Echo()})
	for _, size := range []int{1, 5, 100} {
		for _, piece := range []int{1 << 20, 3, 1} {
			c := conntest.Connect(t, addr)
			c.Dribble(piece)
			c.Conn = &shredder{Conn: c.Conn, size: size}
			if _, err := c.Secure(ca.Trust("localhost")); err != nil {
				t.Fatalf("records of %d in pieces of %d: %v", size, piece, err)
			}
			c.Raw([]byte(conntest.Request(addr, "/ws")))
			c.Accepted()
		}
	}
}

// shredder has the first record leave in records of size bytes.
type shredder struct {
	net.Conn
	size int
	done bool
}

func (s *shredder) Write(p []byte) (int, error) {
	if s.done {
		return s.Conn.Write(p)
	}
	s.done = true
	_, err := s.Conn.Write(records(p[5:], s.size))
	return len(p), err
}

// records has a message of the handshake, before anything is encrypted, in records of size bytes.
func records(message []byte, size int) (all []byte) {
	for len(message) > 0 {
		n := min(size, len(message))
		all = append(all, conntest.RecordHandshake, 3, 1, byte(n>>8), byte(n))
		all, message = append(all, message[:n]...), message[n:]
	}
	return all
}

// What no handshake begins with is answered with an alert, and not waited for to its end.
func TestBrokenHello(t *testing.T) {
	const fatal = 2
	for _, c := range []struct {
		name  string
		in    []byte
		alert byte // RFC 8446 section 6
	}{
		{"oversized record", append([]byte{conntest.RecordHandshake, 3, 1, 0x48, 1}, make([]byte, 4<<10)...), 22},
		{"oversized message", records(append([]byte{1, 2, 0, 0}, make([]byte, 40<<10)...), 16<<10), 80},
		{"another message first", records([]byte{20, 0, 0, 4, 0, 0, 0, 0}, 100), 10},
		{"nonsense", records([]byte{1, 0, 0, 4, 9, 9, 9, 9}, 100), 50},
	} {
		for _, piece := range []int{1 << 20, 7, 1} {
			t.Run(fmt.Sprintf("%s in pieces of %d", c.name, piece), func(t *testing.T) {
				srv, addr, _, _ := startTLS(t, server.Config{Handler: server.Echo()})
				client := conntest.Connect(t, addr)
				client.Dribble(piece)
				_, _ = client.Write(c.in) // the server may close before the last byte
				_ = client.SetDeadline(time.Now().Add(conntest.Patience))
				got, err := io.ReadAll(client.Conn)
				if len(got) != 7 || got[0] != conntest.RecordAlert || got[5] != fatal || got[6] != c.alert {
					t.Errorf("answered with % x, %v; want the alert %d", got, err, c.alert)
				}
				_ = client.Close()
				eventually(t, "the reason is counted", func() bool { return srv.Stats().Ended[conn.ReasonTLSHandshake] == 1 })
			})
		}
	}
}

// recorder notes the messages that come, and waits at the first.
type recorder struct {
	conn.Handler
	first sync.Once
	waits chan struct{} // closed at the first
	goOn  chan struct{}
	came  chan string
}

func (r *recorder) OnMessage(_ *conn.Conn, _ frame.Opcode, payload []byte) {
	r.first.Do(func() {
		close(r.waits)
		<-r.goOn
	})
	r.came <- string(payload)
}

// A byte in each record makes the server work for each of them: others get their turn
// before many are done.
func TestTinyRecordsAreInTheBudget(t *testing.T) {
	const messages = 200
	r := &recorder{Handler: server.Echo(), waits: make(chan struct{}), goOn: make(chan struct{}), came: make(chan string, messages+1)}
	srv, addr, plain, ca := startTLS(t, server.Config{Handler: r, Reactors: 1, Workers: 1, Blocking: true, ReadBuffer: 4 << 10})
	modest := conntest.Dial(t, plain, "/ws")
	_, network, by := byHand(t, conntest.Connect(t, addr), ca.Trust("localhost"))
	var all []byte
	for range messages {
		for _, b := range conntest.Frame(true, ws.OpText, "g") {
			all = append(all, by.Seal(conntest.RecordData, []byte{b})...)
		}
	}
	send(t, network, all)
	<-r.waits
	modest.Text("modest")
	eventually(t, "the other one waits for the worker", func() bool { return srv.Stats().Poller.Queued == 1 })
	close(r.goOn)
	for i := range messages {
		if text := <-r.came; text == "modest" {
			if i > messages/2 {
				t.Errorf("%d messages of one client came first", i)
			}
			return
		}
	}
	t.Error("all messages of one client came first")
}
