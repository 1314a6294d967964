//go:build linux

package poller

import (
	"sync/atomic"
	"testing"

	"roost/poller/socket"
)

var benchConfigs = []struct {
	name string
	c    Config
}{
	{"default", Config{Buffer: 64}},
	{"nohelp", Config{Buffer: 64, Help: -1}},
	{"blocking", Config{Buffer: 64, Blocking: true}},
}

// BenchmarkPingPong passes bytes to and fro between registered ends of
// socketpairs; one operation is one event: dispatch, hand-over, recv and send.
func BenchmarkPingPong(b *testing.B) {
	const pairs = 64
	for _, bc := range benchConfigs {
		b.Run(bc.name, func(b *testing.B) {
			p := start(b, bc.c)
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan struct{})
			echo := func(l *link, w *Worker, _ Events) Next {
				for {
					n, errno := socket.Recv(l.FD(), w.Buffer)
					if errno != 0 || n == 0 {
						return Wait
					}
					switch m := left.Add(-1); {
					case m == 0:
						close(done)
						return Wait
					case m < 0:
						return Wait
					}
					if _, errno := socket.Send(l.FD(), w.Buffer[:n]); errno != 0 {
						b.Error(errno)
						return Wait
					}
				}
			}
			links := make([]*link, 0, 2*pairs)
			for range pairs {
				x, y := pair(b)
				dupX, dupY := duplicate(b, x), duplicate(b, y)
				links = append(links, register(b, p, x, dupY, echo), register(b, p, y, dupX, echo))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < len(links); i += 2 {
				send(b, links[i].peer, 'x')
			}
			<-done
			b.StopTimer()
			b.ReportMetric(float64(p.Stats().Inline)/float64(b.N), "inline/op")
		})
	}
}

// BenchmarkCall is the hand-over alone: Call to Ready, one at a time.
func BenchmarkCall(b *testing.B) {
	for _, bc := range benchConfigs {
		b.Run(bc.name, func(b *testing.B) {
			p := start(b, bc.c)
			ran := make(chan struct{})
			l := connect(b, p, func(l *link, _ *Worker, _ Events) Next {
				ran <- struct{}{}
				return Wait
			})
			b.ReportAllocs()
			for b.Loop() {
				l.Call()
				<-ran
			}
		})
	}
}
