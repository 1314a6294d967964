//go:build linux

package server_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
)

// TestBroadcastDuringJoinsAndLeaves publishes while 1,000 clients come and go.
// Every client that stays must get every frame, once and in order; one that joins
// must get a run without gaps.
func TestBroadcastDuringJoinsAndLeaves(t *testing.T) {
	const stable, passing, frames = 50, 1000, 2000
	srv, addr := start(t, server.Config{Handler: server.Push(), Shards: 4})
	var members []*conntest.Client
	for range stable {
		members = append(members, conntest.Dial(t, addr, "/ws"))
	}
	var wg, ready sync.WaitGroup
	for i := range 20 {
		ready.Add(1)
		wg.Go(func() {
			ready.Done()
			for j := range passing / 20 {
				c := conntest.Dial(t, addr, "/ws")
				if (i+j)%2 == 0 {
					if want, ok := number(c); ok {
						for range 5 {
							want++
							if got, ok := number(c); ok && got != want {
								t.Errorf("a joining client got %d, want %d", got, want)
							}
						}
					}
				}
				_ = c.Close()
			}
		})
	}
	for _, c := range members {
		wg.Go(func() {
			for want := range uint64(frames) {
				if got, ok := number(c); !ok || got != want {
					t.Errorf("a stable client got %d (%v), want %d", got, ok, want)
					return
				}
			}
		})
	}
	ready.Wait()
	for i := range uint64(frames) {
		f := frame.Prepare(frame.Binary, binary.BigEndian.AppendUint64(nil, i))
		if err := srv.Hub().BroadcastWait(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := srv.Hub().Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range 10 { // late joiners wait for one more number each
		_ = srv.Hub().Broadcast(frame.Prepare(frame.Binary, nil))
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
			// An empty payload ends the wait of a client that joined after the last number.
			_ = srv.Hub().Broadcast(frame.Prepare(frame.Binary, nil))
		}
	}
}

// number reads frames up to the next with a number. It is false for an empty frame.
func number(c *conntest.Client) (uint64, bool) {
	_, p, err := c.Next()
	if err != nil || len(p) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(p), true
}

// TestOneOrderForEverybody has many publishers at once; all clients must see the
// same sequence, and from each publisher its own order.
func TestOneOrderForEverybody(t *testing.T) {
	const publishers, each = 10, 200
	_, addr := start(t, server.Config{Handler: server.Chat(), Shards: 3})
	var clients []*conntest.Client
	for range publishers {
		clients = append(clients, conntest.Dial(t, addr, "/ws"))
	}
	seen := make([]string, publishers)
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for j := range each {
				c.Text(fmt.Sprintf("%d:%d", i, j))
			}
		})
		wg.Go(func() {
			var all strings.Builder
			next := [publishers]int{}
			for range publishers * each {
				_, p, err := c.Next()
				if err != nil {
					t.Error(err)
					return
				}
				var from, n int
				if _, err := fmt.Sscanf(string(p), "%d:%d", &from, &n); err != nil || next[from] != n {
					t.Errorf("got %q, want number %d", p, next[from])
					return
				}
				next[from]++
				all.Write(p)
				all.WriteByte(' ')
			}
			seen[i] = all.String()
		})
	}
	wg.Wait()
	for i := range seen {
		if seen[i] != seen[0] {
			t.Fatalf("clients 0 and %d saw different orders", i)
		}
	}
}

// TestNoByteReachesAnotherClient opens and closes connections while broadcasts
// and private answers are written, so that descriptor numbers are reused all the
// time. Each client has a secret; whoever sees another's has seen a mix-up.
func TestNoByteReachesAnotherClient(t *testing.T) {
	h := &hooks{message: func(c *conn.Conn, op frame.Opcode, p []byte) { _ = c.Write(op, p) }}
	srv, addr := start(t, server.Config{Handler: h, Workers: 4, Shards: 4})
	stop := make(chan struct{})
	var broadcaster sync.WaitGroup
	broadcaster.Go(func() {
		public := frame.Prepare(frame.Text, []byte("public"))
		for {
			select {
			case <-stop:
				return
			default:
				if err := srv.Hub().BroadcastWait(context.Background(), public); err != nil {
					return
				}
			}
		}
	})
	var serial atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 60 {
				secret := fmt.Sprint("secret ", serial.Add(1))
				c := conntest.Dial(t, addr, "/ws")
				c.Text(secret)
				for {
					op, p, err := c.Next()
					if err != nil {
						t.Error(err)
						break
					}
					if string(p) == secret || op == ws.OpClose { // too slow, on a busy machine
						break
					}
					if string(p) != "public" {
						t.Errorf("the client with %q saw %q", secret, p)
						break
					}
				}
				// RST rather than FIN: the server's writes race with the close.
				_ = c.Conn.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	close(stop)
	broadcaster.Wait()
}

// TestHalfOfEverythingStopsNobody has far more clients than workers stop in the
// middle of a head or a frame.
func TestHalfOfEverythingStopsNobody(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Echo(), Workers: 2})
	head, hello := conntest.Request(addr, "/ws"), conntest.Frame(true, ws.OpText, "hello")
	for i := range 100 {
		c := conntest.Connect(t, addr)
		c.Raw([]byte(head[:1+i%(len(head)-1)]))
		d := conntest.Dial(t, addr, "/ws")
		d.Raw(hello[:1+i%(len(hello)-1)])
	}
	for range 10 {
		c := conntest.Dial(t, addr, "/ws")
		c.Text("and yet")
		c.ExpectText("and yet")
	}
	if n := srv.Stats().Poller.Queued; n > 300 {
		t.Errorf("%d registrations wait", n)
	}
}

