//go:build linux

package bench

import (
	"math/rand/v2"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSequencesAgainstModel compares the window with a set of all numbers.
func TestSequencesAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		s := NewSequences(2, 3)
		seen := map[uint32]bool{}
		var highest uint32
		for range 300 {
			n := uint32(1 + r.IntN(150))
			var want Arrival
			switch {
			case n > highest:
				want, highest = ArrivalNew, n
			case highest-n >= SequenceWindow:
				want = ArrivalStale
			case seen[n]:
				want = ArrivalDuplicate
			default:
				want = ArrivalLate
			}
			seen[n] = true
			if got := s.Observe(1, 2, n); got != want {
				t.Fatalf("number %d after %d: %v, want %v", n, highest, got, want)
			}
		}
		if got := s.Observe(1, 1, 1); got != ArrivalNew {
			t.Fatalf("another publisher's first number: %v", got)
		}
		if got := s.Observe(0, 2, 1); got != ArrivalNew {
			t.Fatalf("another connection's first number: %v", got)
		}
	}
}

func TestRecorder(t *testing.T) {
	r := NewRecorder()
	if r.Quantiles() != nil {
		t.Error("quantiles of nothing")
	}
	for i := range 1000 {
		r.Record(time.Duration(i+1) * time.Millisecond)
	}
	q := r.Quantiles()
	for name, pair := range map[string][2]int64{
		"p50": {q.P50, 500_000}, "p90": {q.P90, 900_000}, "p99": {q.P99, 990_000}, "p99.9": {q.P999, 999_000}, "max": {q.Max, 1_000_000},
	} {
		if got, want := pair[0], pair[1]; got < want || got > want+want/500 {
			t.Errorf("%s is %d us, want %d to three digits", name, got, want)
		}
	}
	r.Record(-time.Second)
	r.Record(48 * time.Hour)
	if q := r.Quantiles(); q.Count != 1002 || q.Min != 0 || q.Max < int64(time.Hour/time.Microsecond) {
		t.Errorf("out of range: %+v, want them counted at the ends", q)
	}
	if got := testing.AllocsPerRun(100, func() { r.Record(time.Millisecond) }); got != 0 {
		t.Errorf("%v allocations per record", got)
	}
}

// TestRecorderCuts wants every latency once in a cut and once in the whole.
func TestRecorderCuts(t *testing.T) {
	r, other := NewRecorder(), NewRecorder()
	for second := range 3 {
		for i := range 100 {
			r.Record(time.Duration(second*100+i+1) * time.Millisecond)
		}
		if q, s := r.Cut(); q == nil || q.Count != 100 || q.Min < int64(second)*100_000 || s.histogram.TotalCount() != 100 {
			t.Errorf("second %d: %+v, want its own 100", second, q)
		}
	}
	if q, s := r.Cut(); q != nil || s != nil {
		t.Errorf("a cut of nothing: %+v", q)
	}
	r.Record(time.Second)
	other.Record(2 * time.Second)
	other.Merge(r)
	if a, b := r.Quantiles().Count, other.Quantiles().Count; a != 301 || b != 302 {
		t.Errorf("%d and %d in all, want 301 and 302", a, b)
	}
	if bars := r.Distribution(); bars[len(bars)-1].Count != 301 || bars[len(bars)-1].Percentile != 100 {
		t.Errorf("the distribution ends with %+v", bars[len(bars)-1])
	}
}

func TestReadProcess(t *testing.T) {
	debug.FreeOSMemory() // what other tests have left must not go in between
	before, err := ReadProcess(os.Getpid())
	if err != nil || before.RSSBytes <= 0 {
		t.Fatalf("usage %+v, error %v", before, err)
	}
	const size = 32 << 20
	// Not from Go's heap, which may have so much that is resident already.
	block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(block)
	for i := 0; i < size; i += 4096 {
		block[i] = 1
	}
	for own := ownCPU(); ownCPU()-own < 30*time.Millisecond; {
		block[0]++
	}
	after, err := ReadProcess(os.Getpid())
	if err != nil || after.RSSBytes < before.RSSBytes+size/2 {
		t.Errorf("memory %d before and %d after %d more, error %v", before.RSSBytes, after.RSSBytes, size, err)
	}
	if after.AnonymousBytes < before.AnonymousBytes+size/2 || after.AnonymousBytes > after.RSSBytes ||
		after.PSSBytes < after.AnonymousBytes/2 || after.PSSBytes > after.RSSBytes || after.Threads < 1 {
		t.Errorf("usage %+v, want anonymous memory with the %d more, and a PSS between that and the RSS", after, size)
	}
	if used := after.User + after.System - before.User - before.System; used < 20*time.Millisecond {
		t.Errorf("used %v, want 30 ms less one step of the clock", used)
	}
	if block[0] == 0 && block[4096] == 0 {
		t.Error("block was not kept")
	}
	if _, err := ReadProcess(1 << 30); err == nil {
		t.Error("no error for a process that does not exist")
	}
}

func TestQueue(t *testing.T) {
	var q queue[int]
	next := 0
	for i := range 10_000 {
		q.push(i)
		if i%3 != 0 {
			if got := q.pop(); got != next {
				t.Fatalf("popped %d, want %d", got, next)
			}
			next++
		}
	}
	for ; q.len() > 0; next++ {
		if got := q.pop(); got != next {
			t.Fatalf("popped %d, want %d", got, next)
		}
	}
	if next != 10_000 {
		t.Errorf("%d came out of 10000", next)
	}
}
