package server

import (
	"net/netip"
	"testing"
	"time"

	"roost/conn"
)

func TestVisitorKey(t *testing.T) {
	same := func(a, b string, want bool) {
		t.Helper()
		if got := keyOf(netip.MustParseAddr(a)) == keyOf(netip.MustParseAddr(b)); got != want {
			t.Errorf("%s and %s: %v", a, b, got)
		}
	}
	same("192.0.2.1", "::ffff:192.0.2.1", true)
	same("192.0.2.1", "192.0.2.2", false)
	same("2001:db8::1", "2001:db8::ffff:0:0:1", true)
	same("2001:db8:0:1::1", "2001:db8:0:2::1", false)
}

// size is how many addresses are known.
func (v *visitors) size() (n int) {
	for i := range v.shards {
		s := &v.shards[i]
		s.mu.Lock()
		n += len(s.by)
		s.mu.Unlock()
	}
	return n
}

func (v *visitors) sweepAll(now time.Duration) {
	for range 16 {
		v.sweep(now)
	}
}

func TestVisitors(t *testing.T) {
	var v visitors
	l := &Limits{MaxConnsPerIP: 2, AcceptRatePerIP: 3}
	expect := func(k visitorKey, now time.Duration, want *conn.Refusal) {
		t.Helper()
		if counted, got := v.arrive(k, now, l); got != want || counted != (want == nil) {
			t.Fatalf("address %d at %v: counted %v, %v", k, now, counted, got)
		}
	}
	expect(1, 0, nil)
	expect(1, 0, nil)
	expect(1, 0, tooMany)
	v.leave(1, 0)
	expect(1, 0, nil) // the third token: a refusal takes none
	v.leave(1, 0)
	expect(1, 0, tooOften)
	expect(2, 0, nil)
	expect(1, time.Second/3+1, nil)
	v.leave(1, time.Second)
	v.leave(1, time.Second)
	v.leave(2, time.Second)
	if n := v.size(); n != 1 {
		t.Errorf("%d addresses are known, want that with an empty bucket", n)
	}
	v.sweepAll(time.Second)
	if n := v.size(); n != 1 {
		t.Error("an address was forgotten while its bucket was filling")
	}
	v.sweepAll(3 * time.Second)
	if n := v.size(); n != 0 {
		t.Errorf("%d addresses are known after all", n)
	}
}

// With no room for another address its connections are let in; known ones stay limited.
func TestVisitorsAreBounded(t *testing.T) {
	var v visitors
	l := &Limits{MaxConnsPerIP: 1}
	const most = visitorsMost * visitorShards
	counts := 0
	for k := range visitorKey(most + most/4) {
		counted, refusal := v.arrive(k, 0, l)
		if refusal != nil {
			t.Fatal("refused")
		}
		if counted {
			counts++
		}
	}
	if n := v.size(); n != counts || n > most || v.unknown.Load() != uint64(most+most/4-n) {
		t.Errorf("%d known, %d counted, %d unknown; at most %d", n, counts, v.unknown.Load(), most)
	}
	if _, refusal := v.arrive(0, 0, l); refusal != tooMany {
		t.Error("a known address is not limited")
	}
}
