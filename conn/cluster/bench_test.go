package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roost/conn/conntest/natstest"
	"roost/conn/frame"
)

// counter is a node that counts what it is given.
type counter struct{ got atomic.Int64 }

func (c *counter) Deliver(context.Context, Message) error { c.got.Add(1); return nil }
func (c *counter) Members(string) int                     { return 1 }
func (c *counter) Topics(func(string, int) bool)          {}

// benchBus is a bus of a fleet on the NATS at that port.
func benchBus(b *testing.B, port int, topics ...string) (*Bus, *counter) {
	b.Helper()
	bus, err := New(Config{URLs: []string{fmt.Sprintf("nats://127.0.0.1:%d", port)}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	for _, topic := range topics {
		bus.Interest(topic, true)
	}
	c := new(counter)
	bus.Start(c)
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		bus.Close(ctx)
	})
	return bus, c
}

// aside starts a nats-server in a process of its own.
func aside(b *testing.B) (pid, port int) {
	b.Helper()
	first := natstest.Run(b)
	port = natstest.Port(first)
	natstest.Stop(first)
	pid, _ = natsProcess(b, port)
	return pid, port
}

// used is what a process has used: processor time (proc_pid_stat(5), in hundredths of a
// second on Linux) and resident memory in bytes.
func used(b *testing.B, pid int) (cpu time.Duration, resident float64) {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	number := func(i int) float64 {
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	return time.Duration(number(11)+number(12)) * 10 * time.Millisecond, number(21) * float64(os.Getpagesize())
}

// BenchmarkFanOut is a message of 1,000 bytes from one node to others, each of which has
// members of its topic: what NATS can carry. All share the machine.
func BenchmarkFanOut(b *testing.B) {
	for _, nodes := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("%dnodes", nodes), func(b *testing.B) {
			pid, port := aside(b)
			from, _ := benchBus(b, port)
			var others []*counter
			for range nodes {
				_, c := benchBus(b, port, "x")
				others = append(others, c)
			}
			eventually(b, "all are there", func() bool { return from.Stats().Nodes == nodes })
			f, topics := frame.Prepare(frame.Binary, make([]byte, 1000)), []string{"x"}
			eventually(b, "all get something", func() bool {
				from.Publish(topics, f, "")
				for _, c := range others {
					if c.got.Load() == 0 {
						return false
					}
				}
				return true
			})
			total := func() (n int64) {
				for _, c := range others {
					n += c.got.Load()
				}
				return n
			}
			const ahead = 4000 // messages; less than the queue takes
			before, _ := used(b, pid)
			sent, start := int64(0), total()
			for b.Loop() {
				for sent*int64(nodes)-(total()-start) > ahead*int64(nodes) {
					runtime.Gosched()
				}
				from.Publish(topics, f, "")
				sent++
			}
			eventually(b, "all have everything", func() bool { return total()-start >= sent*int64(nodes) })
			cpu, _ := used(b, pid)
			seconds := b.Elapsed().Seconds()
			b.ReportMetric(float64(sent)/seconds, "msg/s")
			b.ReportMetric(float64(sent)*float64(nodes)/seconds, "out/s")
			b.ReportMetric(float64((cpu-before).Microseconds())/float64(sent)/float64(nodes), "nats-us/out")
		})
	}
}

// BenchmarkTopics is a topic with a member on one node: what the node and NATS keep of it,
// and how long it takes until NATS knows, as after a reconnect.
func BenchmarkTopics(b *testing.B) {
	pid, port := aside(b)
	bus, _ := benchBus(b, port)
	eventually(b, "it is there", func() bool { return bus.Ready() == nil })
	names := make([]string, 0, b.N)
	for i := range b.N {
		names = append(names, fmt.Sprintf("user:%08d", i))
	}
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	here := heap()
	_, there := used(b, pid)
	b.ResetTimer()
	for _, name := range names {
		bus.Interest(name, true)
	}
	eventually(b, "NATS knows", func() bool { return bus.Stats().Subscriptions == b.N })
	b.StopTimer()
	b.ReportMetric((heap()-here)/float64(b.N), "node-B/topic")
	_, now := used(b, pid)
	b.ReportMetric((now-there)/float64(b.N), "nats-B/topic")
	runtime.KeepAlive(names)
}
