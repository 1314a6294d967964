package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// headroom is how much the heap may grow beyond what is alive before it is collected,
// in percent. Messages leave no garbage, only handshakes and publishing do, so a
// quarter of Go's default costs little time and a third less memory.
const headroom = 25

// headroomTLS is the least room in bytes where handshakes of TLS make garbage: with a
// quarter of a small heap a collection would follow every few of them, and a fifth of their
// processor time would be the collector's and the scavenger's.
const headroomTLS = 4 << 20

// setHeadroom has the collector leave that room from now on, unless the environment says
// otherwise. With TLS it looks after each collection how much that is of what is alive.
func setHeadroom(tls bool) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(headroom)
	if tls {
		followHeap(0)
	}
}

// followHeap sets the percentage, now being what it is, and comes back behind the next collection.
func followHeap(now int) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if percent := tlsPercent(live[0].Value.Uint64()); percent != now {
		debug.SetGCPercent(percent)
		now = percent
	}
	collected := new([16]byte) // too large for the tiny allocator, which would keep it with others
	runtime.AddCleanup(collected, followHeap, now)
}

// tlsPercent is the headroom with live bytes alive. Go's least heap is 4 MiB at 100 %, so more than
// that is never needed. Steps of 5 keep small changes from stopping the world.
func tlsPercent(live uint64) int {
	percent := 100 * headroomTLS / max(live, 1)
	return int(min(100, max(headroom, percent/5*5)))
}
