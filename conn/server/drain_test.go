//go:build linux

package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
)

// shutdown runs Shutdown and waits until it has begun. The error comes when it has ended.
func shutdown(t *testing.T, srv *server.Server) (cancel func(), done <-chan error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Hour)
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- srv.Shutdown(ctx) }()
	eventually(t, "the server drains", srv.Draining)
	return cancel, ended
}

func refused(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// TestDrainServesThoseThatAreLeft: messages, pages, and an upgrade on a connection that
// has served a page before; no new connections. It ends when the last has left.
func TestDrainServesThoseThatAreLeft(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Chat(), HTTP: pages, DrainTime: 10 * time.Hour})
	if srv.Draining() {
		t.Error("it drains before it is told to")
	}
	a, b, kept := conntest.Dial(t, addr, "/ws"), conntest.Dial(t, addr, "/ws"), conntest.Connect(t, addr)
	page := func() {
		kept.Raw([]byte("GET /page HTTP/1.1\r\nHost: x\r\n\r\n"))
		if body, err := io.ReadAll(kept.Response().Body); string(body) != "GET /page" || err != nil {
			t.Errorf("the page is %q, %v", body, err)
		}
	}
	page()
	_, done := shutdown(t, srv)
	eventually(t, "new connections are refused", func() bool { return refused(addr) })
	page()
	a.Text("still here")
	a.ExpectText("still here")
	b.ExpectText("still here")
	kept.Raw([]byte(conntest.Request(addr, "/ws")))
	kept.Accepted()
	if err := srv.Hub().Broadcast(frame.Prepare(frame.Text, []byte("news"))); err != nil {
		t.Error(err)
	}
	for _, c := range []*conntest.Client{a, b, kept} {
		c.ExpectText("news")
		_ = c.Close()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDrainIsEven: none is closed before its turn, all with the code that was asked for,
// and the log says how it goes.
func TestDrainIsEven(t *testing.T) {
	t.Parallel() // it waits most of the time
	for _, n := range []int{1, 3, 40, 300} {
		t.Run(fmt.Sprint(n, " clients"), func(t *testing.T) {
			t.Parallel()
			const over = 400 * time.Millisecond
			var log conntest.Log
			srv, addr := start(t, server.Config{Handler: server.Chat(), DrainTime: over, DrainCode: frame.StatusServiceRestart,
				Log: slog.New(slog.NewTextHandler(&log, nil))})
			var clients []*conntest.Client
			for range n {
				clients = append(clients, conntest.Dial(t, addr, "/ws"))
			}
			var mu sync.Mutex
			var closed []time.Duration
			var all sync.WaitGroup
			began := time.Now()
			for _, c := range clients {
				all.Go(func() {
					if code := c.Closed(); code != 1012 {
						t.Errorf("closed with %d, want 1012", code)
					}
					mu.Lock()
					closed = append(closed, time.Since(began))
					mu.Unlock()
					_ = c.Close()
				})
			}
			_, done := shutdown(t, srv)
			all.Wait()
			if err := <-done; err != nil {
				t.Errorf("%d clients: %v", n, err)
			}
			for i, at := range closed {
				if least := time.Duration(math.Floor((float64(i) + 0.49) / float64(n) * float64(over))); at < least {
					t.Errorf("%d of %d clients are closed after %v, want %v at least", i+1, n, at, least)
				}
			}
			if got := srv.Stats().Ended[conn.ReasonShutdown]; got != uint64(n) {
				t.Errorf("%d of %d clients are counted", got, n)
			}
			if s := log.String(); !strings.Contains(s, "msg=draining clients=") {
				t.Errorf("the log does not tell the progress:\n%s", s)
			}
		})
	}
}

// TestDrainEndsAtOnce when ctx does, whatever it waits for.
func TestDrainEndsAtOnce(t *testing.T) {
	for _, config := range []server.Config{{DrainTime: 10 * time.Hour}, {DrainDelay: 10 * time.Hour}} {
		config.Handler = server.Chat()
		srv, addr := start(t, config)
		c := conntest.Dial(t, addr, "/ws")
		cancel, done := shutdown(t, srv)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%+v", err)
		}
		c.Closed()
	}
}

