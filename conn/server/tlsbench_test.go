//go:build linux

package server_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
)

// BenchmarkTLSHandshake is one full handshake, or one with a ticket, with both sides in this
// process: the client's part is in the figure.
func BenchmarkTLSHandshake(b *testing.B) {
	for _, resumed := range []bool{false, true} {
		b.Run(map[bool]string{false: "full", true: "resumed"}[resumed], func(b *testing.B) {
			_, addr, _, ca := startTLS(b, server.Config{Handler: server.Echo()})
			config := ca.Trust("localhost")
			if resumed {
				config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			for b.Loop() {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					b.Fatal(err)
				}
				upgraded(b, tls.Client(nc, config), addr)
				_ = nc.Close()
			}
		})
	}
}

func upgraded(b *testing.B, c net.Conn, addr string) {
	b.Helper()
	_ = c.SetDeadline(time.Now().Add(conntest.Patience))
	if _, err := io.WriteString(c, conntest.Request(addr, "/ws")); err != nil {
		b.Fatal(err)
	}
	if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 101 {
		b.Fatal(res, err)
	}
	_ = c.SetDeadline(time.Time{})
}

// BenchmarkTLSBroadcast is 1 kB to 200 clients, who read and do not decrypt.
func BenchmarkTLSBroadcast(b *testing.B) {
	for _, secure := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "tls"}[secure], func(b *testing.B) {
			srv, addr, plain, ca := startTLS(b, server.Config{Handler: server.Push(), PingInterval: -1})
			const clients = 200
			var got atomic.Int64
			var all sync.WaitGroup
			for range clients {
				to := plain
				if secure {
					to = addr
				}
				nc, err := net.Dial("tcp", to)
				if err != nil {
					b.Fatal(err)
				}
				if secure {
					upgraded(b, tls.Client(nc, ca.Trust("localhost")), to)
				} else {
					upgraded(b, nc, to)
				}
				all.Go(func() {
					buf := make([]byte, 64<<10)
					for {
						n, err := nc.Read(buf)
						if err != nil {
							return
						}
						got.Add(int64(n))
					}
				})
				b.Cleanup(func() { _ = nc.Close() })
			}
			f := frame.Prepare(frame.Text, []byte(strings.Repeat("j", 1000)))
			cpu := func() time.Duration {
				var u syscall.Rusage
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
				return time.Duration(u.Utime.Nano() + u.Stime.Nano())
			}
			wire := int64(len(f.Bytes()))
			if secure {
				wire += 5 + 1 + 16 // header, type and tag of a record
			}
			before := cpu()
			sent := int64(0)
			for b.Loop() {
				if err := srv.Hub().Broadcast(f); err != nil {
					b.Fatal(err)
				}
				sent += clients * wire
				for got.Load() < sent {
					time.Sleep(50 * time.Microsecond)
				}
			}
			b.ReportMetric(float64(cpu()-before)/float64(b.N)/clients, "cpu-ns/delivery")
		})
	}
}
