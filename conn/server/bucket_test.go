package server

import (
	"testing"
	"time"
)

// A bucket holds a second's worth, gets one token per interval, and never more than
// a second's worth.
func TestBucket(t *testing.T) {
	for _, rate := range []int{1, 3, 10, 1000} {
		var b bucket
		now := time.Hour
		takes := func(want int) {
			t.Helper()
			for i := range want {
				if !b.take(now, rate) {
					t.Fatalf("rate %d: token %d of %d is missing", rate, i+1, want)
				}
			}
			if b.take(now, rate) {
				t.Fatalf("rate %d: a token too many behind %d", rate, want)
			}
		}
		takes(rate)
		wait := b.wait(now, rate)
		now += wait - 1
		takes(0)
		now++
		takes(1)
		now += time.Hour
		if !b.full(now) {
			t.Errorf("rate %d: not full after an hour", rate)
		}
		takes(rate)
		for range 100 { // one at a time, as fast as they come
			now += interval(rate)
			takes(1)
		}
	}
}

func TestBucketOverdrawn(t *testing.T) {
	var b bucket
	for range 20 {
		b.spend(0, 10)
	}
	if got := b.wait(0, 10); got != 1100*time.Millisecond {
		t.Errorf("11 too many wait for %v", got)
	}
}
