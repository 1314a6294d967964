//go:build linux

package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/conn/server"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	conntest.Main(m)
}

// start runs a server on a free port for the length of the test.
func start(t testing.TB, config server.Config) (*server.Server, string) {
	t.Helper()
	if config.Listen == nil {
		config.Listen = []string{"127.0.0.1:0"}
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	srv, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	return srv, srv.Addrs()[0].String()
}

// eventually waits for a condition that other goroutines bring about and nothing
// announces.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(conntest.Patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("still not true: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestChatReachesEverybodyWithItsOpcode(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Chat()})
	a, b := conntest.Dial(t, addr, "/ws"), conntest.Dial(t, addr, "/ws")
	a.Text("hello")
	a.ExpectText("hello")
	b.ExpectText("hello")
	b.Send(ws.OpBinary, "\x00\xff")
	a.Expect(ws.OpBinary, "\x00\xff")
	b.Expect(ws.OpBinary, "\x00\xff")
	a.Text("")
	a.ExpectText("")
	b.ExpectText("")
}

func TestClientIsForgottenAtOnce(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Chat()})
	leaves := []func(c *conntest.Client){
		func(c *conntest.Client) { _ = c.Close() },
		func(c *conntest.Client) { c.Raw(conntest.CloseFrame(1000, "bye")); c.Closed() },
	}
	for _, leave := range leaves {
		c := conntest.Dial(t, addr, "/ws")
		if n := srv.Clients(); n != 1 {
			t.Fatalf("%d clients, want 1", n)
		}
		leave(c)
		eventually(t, "the hub is empty", func() bool { return srv.Hub().Len() == 0 && srv.Clients() == 0 })
	}
}

func TestEcho(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo(), MaxMessage: 20 << 20})
	c := conntest.Dial(t, addr, "/ws")
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 16 << 20} {
		payload := strings.Repeat("roost", n/5+1)[:n]
		go c.Text(payload) // the server answers while the message is still being sent
		c.ExpectText(payload)
	}
}

// TestEchoOfAPeerThatReadsLate sends far more than queues and socket buffers
// hold before it reads. The server must stop reading rather than drop or close.
func TestEchoOfAPeerThatReadsLate(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo(), WriteQueueFrames: 8, WriteQueueBytes: 16 << 10})
	c := conntest.Dial(t, addr, "/ws")
	const n = 40_000
	payload := strings.Repeat("x", 1000)
	go func() {
		for i := range n {
			c.Text(fmt.Sprint(i, payload))
		}
	}()
	for i := range n {
		c.ExpectText(fmt.Sprint(i, payload))
	}
}

func TestPushTakesNothing(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Push()})
	c := conntest.Dial(t, addr, "/ws")
	if err := srv.Hub().Broadcast(frame.Prepare(frame.Text, []byte("news"))); err != nil {
		t.Fatal(err)
	}
	c.ExpectText("news")
	c.Send(ws.OpPing, "still here")
	c.Expect(ws.OpPong, "still here")
	c.Text("take this")
	if code := c.Closed(); code != ws.StatusPolicyViolation {
		t.Fatalf("closed with %d, want 1008", code)
	}
}

// TestDeliveries sends the same conversation whole, byte by byte, and in random
// pieces, and wants the same answers.
func TestDeliveries(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo()})
	var in bytes.Buffer
	in.WriteString(conntest.Request(addr, "/ws"))
	in.Write(conntest.Frame(true, ws.OpText, "one"))
	in.Write(conntest.Frame(false, ws.OpText, "Gr\xc3"))
	in.Write(conntest.Frame(true, ws.OpPing, "between"))
	in.Write(conntest.Frame(true, ws.OpContinuation, "\xbc\xc3\x9fe"))
	in.Write(conntest.Frame(true, ws.OpBinary, strings.Repeat("z", 300)))
	in.Write(conntest.Frame(true, ws.OpPong, "unasked"))
	in.Write(conntest.CloseFrame(4000, "done"))
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, size := range []func() int{
		in.Len,
		func() int { return 1 },
		func() int { return 1 + rnd.IntN(40) },
	} {
		c := conntest.Connect(t, addr)
		for b := in.Bytes(); len(b) > 0; {
			n := min(size(), len(b))
			c.Raw(b[:n])
			b = b[n:]
		}
		c.Accepted()
		c.ExpectText("one")
		c.Expect(ws.OpPong, "between")
		c.ExpectText("Gr\u00fc\u00dfe")
		c.Expect(ws.OpBinary, strings.Repeat("z", 300))
		if code := c.Closed(); code != 4000 {
			t.Fatalf("closed with %d, want 4000", code)
		}
	}
}