// TestDrainDelay: it drains and still accepts; Close ends what Shutdown waits for only by ctx.
func TestDrainDelay(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Chat(), DrainDelay: time.Hour})
	cancel, done := shutdown(t, srv)
	for range 3 {
		c := conntest.Dial(t, addr, "/ws")
		c.Text("in time")
		c.ExpectText("in time")
	}
	if err := srv.Close(); err != nil { // somebody else stops it
		t.Error(err)
	}
	conntest.Dial(t, addr, "/ws")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	short, addr := start(t, server.Config{Handler: server.Chat(), DrainDelay: 10 * time.Millisecond})
	c := conntest.Dial(t, addr, "/ws")
	_, done = shutdown(t, short)
	if code := c.Closed(); code != 1001 {
		t.Errorf("closed with %d, want 1001", code)
	}
	_ = c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDrainFaults(t *testing.T) {
	for want, c := range map[string]server.Config{
		"drain delay": {DrainDelay: -1},
		"drain time":  {DrainTime: 25 * time.Hour},
		"1005":        {DrainCode: 1005},
		"1010":        {DrainCode: 1010},
		"999":         {DrainCode: 999},
		"2999":        {DrainCode: 2999},
		"5000":        {DrainCode: 5000},
	} {
		c.Listen, c.Handler = []string{":0"}, server.Chat()
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, code := range []frame.StatusCode{0, 1000, 1001, 1012, 3000, 4999} {
		c := server.Config{Listen: []string{":0"}, Handler: server.Chat(), DrainCode: code, DrainTime: 24 * time.Hour, DrainDelay: 24 * time.Hour}
		if err := c.Validate(); err != nil {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// TestNewServerTakesOver has two servers share a port while one client after another comes,
// and stops the first. Everyone is served, by one of them, and nobody refused or reset; those
// that stay are told to move, and find the other.
func TestNewServerTakesOver(t *testing.T) {
	config := server.Config{Handler: server.Echo(), ReusePort: true, DrainTime: 200 * time.Millisecond, DrainCode: 1012}
	old, addr := start(t, config)
	const callers, stayers = 8, 20
	var served, moved atomic.Int64
	var all sync.WaitGroup
	for range stayers {
		c := conntest.Dial(t, addr, "/ws")
		all.Go(func() {
			if code := c.Closed(); code != 1012 {
				t.Errorf("closed with %d, want 1012", code)
			}
			_ = c.Close()
			moved.Add(1)
			c = conntest.Dial(t, addr, "/ws")
			c.Text("hello")
			c.ExpectText("hello")
			_ = c.Close()
		})
	}
	stop := make(chan struct{})
	for range callers {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := conntest.Connect(t, addr)
				c.Raw(append([]byte(conntest.Request(addr, "/ws")), conntest.Frame(true, 1, "hello")...))
				c.Accepted()
				switch op, p, err := c.Next(); {
				case err != nil:
					t.Errorf("a client got no answer: %v", err)
				case string(p) == "hello":
					c.Raw(conntest.CloseFrame(1000, ""))
				case op == 8 && string(p[:2]) == "\x03\xf4": // 1012 was faster than the echo
					c.Raw(conntest.CloseFrame(1012, ""))
				default:
					t.Errorf("a client got %v %q", op, p)
				}
				if code := c.Closed(); code != 1000 && code != 1012 && code != 0 {
					t.Errorf("closed with %d", code)
				}
				_ = c.Close()
				served.Add(1)
			}
		})
	}
	eventually(t, "the old server serves", func() bool { return served.Load() > 20 })
	config.Listen = []string{addr}
	heir, _ := start(t, config)
	eventually(t, "the new server serves", func() bool { return heir.Stats().Opened > 20 })
	_, done := shutdown(t, old)
	if err := <-done; err != nil {
		t.Error(err)
	}
	before := served.Load()
	eventually(t, "all go to the new server", func() bool { return served.Load() > before+5*callers })
	close(stop)
	all.Wait()
	if n := moved.Load(); n != stayers {
		t.Errorf("%d of %d clients have moved", n, stayers)
	}
}
