//go:build linux

package conn

import (
	"math"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// What is remembered of peers that have not answered FIN is bounded, however many do not.
func TestLeavingIsBounded(t *testing.T) {
	peer := netip.MustParseAddrPort("192.0.2.1:1")
	for _, c := range []struct{ most, want int }{{leavingMost, leavingMost}, {math.MaxInt, 2 * leavingMost}} {
		var l leaving
		all := make([]*Conn, 2*leavingMost)
		for i := range all {
			all[i] = new(Conn)
			l.put(all[i], peer, c.most)
		}
		if n := len(l.peers); n != c.want {
			t.Errorf("%d are remembered, want %d", n, c.want)
		}
		if got := l.take(all[0]); got != peer {
			t.Errorf("the first is %v", got)
		}
		for _, one := range all {
			l.take(one)
		}
		if l.some.Load() || len(l.peers) > 0 {
			t.Errorf("%d are left", len(l.peers))
		}
	}
}

// The clock of connections never goes back, also when two goroutines set it: a
// connection that is younger than the clock would seem to be a century old.
func TestClockNeverGoesBack(t *testing.T) {
	g := NewGroup(Config{})
	g.start = time.Unix(0, 0)
	var setters sync.WaitGroup
	for k := range 4 {
		setters.Go(func() {
			for i := range 20_000 {
				g.Tick(g.start.Add(time.Duration(4*i+k) * time.Second))
				before := g.second.Load()
				if now := g.second.Load(); now < before || now < uint32(4*i+k) {
					t.Errorf("second %d after %d, when %d has been set", now, before, 4*i+k)
					return
				}
			}
		})
	}
	setters.Wait()
	g.Tick(g.start.Add(time.Minute))
	if n := g.second.Load(); n != 4*20_000-1 {
		t.Errorf("at the end it is second %d", n)
	}
}