func TestBadFramesGetTheirCode(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Echo(), MaxMessage: 1000})
	bystander := conntest.Dial(t, addr, "/ws")
	unmasked, _ := ws.CompileFrame(ws.NewTextFrame([]byte("bare")))
	for name, c := range map[string]struct {
		frames []byte
		code   ws.StatusCode
		reason conn.Reason
	}{
		"unmasked":          {unmasked, 1002, conn.ReasonProtocolError},
		"bad text":          {conntest.Frame(true, ws.OpText, "a\xff"), 1007, conn.ReasonInvalidPayload},
		"bad text, unended": {conntest.Frame(false, ws.OpText, "a\xff"), 1007, conn.ReasonInvalidPayload},
		"too big":           {conntest.Frame(true, ws.OpText, strings.Repeat("a", 1001)), 1009, conn.ReasonTooBig},
		"bad close code":    {conntest.CloseFrame(1005, ""), 1002, conn.ReasonProtocolError},
		"followed by data": {append(conntest.Frame(true, 3, ""), conntest.Frame(true, ws.OpText, "no echo")...),
			1002, conn.ReasonProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			before := srv.Stats().Ended[c.reason]
			p := conntest.Dial(t, addr, "/ws")
			p.Raw(c.frames)
			if code := p.Closed(); code != c.code {
				t.Errorf("closed with %d, want %d", code, c.code)
			}
			_ = p.Close()
			eventually(t, "the reason is counted", func() bool { return srv.Stats().Ended[c.reason] == before+1 })
		})
	}
	bystander.Text("still here")
	bystander.ExpectText("still here")
}

func TestHandshakeRefusals(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo()})
	good := conntest.Request(addr, "/ws")
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"bad key":       {strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "short", 1), 400},
		"other path":    {strings.Replace(good, "/ws", "/other", 1), 404},
		"post":          {strings.Replace(good, "GET", "POST", 1), 405},
		"no upgrade":    {"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", 426},
		"old version":   {strings.Replace(good, "Version: 13", "Version: 8", 1), 426},
		"huge head":     {"GET /ws HTTP/1.1\r\nX: " + strings.Repeat("a", 9000) + "\r\n\r\n", 431},
		"origin":        {conntest.Request(addr, "/ws", "Origin: http://evil.example"), 403},
		"a line of mud": {"\x16\x03\x01\x00\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			p := conntest.Connect(t, addr)
			p.Raw([]byte(c.request))
			res := p.Response()
			if res.StatusCode != c.status {
				t.Errorf("answered %s, want %d", res.Status, c.status)
			}
			if body, err := io.ReadAll(res.Body); err != nil || len(body) == 0 {
				t.Errorf("body %q, %v", body, err)
			}
		})
	}
	conntest.Dial(t, addr, "/ws", "Origin: http://"+addr)
}

func TestOriginsComeOnTopOfTheOwnHost(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo(), Limits: server.Limits{Origins: []string{"https://app.example.com"}}})
	conntest.Dial(t, addr, "/ws", "Origin: http://"+addr)
	conntest.Dial(t, addr, "/ws", "Origin: https://app.example.com")
}

