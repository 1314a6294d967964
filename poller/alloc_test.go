//go:build linux && !race

package poller

import (
	"testing"

	"roost/poller/socket"
)

// The race detector allocates on its own, so this file is left out under it.
func TestDispatchAllocatesNothing(t *testing.T) {
	for name, c := range map[string]Config{
		"worker":   sequential,
		"helping":  {Reactors: 1, Workers: 2, Help: 1, Buffer: 64},
		"blocking": {Reactors: 1, Workers: 2, Blocking: true, Buffer: 64},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, c)
			ran := make(chan struct{}, 64)
			links := make([]*link, 8)
			for i := range links {
				links[i] = connect(t, p, func(l *link, w *Worker, ev Events) Next {
					n, _ := drain(l.FD(), w.Buffer)
					for range n {
						ran <- struct{}{}
					}
					return Wait
				})
			}
			b := []byte{'x'}
			if n := testing.AllocsPerRun(200, func() {
				for _, l := range links {
					if _, errno := socket.Send(l.peer, b); errno != 0 {
						t.Fatal(errno)
					}
				}
				for range links {
					<-ran
				}
			}); n != 0 {
				t.Errorf("%v allocations for %d events from epoll to Ready", n, len(links))
			}
			l := links[0]
			if n := testing.AllocsPerRun(200, func() {
				l.mu.Lock()
				l.BeforeWrite()
				l.WantWrite()
				l.mu.Unlock()
				l.Call()
			}); n != 0 {
				t.Errorf("%v allocations for BeforeWrite, WantWrite and Call", n)
			}
		})
	}
}
