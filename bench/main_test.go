package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"
)

// serverVariable makes the test program a server of its own, so that what its
// connections take is not counted here.
const serverVariable = "ROOST_BENCH_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) != "" {
		serveUntilInputEnds()
		return
	}
	goleak.VerifyTestMain(m)
}

// serveUntilInputEnds writes its URL, of the scheme in serverVariable, and holds every
// connection.
func serveUntilInputEnds() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scheme := os.Getenv(serverVariable)
	if scheme == "wss" {
		l = tls.NewListener(l, certified().TLS)
	}
	fmt.Printf("%s://%s/\n", scheme, l.Addr())
	go acceptAll(l, upgraded(hold))
	io.Copy(io.Discard, os.Stdin)
}

// acceptAll serves every connection, in a goroutine each, and returns when l is
// closed and they have all ended.
func acceptAll(l net.Listener, serve func(net.Conn)) {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		conns.Go(func() {
			defer c.Close()
			serve(c)
		})
	}
}

// serveRaw serves TCP connections on a loopback port until the test ends.
// Clients that are made later are released before.
func serveRaw(t *testing.T, serve func(net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() { acceptAll(l, serve) })
	t.Cleanup(func() {
		l.Close()
		done.Wait()
	})
	return "ws://" + l.Addr().String() + "/"
}

// serve is serveRaw after the handshake.
func serve(t *testing.T, serve func(net.Conn)) (url string) {
	t.Helper()
	return serveRaw(t, upgraded(serve))
}

func upgraded(serve func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := ws.Upgrade(c); err == nil {
			serve(c)
		}
	}
}

// hold is a server's part that takes what comes until the client has gone.
func hold(c net.Conn) { io.Copy(io.Discard, c) }

// driven is a client of a test server.
type driven struct {
	*Client
	*probe
	t *testing.T
}

func newDriven(t *testing.T, cfg Config) *driven {
	t.Helper()
	p := new(probe)
	cl, err := NewClient(cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Release() })
	return &driven{cl, p, t}
}

// until drives the client, with a bound that only a fault reaches.
func (d *driven) until(what string, done func() bool) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	// Servers in goroutines of this process tell nobody when they are done.
	err := d.Drive(ctx, func(time.Duration) (time.Duration, bool) { return 5 * time.Millisecond, done() })
	if err != nil {
		d.t.Fatalf("%s: %v; failures %+v", what, err, d.Ending().Failures)
	}
}