// TestLifecycle calls everything at the wrong time.
func TestLifecycle(t *testing.T) {
	config := server.Config{Listen: []string{"127.0.0.1:0"}, Handler: server.Chat(), Log: slog.New(slog.DiscardHandler)}
	srv, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if n := srv.Stats().Open + int64(srv.Clients()); n != 0 || srv.Hub() != nil || len(srv.Addrs()) != 0 {
		t.Error("a server that was not started has something")
	}
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown before Start: %v", err)
	}
	if err := srv.Start(); !errors.Is(err, server.ErrStarted) {
		t.Errorf("Start after Shutdown: %v", err)
	}

	srv, addr := start(t, config)
	if err := srv.Start(); !errors.Is(err, server.ErrStarted) {
		t.Errorf("second Start: %v", err)
	}
	config.Listen = []string{addr}
	taken, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := taken.Start(); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("port in use: %v", err)
	}
	if err := taken.Close(); err != nil {
		t.Errorf("Close after a failed Start: %v", err)
	}
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := srv.Shutdown(context.Background()); !errors.Is(err, server.ErrStopping) {
		t.Errorf("second Shutdown: %v", err)
	}
	if err := srv.Close(); err != nil {
		t.Errorf("Close after Shutdown: %v", err)
	}
}

// TestSettingsCanBeUsedAgain feeds what is in force back in.
func TestSettingsCanBeUsedAgain(t *testing.T) {
	first, err := server.New(server.Config{Listen: []string{":0"}, Handler: server.Chat(),
		MaxMessage: -1, PingInterval: -1, IdleTimeout: -1, CloseTimeout: -1, WriteQueueFrames: -1})
	if err != nil {
		t.Fatal(err)
	}
	config := first.Settings()
	config.Handler = server.Chat()
	second, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := first.Settings(), second.Settings(); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v became %+v", a, b)
	}
}

func TestSubprotocol(t *testing.T) {
	h := &hooks{open: func(c *conn.Conn, r *handshake.Request) {
		_ = c.Write(frame.Text, []byte(c.Subprotocol()+" "+string(r.Query)))
	}}
	_, addr := start(t, server.Config{Handler: h, Subprotocols: []string{"v1", "v2"}})
	c := conntest.Connect(t, addr)
	c.Raw([]byte(conntest.Request(addr, "/ws?room=7", "Sec-WebSocket-Protocol: v9, v2, v1")))
	if got := c.Accepted().Header.Get("Sec-WebSocket-Protocol"); got != "v2" {
		t.Errorf("agreed on %q, want v2", got)
	}
	c.ExpectText("v2 room=7")
}

// hooks is a Handler made of functions.
type hooks struct {
	open    func(*conn.Conn, *handshake.Request)
	message func(*conn.Conn, frame.Opcode, []byte)
	close   func(*conn.Conn, conn.CloseInfo)
}

func (h *hooks) OnOpen(c *conn.Conn, r *handshake.Request) {
	if h.open != nil {
		h.open(c, r)
	}
}

func (h *hooks) OnMessage(c *conn.Conn, op frame.Opcode, p []byte) {
	if h.message != nil {
		h.message(c, op, p)
	}
}

func (h *hooks) OnClose(c *conn.Conn, info conn.CloseInfo) {
	if h.close != nil {
		h.close(c, info)
	}
}

func TestPanicClosesOneConnection(t *testing.T) {
	var log conntest.Log
	closed := make(chan conn.CloseInfo, 1)
	h := &hooks{
		message: func(c *conn.Conn, op frame.Opcode, p []byte) {
			if string(p) == "boom" {
				panic("kaboom")
			}
			_ = c.Write(op, p)
		},
		close: func(_ *conn.Conn, info conn.CloseInfo) { closed <- info },
	}
	_, addr := start(t, server.Config{Handler: h, Log: slog.New(slog.NewTextHandler(&log, nil))})
	other, c := conntest.Dial(t, addr, "/ws"), conntest.Dial(t, addr, "/ws")
	c.Raw(append(conntest.Frame(true, ws.OpText, "fine"), conntest.Frame(true, ws.OpText, "boom")...))
	c.ExpectText("fine")
	if code := c.Closed(); code != 1011 {
		t.Errorf("closed with %d, want 1011", code)
	}
	_ = c.Close()
	if info := <-closed; info.Reason != conn.ReasonHandlerPanic || info.Code != 1011 {
		t.Errorf("OnClose got %+v", info)
	}
	if s := log.String(); !strings.Contains(s, "kaboom") || !strings.Contains(s, "server_test.go") {
		t.Errorf("the log has no stack: %s", s)
	}
	other.Text("still here")
	other.ExpectText("still here")
}

