//go:build linux

package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/poller"
)

type silent struct{}

func (silent) OnOpen(*conn.Conn, *handshake.Request)      {}
func (silent) OnMessage(*conn.Conn, frame.Opcode, []byte) {}
func (silent) OnClose(*conn.Conn, conn.CloseInfo)         {}

// audience joins n open connections over socketpairs to a new hub and returns
// the peers' ends, which close at the end or before.
func audience(b testing.TB, n int, limits conn.Config) (h *Hub, peers []int) {
	b.Helper()
	var gone sync.WaitGroup
	h, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	limits.Handler, limits.Log = silent{}, slog.New(slog.DiscardHandler)
	limits.Policy = &handshake.Policy{Path: "/", MaxHead: 8192, MaxHeaders: 100}
	limits.Gone = func(c *conn.Conn, _ bool) { h.Leave(c); gone.Done() }
	g := conn.NewGroup(limits)
	p, err := poller.New(poller.Config{Buffer: 16 << 10, NewScratch: conn.NewScratch, OnError: func(err error) { b.Error(err) }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		for _, fd := range peers {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		}
		gone.Wait()
		_ = p.Close()
		h.Close()
		for _, fd := range peers {
			unix.Close(fd)
		}
	})
	buf := make([]byte, 1024)
	for range n {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		peers = append(peers, fds[1])
		if err := unix.SetNonblock(fds[0], true); err != nil {
			b.Fatal(err)
		}
		c := conn.New(g)
		h.Join(c)
		gone.Add(1)
		if err := c.Start(p, fds[0], nil); err != nil {
			b.Fatal(err)
		}
		if _, err := unix.Write(fds[1], []byte(conntest.Request("a", "/"))); err != nil {
			b.Fatal(err)
		}
		if _, err := unix.Read(fds[1], buf); err != nil {
			b.Fatal(err)
		}
		if err := unix.SetNonblock(fds[1], true); err != nil {
			b.Fatal(err)
		}
	}
	return h, peers
}

// BenchmarkBroadcast is one frame of 128 bytes from Broadcast until every
// connection has been written to. Reading it is not timed.
func BenchmarkBroadcast(b *testing.B) {
	for _, n := range []int{1, 100, 2000} {
		b.Run(fmt.Sprintf("%dconns", n), func(b *testing.B) {
			h, peers := audience(b, n, conn.Config{})
			fanOuts(b, h, nil, peers)
		})
	}
}

// BenchmarkTopic is BenchmarkBroadcast to some of 2,000 connections.
func BenchmarkTopic(b *testing.B) {
	for _, n := range []int{1, 100, 2000} {
		b.Run(fmt.Sprintf("%dmembers", n), func(b *testing.B) {
			h, peers := audience(b, 2000, conn.Config{})
			members := 0
			h.Each(func(c *conn.Conn) {
				if members++; members <= n {
					_ = h.Subscribe(c, "x", 0)
				}
			})
			fanOuts(b, h, []string{"x"}, peers)
		})
	}
}

// fanOuts publishes to topics, with as many members as b says, and reads what comes.
func fanOuts(b *testing.B, h *Hub, topics []string, peers []int) {
	b.Helper()
	m := Message{Topics: topics, Frame: frame.Prepare(frame.Binary, make([]byte, 128))}
	buf := make([]byte, 64<<10)
	const burst = 64 // frames that certainly fit in a socket
	waiting, members := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		p, err := h.Publish(m)
		if err != nil {
			b.Fatal(err)
		}
		members = p.Members
		if err := h.Drain(context.Background()); err != nil {
			b.Fatal(err)
		}
		if waiting++; waiting == burst {
			b.StopTimer()
			got := 0
			for _, fd := range peers {
				if k, err := unix.Read(fd, buf); k > 0 {
					got += k
				} else if !errors.Is(err, unix.EAGAIN) {
					b.Fatal(k, err)
				}
			}
			if got != members*burst*len(m.Frame.Bytes()) {
				b.Fatalf("%d bytes came", got)
			}
			waiting = 0
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(members), "ns/delivery")
}

// BenchmarkBroadcastJoined publishes 64 frames at a time, which leave together.
func BenchmarkBroadcastJoined(b *testing.B) {
	const n, burst = 1000, 64
	h, peers := audience(b, n, conn.Config{})
	f := frame.Prepare(frame.Binary, make([]byte, 128))
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		for range burst {
			if err := h.Broadcast(f); err != nil {
				b.Fatal(err)
			}
		}
		if err := h.Drain(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		for _, fd := range peers {
			if k, err := unix.Read(fd, buf); k != burst*len(f.Bytes()) {
				b.Fatal(k, err)
			}
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*burst), "ns/delivery")
}

// BenchmarkCollect is a whole cycle of the garbage collector over 100,000 idle
// connections in a hub, without netpoll's map: the processor time it takes and
// how long the world stands still. Where descriptors are few it is the only way
// to see so many at the machine's own speed.
func BenchmarkCollect(b *testing.B) {
	h, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	for range 100_000 {
		h.Join(conn.New(group))
	}
	cpu := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	runtime.GC()
	metrics.Read(cpu)
	before := cpu[0].Value.Float64()
	var stats runtime.MemStats
	var stopped uint64
	for b.Loop() {
		runtime.GC()
		b.StopTimer()
		runtime.ReadMemStats(&stats)
		stopped = max(stopped, stats.PauseNs[(stats.NumGC+255)%256])
		b.StartTimer()
	}
	metrics.Read(cpu) // as of the last cycle
	b.ReportMetric((cpu[0].Value.Float64()-before)*1e9/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(stopped), "longest-stop-ns")
	runtime.KeepAlive(h)
}
