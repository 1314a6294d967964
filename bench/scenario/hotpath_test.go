package scenario

import (
	"testing"
	"time"

	"roost/bench"
)

// arriving is a broadcast run whose one publisher has sent count messages,
// and their payloads.
func arriving(count int) (*broadcast, [][]byte) {
	s := &session{cfg: bench.Config{Conns: 1}, opt: Options{PayloadBytes: 128, Messages: count, Publishers: 1, Interval: 1}}
	w := newBroadcast(s)
	w.started = true
	w.sequences = bench.NewSequences(1, 1)
	w.publishers = []publisher{{conn: new(bench.Conn), sent: uint32(count), left: make([]uint32, count)}}
	payloads := make([][]byte, count)
	for i := range payloads {
		w.publishers[0].left[i] = 1
		payloads[i] = w.payloads.Append(nil, bench.Stamp{Sequence: uint32(i + 1), Sent: time.Duration(i)})
	}
	return w, payloads
}

func TestBroadcastMessageAllocatesNothing(t *testing.T) {
	const count = 1001 // AllocsPerRun makes one call more than it is asked for
	w, payloads := arriving(count)
	c, next := new(bench.Conn), 0
	got := testing.AllocsPerRun(count-1, func() {
		w.Message(c, bench.OpBinary, payloads[next], time.Duration(next)+time.Millisecond)
		next++
	})
	if got != 0 || w.received != count || w.fanOut.Count() != count || w.corrupt+w.duplicate+w.outOfOrder != 0 {
		t.Errorf("%v allocations, %d received, want 0 and %d", got, w.received, count)
	}
}

func BenchmarkBroadcastMessage(b *testing.B) {
	const count = 4096
	w, payloads := arriving(count)
	c := new(bench.Conn)
	for i := 0; b.Loop(); i++ {
		if i%count == 0 {
			w.sequences = bench.NewSequences(1, 1)
		}
		w.Message(c, bench.OpBinary, payloads[i%count], time.Duration(i)+time.Millisecond)
	}
}