// TestHTTP drives net/http behind the hand-off: keep-alive, a bad method, and an
// upgrade on a connection that has served plain requests before.
func TestHTTP(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Echo(), HTTP: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, " ", r.URL.Path) })})
	c := conntest.Connect(t, addr)
	for _, path := range []string{"/a", "/b"} {
		c.Raw([]byte("GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\n\r\n"))
		res := c.Response()
		if body, _ := io.ReadAll(res.Body); string(body) != "GET "+path {
			t.Errorf("got %q", body)
		}
	}
	if n := srv.Stats().HTTP; n != 1 {
		t.Errorf("%d HTTP connections, want 1", n)
	}
	// A frame right behind the head must survive the way back, too.
	c.Raw(append([]byte(conntest.Request(addr, "/ws")), conntest.Frame(true, ws.OpText, "early")...))
	c.Accepted()
	c.ExpectText("early")
	if st := srv.Stats(); st.HTTP != 0 || st.Open != 1 {
		t.Errorf("HTTP %d, open %d; want 0 and 1", st.HTTP, st.Open)
	}
}

func TestTooManyHTTPConnections(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Echo(), MaxHTTPConns: 1})
	request := []byte("GET / HTTP/1.1\r\nHost: " + addr + "\r\n\r\n")
	first, second := conntest.Connect(t, addr), conntest.Connect(t, addr)
	first.Raw(request)
	if res := first.Response(); res.StatusCode != 404 {
		t.Errorf("first: %s", res.Status)
	}
	second.Raw(request)
	if res := second.Response(); res.StatusCode != 503 {
		t.Errorf("second: %s", res.Status)
	}
	if n := srv.Stats().HTTPRefused; n != 1 {
		t.Errorf("%d refused, want 1", n)
	}
}

func TestMaxConns(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Echo(), Limits: server.Limits{MaxConns: 2}})
	a := conntest.Dial(t, addr, "/ws")
	conntest.Dial(t, addr, "/ws")
	third := conntest.Connect(t, addr)
	third.Raw([]byte(conntest.Request(addr, "/ws")))
	if res := third.Response(); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("third: %s %v", res.Status, res.Header)
	}
	_ = a.Close()
	eventually(t, "a seat is free", func() bool { return srv.Clients() == 1 })
	conntest.Dial(t, addr, "/ws")
}

func TestDeadlines(t *testing.T) {
	srv, addr := start(t, server.Config{
		Handler:          server.Echo(),
		HandshakeTimeout: 100 * time.Millisecond,
		PingInterval:     100 * time.Millisecond,
		CloseTimeout:     100 * time.Millisecond,
	})
	ended := func(r conn.Reason) func() bool {
		return func() bool { return srv.Stats().Ended[r] == 1 }
	}
	half := conntest.Connect(t, addr)
	half.Raw([]byte("GET /ws HTTP/1.1\r\n"))
	eventually(t, "half a handshake is closed", ended(conn.ReasonHandshakeTimeout))

	deaf := conntest.Dial(t, addr, "/ws") // answers no ping
	deaf.Expect(ws.OpPing, "")
	eventually(t, "a deaf client is closed", ended(conn.ReasonPongTimeout))

	alive := conntest.Dial(t, addr, "/ws")
	for range 5 {
		alive.Expect(ws.OpPing, "")
		alive.Send(ws.OpPong, "")
	}
	alive.Raw(conntest.Frame(true, 3, "")) // it will not read the close frame, nor close
	eventually(t, "one that does not close is closed", ended(conn.ReasonProtocolError))
}

