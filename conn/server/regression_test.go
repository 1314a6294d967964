//go:build linux

package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/conn/hub"
	"roost/conn/server"
)

// TestEncodedPathStaysWithHTTP asks for the WebSocket path in ways that only
// net/http takes for it. The connection must not go to and fro.
func TestEncodedPathStaysWithHTTP(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Echo()})
	for i, target := range []string{"/%77s", "/w%73"} {
		c := conntest.Connect(t, addr)
		c.Raw([]byte("GET " + target + " HTTP/1.1\r\nHost: " + addr + "\r\n\r\n"))
		if res := c.Response(); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s, want 404", target, res.Status)
		}
		// Counted just after the hand-over, which comes before the answer.
		eventually(t, "the hand-over is counted", func() bool { return srv.Stats().Ended[conn.ReasonHandedOff] > uint64(i) })
		if n := srv.Stats().Ended[conn.ReasonHandedOff]; n != uint64(i)+1 {
			t.Errorf("%d hand-overs for %d requests", n, i+1)
		}
	}
}

// TestBigAnswersToPipelinedRequests has answers that fill the socket while the
// connection is still being run: reading must go on when they have left.
func TestBigAnswersToPipelinedRequests(t *testing.T) {
	answer := []byte(strings.Repeat("a", 8<<10))
	h := &hooks{message: func(c *conn.Conn, op frame.Opcode, _ []byte) { _ = c.Write(op, answer) }}
	_, addr := start(t, server.Config{Handler: h, PingInterval: -1})
	// Frames of 128 bytes end where the read buffer does, so that at times nothing
	// but the kernel's own buffer is left to be read.
	const requests = 2000
	pipeline := strings.Repeat(string(conntest.Frame(true, ws.OpText, strings.Repeat("m", 122))), requests)
	var wg sync.WaitGroup
	for range 4 {
		c := conntest.Dial(t, addr, "/ws")
		wg.Go(func() { c.Raw([]byte(pipeline)) })
		wg.Go(func() {
			for i := range requests {
				if _, p, err := c.Next(); err != nil || len(p) != len(answer) {
					t.Errorf("answer %d: %d bytes, %v", i, len(p), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestBurstBehindHTTP sends a plain request, an upgrade and more frames than any
// buffer holds in one go.
func TestBurstBehindHTTP(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo(), ReadBuffer: 1 << 10})
	c := conntest.Connect(t, addr)
	const n = 5000
	var burst strings.Builder
	burst.WriteString("GET / HTTP/1.1\r\nHost: " + addr + "\r\n\r\n" + conntest.Request(addr, "/ws"))
	for i := range n {
		burst.Write(conntest.Frame(true, ws.OpText, fmt.Sprint(i)))
	}
	go c.Raw([]byte(burst.String()))
	if res := c.Response(); res.StatusCode != http.StatusNotFound {
		t.Fatalf("GET /: %s", res.Status)
	} else if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	c.Accepted()
	for i := range n {
		c.ExpectText(fmt.Sprint(i))
	}
}

// TestAnswersSurviveHalfClose sends frames and FIN together. What the frames ask
// for must be answered before the server closes, too.
func TestAnswersSurviveHalfClose(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo()})
	for range 50 {
		c := conntest.Connect(t, addr)
		c.Raw([]byte(conntest.Request(addr, "/ws") + string(conntest.Frame(true, ws.OpText, "one")) +
			string(conntest.Frame(true, ws.OpText, "two"))))
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.Accepted()
		c.ExpectText("one")
		c.ExpectText("two")
		if _, _, err := c.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v, want the end", err)
		}
	}
}

// TestPauseIsTheApplicationsOwn pauses a connection while the hub holds and
// releases it all the time.
func TestPauseIsTheApplicationsOwn(t *testing.T) {
	var paused, broken atomic.Bool
	var hub *hub.Hub
	opened := make(chan *conn.Conn, 1)
	h := &hooks{
		open: func(c *conn.Conn, r *handshake.Request) {
			if string(r.Query) == "paused" {
				opened <- c
			}
		},
		message: func(c *conn.Conn, op frame.Opcode, p []byte) {
			if string(p) == "never" && paused.Load() {
				broken.Store(true)
			}
			_ = hub.Broadcast(frame.Prepare(op, p))
		},
	}
	srv, addr := start(t, server.Config{Handler: h, BroadcastQueueFrames: 1, WriteQueueFrames: -1, WriteQueueBytes: -1})
	hub = srv.Hub()
	quiet := conntest.Dial(t, addr, "/ws?paused")
	c := <-opened
	paused.Store(true)
	c.Pause()
	quiet.Raw(conntest.Frame(true, ws.OpText, "never"))
	loud := conntest.Dial(t, addr, "/ws")
	go func() {
		for range 3000 {
			loud.Text("x")
		}
	}()
	for range 3000 {
		loud.ExpectText("x")
	}
	if broken.Load() {
		t.Error("a message was delivered during the application's pause")
	}
	paused.Store(false)
	c.Resume()
	loud.ExpectText("never")
}

// TestShutdownEndsAmongPublishers has other goroutines publish without end.
func TestShutdownEndsAmongPublishers(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Push()})
	c := conntest.Dial(t, addr, "/ws")
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				if err := srv.Hub().BroadcastWait(context.Background(), frame.Prepare(frame.Text, []byte("again"))); err != nil {
					if !errors.Is(err, hub.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	c.ExpectText("again")
	wg.Go(func() { c.Closed(); _ = c.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), conntest.Patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// TestBlockedHandlersDoNotBlockShutdown waits with ctx, not with the handlers.
func TestBlockedHandlersDoNotBlockShutdown(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 2)
	closed := make(chan struct{}, 2)
	h := &hooks{
		message: func(*conn.Conn, frame.Opcode, []byte) { entered <- struct{}{}; <-release },
		close:   func(*conn.Conn, conn.CloseInfo) { closed <- struct{}{} },
	}
	srv, addr := start(t, server.Config{Handler: h, Blocking: true, Workers: 2})
	for range 2 {
		c := conntest.Dial(t, addr, "/ws")
		c.Text("block")
		<-entered
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, want the context's error", err)
	}
	close(release)
	<-closed
	<-closed
}

// TestSlowBodyTakesOnePlace: a slow body is bounded by net/http's read deadline, which is too long
// for a test; the place it takes must at least be counted while it lasts.
func TestSlowBodyTakesOnePlace(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Echo(), MaxHTTPConns: 2})
	c := conntest.Connect(t, addr)
	c.Raw([]byte("POST / HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length: 1000\r\n\r\n"))
	eventually(t, "the request is handed over", func() bool { return srv.Stats().HTTP == 1 })
	other := conntest.Connect(t, addr)
	other.Raw([]byte("GET / HTTP/1.1\r\nHost: " + addr + "\r\n\r\n"))
	if res := other.Response(); res.StatusCode != http.StatusNotFound {
		t.Errorf("another request: %s", res.Status)
	}
	_ = c.Close()
	eventually(t, "its place is free", func() bool { return srv.Stats().HTTP <= 1 })
}

// TestSlowRequestsDoNotHoldUpAStop has an HTTP request whose body never comes.
func TestSlowRequestsDoNotHoldUpAStop(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Echo(), CloseTimeout: 50 * time.Millisecond, HTTP: http.HandlerFunc(
		func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })})
	c := conntest.Connect(t, addr)
	c.Raw([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc"))
	eventually(t, "the request is served", func() bool { return srv.Stats().HTTP == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}