// TestPublishersAreSlowedDown floods a tiny broadcast queue. Nothing may be lost,
// and the queue must keep its bound.
func TestPublishersAreSlowedDown(t *testing.T) {
	const publishers, each, bound = 8, 2000, 4
	srv, addr := start(t, server.Config{Handler: server.Chat(), BroadcastQueueFrames: bound, Workers: 2,
		WriteQueueFrames: -1, WriteQueueBytes: -1})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if n := srv.Stats().Hub.Waiting; n > 2*bound {
					t.Errorf("%d frames wait, the bound is %d", n, 2*bound)
					return
				}
				runtime.Gosched()
			}
		}
	})
	var clients []*conntest.Client
	for range publishers {
		clients = append(clients, conntest.Dial(t, addr, "/ws"))
	}
	for _, c := range clients {
		wg.Go(func() {
			for j := range each {
				c.Text(fmt.Sprint(j))
			}
		})
		wg.Go(func() {
			for range publishers * each {
				if _, _, err := c.Next(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	watch.Wait()
	if st := srv.Stats().Hub; st.Published != publishers*each || st.Publishers != 0 {
		t.Errorf("published %d of %d, %d publishers still paused", st.Published, publishers*each, st.Publishers)
	}
}

// TestTinyQueueLosesNothing has messages far larger than the bound of the
// broadcast queue, from more publishers than there are workers.
func TestTinyQueueLosesNothing(t *testing.T) {
	const publishers, each = 20, 20
	srv, addr := start(t, server.Config{Handler: server.Chat(), BroadcastQueueBytes: 1 << 10, Workers: 8,
		WriteQueueFrames: -1, WriteQueueBytes: -1})
	message := strings.Repeat("m", 100_000)
	var clients []*conntest.Client
	for range publishers {
		clients = append(clients, conntest.Dial(t, addr, "/ws"))
	}
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			for range each {
				c.Text(message)
			}
		})
		wg.Go(func() {
			for range publishers * each {
				if _, p, err := c.Next(); err != nil || len(p) != len(message) {
					t.Errorf("got %d bytes, %v", len(p), err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := srv.Stats().Hub.Refused; n != 0 {
		t.Errorf("%d messages were refused", n)
	}
}

// TestThousandsOfConnectionsCostNoGoroutines holds 8,000 connections in one
// process, both ends.
func TestThousandsOfConnectionsCostNoGoroutines(t *testing.T) {
	n := 8000
	if testing.Short() {
		n = 500
	}
	srv, addr := start(t, server.Config{Handler: server.Chat()})
	first := conntest.Dial(t, addr, "/ws")
	goroutines, threads := runtime.NumGoroutine(), countThreads(t)
	clients := make([]*conntest.Client, n-1)
	for i := range clients {
		clients[i] = conntest.Dial(t, addr, "/ws")
	}
	if g := runtime.NumGoroutine(); g > goroutines+4 {
		t.Errorf("%d goroutines with 1 connection, %d with %d", goroutines, g, n)
	}
	if th := countThreads(t); th > threads+8 {
		t.Errorf("%d threads with 1 connection, %d with %d", threads, th, n)
	}
	first.Text("all of you")
	first.ExpectText("all of you")
	for _, c := range clients {
		c.ExpectText("all of you")
	}
	if got := srv.Clients(); got != n {
		t.Errorf("%d clients, want %d", got, n)
	}
}

func countThreads(t *testing.T) int {
	t.Helper()
	dirs, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(dirs)
}
