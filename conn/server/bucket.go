package server

import "time"

// bucket is a token bucket, kept as the generic cell rate algorithm does (ITU-T I.371):
// the time at which the bucket is full again, on any clock that starts at 0. It holds one
// second's worth of tokens, and is full at first. One goroutine uses it at a time.
type bucket time.Duration

// wait is how long it takes until a token is there, at so many per second.
func (b bucket) wait(now time.Duration, rate int) time.Duration {
	// With this token taken, the bucket must be full again within a second.
	return max(0, max(time.Duration(b), now)+interval(rate)-now-time.Second)
}

// spend takes a token, whether there is one or not.
func (b *bucket) spend(now time.Duration, rate int) {
	*b = bucket(max(time.Duration(*b), now) + interval(rate))
}

// take takes a token if there is one.
func (b *bucket) take(now time.Duration, rate int) bool {
	if b.wait(now, rate) > 0 {
		return false
	}
	b.spend(now, rate)
	return true
}

// full reports that b is as good as new.
func (b bucket) full(now time.Duration) bool { return time.Duration(b) <= now }

// interval is the time in which one token comes. Rounding it down to nanoseconds adds
// a thousandth to a rate of a million, which is the largest.
func interval(rate int) time.Duration { return time.Second / time.Duration(rate) }
