package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestTLSPercent(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 100}, {1 << 20, 100}, {4 << 20, 100}, {5 << 20, 80}, {8 << 20, 50}, {16 << 20, 25}, {1 << 40, 25}} {
		if got := tlsPercent(c.live); got != c.want {
			t.Errorf("%d bytes alive: %d %%, want %d", c.live, got, c.want)
		}
	}
}

// The headroom follows the heap up and down.
func TestHeadroomFollowsHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	setHeadroom(true)
	percent := func() int {
		set := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(set)
		return int(set[0].Value.Uint64())
	}
	until := func(what string, good func(p int) bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !good(percent()); runtime.GC() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d %%", what, percent())
			}
		}
	}
	ballast := make([]byte, 64<<20)
	until("64 MiB are alive", func(p int) bool { return p == headroom })
	runtime.KeepAlive(ballast)
	until("they are gone", func(p int) bool { return p > headroom })
}
