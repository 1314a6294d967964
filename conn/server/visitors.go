package server

import (
	"encoding/binary"
	"hash/maphash"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"roost/conn"
)

// visitors remembers, by client address, what Limits.MaxConnsPerIP and AcceptRatePerIP
// need. An address is forgotten when nobody from there is connected and its bucket is
// full again, which takes a second, and the sweeper comes by. The zero value is ready for use.
type visitors struct {
	shards  [visitorShards]visitorShard
	next    int           // shard to be swept; owned by the sweeper
	unknown atomic.Uint64 // connections from addresses for which there was no room
}

const (
	visitorShards = 64
	// visitorsMost bounds the addresses of a shard; a million are known altogether, in
	// about 50 MB. Who comes from another then is let in and not counted: to refuse would
	// let those who have many addresses shut out everybody.
	visitorsMost = 1 << 20 / visitorShards
)

type visitorShard struct {
	mu sync.Mutex
	by map[visitorKey]visitor // guarded by mu
}

// visitorKey is an IPv4 address, or the upper half of an IPv6 address: whoever has one
// address there has all of the 64-bit network (RFC 6177, RFC 4291 section 2.5.4). The two do
// not meet: ::/32 is not given to anybody.
type visitorKey uint64

type visitor struct {
	bucket bucket
	open   int32 // connections that are counted
}

func keyOf(addr netip.Addr) visitorKey {
	if addr = addr.Unmap(); addr.Is4() {
		b := addr.As4()
		return visitorKey(binary.BigEndian.Uint32(b[:]))
	}
	b := addr.As16()
	return visitorKey(binary.BigEndian.Uint64(b[:]))
}

// seed spreads the keys over the shards in a way that clients cannot know.
var seed = maphash.MakeSeed()

func (v *visitors) shard(k visitorKey) *visitorShard {
	return &v.shards[maphash.Comparable(seed, k)%visitorShards]
}

// Answers to too many from one address.
var (
	tooOften = conn.NewRefusal(http.StatusTooManyRequests, conn.ReasonAcceptRatePerIP,
		"too many connections per second from your address; try again later.")
	tooMany = conn.NewRefusal(http.StatusServiceUnavailable, conn.ReasonMaxConnsPerIP,
		"too many connections from your address; close some or try again later.")
)

// arrive is called for each new connection. When it is counted, leave has to be called
// at its end.
func (v *visitors) arrive(k visitorKey, now time.Duration, l *Limits) (counted bool, refusal *conn.Refusal) {
	s := v.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	one, known := s.by[k]
	if !known && len(s.by) >= visitorsMost {
		v.unknown.Add(1)
		return false, nil
	}
	switch {
	case l.MaxConnsPerIP > 0 && int(one.open) >= l.MaxConnsPerIP:
		return false, tooMany
	case l.AcceptRatePerIP > 0 && !one.bucket.take(now, l.AcceptRatePerIP):
		return false, tooOften
	}
	if l.MaxConnsPerIP > 0 {
		one.open++
	}
	if s.by == nil {
		s.by = map[visitorKey]visitor{}
	}
	s.by[k] = one
	return l.MaxConnsPerIP > 0, nil
}

// leave forgets a connection that was counted.
func (v *visitors) leave(k visitorKey, now time.Duration) {
	s := v.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.by[k]
	if one.open--; one.open > 0 || !one.bucket.full(now) {
		s.by[k] = one
		return
	}
	delete(s.by, k)
}

// sweep forgets those that need not be remembered, in the next of the shards: all of
// them take 16 calls. It is called by the sweeper, and holds one lock at a time.
func (v *visitors) sweep(now time.Duration) {
	for range visitorShards / 16 {
		s := &v.shards[v.next]
		v.next = (v.next + 1) % visitorShards
		s.mu.Lock()
		for k, one := range s.by {
			if one.open == 0 && one.bucket.full(now) {
				delete(s.by, k)
			}
		}
		if len(s.by) == 0 {
			s.by = nil // a map does not shrink
		}
		s.mu.Unlock()
	}
}