func TestIdleTimeout(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo(), IdleTimeout: 100 * time.Millisecond, PingInterval: 20 * time.Millisecond})
	c := conntest.Dial(t, addr, "/ws")
	for {
		op, _, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if op == ws.OpClose {
			return
		}
		c.Send(ws.OpPong, "") // pongs do not count
	}
}

func TestShutdownClosesWith1001(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Chat()})
	var clients []*conntest.Client
	for range 50 {
		clients = append(clients, conntest.Dial(t, addr, "/ws"))
	}
	half := conntest.Connect(t, addr)
	half.Raw([]byte("GET"))
	if err := srv.Hub().Broadcast(frame.Prepare(frame.Text, []byte("last words"))); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), conntest.Patience)
		defer cancel()
		done <- srv.Shutdown(ctx)
	}()
	for _, c := range clients {
		c.ExpectText("last words")
		op, p, err := c.Next()
		if err != nil || op != ws.OpClose || len(p) < 2 || p[0] != 1001>>8 || p[1] != 1001&0xff {
			t.Fatalf("got %v %q %v, want close 1001", op, p, err)
		}
		_ = c.Close()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err == nil {
		t.Error("a stopped server started")
	}
}

func TestShutdownTimeout(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Chat(), CloseTimeout: time.Hour})
	conntest.Dial(t, addr, "/ws") // never answers the close frame
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); err == nil {
		t.Error("no error although a client did not answer")
	}
	if n := srv.Hub().Len(); n != 0 {
		t.Errorf("%d connections left", n)
	}
}

func TestIPv6AndSeveralListeners(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Echo(), Listen: []string{"127.0.0.1:0", ":0", "[::1]:0"}})
	addrs := srv.Addrs()
	port := addrs[1].(*net.TCPAddr).Port
	for _, a := range []string{addr, fmt.Sprint("127.0.0.1:", port), fmt.Sprint("[::1]:", port), addrs[2].String()} {
		c := conntest.Dial(t, a, "/ws")
		c.Text(a)
		c.ExpectText(a)
	}
}

func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint("name", i))
	}
	return all
}

// The last of as many subprotocols as there may be is told apart, with compression too.
func TestManySubprotocols(t *testing.T) {
	all := names(conn.MaxSubprotocols)
	last := all[len(all)-1]
	srv, addr := start(t, server.Config{Handler: server.Echo(), Subprotocols: all, Compress: true})
	conntest.Dial(t, addr, "/ws", "Sec-WebSocket-Protocol: "+last)
	conntest.DialDeflate(t, addr, "/ws", "Sec-WebSocket-Protocol: "+last)
	windows := map[int]int{}
	eventually(t, "both are open", func() bool { return srv.Clients() == 2 })
	srv.Hub().Each(func(c *conn.Conn) {
		windows[c.Window()]++
		if c.Subprotocol() != last {
			t.Errorf("subprotocol %q, want %q", c.Subprotocol(), last)
		}
	})
	if windows[0] != 1 || windows[15] != 1 {
		t.Errorf("windows %v", windows)
	}
}

func TestConfigFaultsAreReportedTogether(t *testing.T) {
	err := server.Config{Path: "ws", Workers: -1, Limits: server.Limits{Origins: []string{"a b"}}, PingInterval: time.Nanosecond, SlowConsumer: conn.Conflate + 1,
		CompressLevel: 10, Subprotocols: names(conn.MaxSubprotocols + 1)}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"listen", "handler", "path", "workers", "origin", "ping interval", "slow consumer policy 3", "compression level 10", "number of subprotocols: 32 is out of range; want 0 to 31"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not mentioned in:\n%v", part, err)
		}
	}
}
