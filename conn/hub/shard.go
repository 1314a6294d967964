//go:build linux

package hub

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"roost/conn"
)

const (
	// stride is how many slots are copied out under the shard's lock at once, and
	// how many connections are written to between two calls of the scheduler.
	stride = 64
	// chunkSlots makes a chunk fill its 4,096-byte size class.
	chunkSlots = 509
)

// shard is one part of the connections, with its broadcaster.
type shard struct {
	// Static after New.
	hub   *Hub
	index int

	// Guarded by the hub's mu.
	fifo fifo
	sent uint64 // all frames pushed before this one have been handed to every connection
	wake *sync.Cond

	// Owned by run.
	items   []item            // what is being sent
	forms   [1 + windows]form // plain, and for each window
	outcome outcome           // of the fan-out under way
	round   uint32            // counts messages to several topics; not 0

	mu     sync.Mutex
	chunks []*chunk // guarded by mu; nil where no slot is taken
	vacant []int    // guarded by mu; indices of chunks with a free slot, each once

	delivered atomic.Uint64
	writes    atomic.Uint64
}

// chunk is a block of slots. It is freed when the last connection leaves it, so
// that memory returns after a crowd has gone.
type chunk struct {
	used   int32
	hint   int32      // no slot below is free
	topics *apartment // nil while nobody in the chunk has asked for a topic
	slots  [chunkSlots]*conn.Conn
}

// put stores c in a free slot, and the number of that in c before a walk can see it.
func (s *shard) put(c *conn.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.vacant) == 0 {
		s.vacant = append(s.vacant, len(s.chunks))
		s.chunks = append(s.chunks, nil)
	}
	at := s.vacant[len(s.vacant)-1]
	ch := s.chunks[at]
	if ch == nil {
		ch = new(chunk)
		s.chunks[at] = ch
	}
	i := ch.hint
	for ch.slots[i] != nil {
		i++
	}
	c.SetSlot(uint32(at*chunkSlots+int(i))*uint32(len(s.hub.shards)) + uint32(s.index))
	ch.slots[i] = c
	ch.hint = i + 1
	if ch.used++; ch.used == chunkSlots {
		s.vacant = s.vacant[:len(s.vacant)-1]
	}
}

// remove frees a slot and returns the memberships that its connection had.
func (s *shard) remove(slot int) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, i := slot/chunkSlots, int32(slot%chunkSlots)
	ch := s.chunks[at]
	subs := s.vacate(ch, int(i))
	ch.slots[i] = nil
	ch.hint = min(ch.hint, i)
	if ch.used == chunkSlots {
		s.vacant = append(s.vacant, at)
	}
	if ch.used--; ch.used == 0 {
		s.chunks[at] = nil
	}
	return subs
}

func (s *shard) at(slot int) *conn.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, i := slot/chunkSlots, slot%chunkSlots
	if at >= len(s.chunks) || s.chunks[at] == nil {
		return nil
	}
	return s.chunks[at].slots[i]
}

// list copies the connections of the next slots from slot on into some. It returns how
// many there are and the slot to go on at, -1 at the end.
func (s *shard) list(slot int, some *[stride]*conn.Conn) (k, next int) {
	return s.choose(slot, some, func(*chunk, int) bool { return true })
}

// everyone is list for those in the default topic that have not been served in round. Who
// is not open does not count: it may yet ask for other topics, and be open when its
// turn comes.
func (s *shard) everyone(slot int, round uint32, some *[stride]*conn.Conn) (k, next int) {
	return s.choose(slot, some, func(ch *chunk, i int) bool {
		return ch.slots[i].State() == conn.StateOpen &&
			(ch.topics == nil || !ch.topics.isApart(i) && ch.topics.serve(i, round))
	})
}

// choose copies those that are wanted.
func (s *shard) choose(slot int, some *[stride]*conn.Conn, wanted func(ch *chunk, i int) bool) (k, next int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, i := slot/chunkSlots, slot%chunkSlots
	for at < len(s.chunks) && s.chunks[at] == nil {
		at, i = at+1, 0
	}
	if at >= len(s.chunks) {
		return 0, -1
	}
	ch := s.chunks[at]
	end := min(i+stride, chunkSlots)
	for j, c := range ch.slots[i:end] {
		if c != nil && wanted(ch, i+j) {
			some[k] = c
			k++
		}
	}
	return k, at*chunkSlots + end
}

func (s *shard) slots() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, ch := range s.chunks {
		if ch != nil {
			n += chunkSlots
		}
	}
	return n
}

// run is the broadcaster. It ends after Close, when the FIFO is empty.
func (s *shard) run() {
	defer s.hub.done.Done()
	for {
		resume := s.take()
		for _, c := range resume {
			c.Release()
		}
		if len(s.items) > 0 {
			s.fanOut()
		} else if len(resume) == 0 {
			return
		}
	}
}

// take waits for frames, and makes those to be written next the items. Without items
// and connections to resume, the hub is closed.
func (s *shard) take() (resume []*conn.Conn) {
	clear(s.items)
	s.items = s.items[:0]
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.fifo.settle()
	s.sent = s.fifo.first
	h.room.Broadcast() // for Drain
	for s.fifo.frames == 0 {
		if resume = h.relieve(); len(resume) > 0 {
			return resume
		}
		if h.closed {
			return nil
		}
		s.wake.Wait()
	}
	s.items = s.fifo.take(s.items, h.config.BatchFrames, h.config.BatchBytes)
	return h.relieve()
}

// fanOut hands the items to every connection of the shard that is in one of their topics.
func (s *shard) fanOut() {
	var start time.Time
	told := s.hub.config.OnFanOut
	if told != nil {
		start = time.Now()
	}
	s.make(plain)
	s.outcome = outcome{}
	to := s.items[0].to
	round := uint32(0)
	if len(to) > 1 {
		s.nextRound()
		round = s.round
	}
	s.begin(to)
	for _, t := range to {
		if t == s.hub.topics.everyone {
			s.toEveryone(round)
		} else {
			s.toMembers(t, round)
		}
	}
	s.delivered.Add(uint64(s.outcome.taken * len(s.items)))
	s.writes.Add(uint64(s.outcome.taken))
	for i := range s.items {
		if r := s.items[i].receipt; r != nil {
			r.fannedOut(s.outcome)
		}
	}
	if told != nil {
		told(time.Since(start))
	}
	for i := range s.forms {
		s.forms[i].done()
	}
}

// decorate tells out, which is the items in the form for a window, of their keys and
// receipts, if there are any.
func (s *shard) decorate(out *conn.Shared, window int) {
	if len(s.items) == 1 {
		s.items[0].decorate(out)
		return
	}
	var watching receipts
	keys := false
	for i := range s.items {
		keys = keys || s.items[i].key != ""
		if r := s.items[i].receipt; r != nil {
			watching = append(watching, r)
		}
	}
	if watching != nil {
		out.Watch(watching)
	}
	if keys {
		out.SetParts(func() []*conn.Shared { return s.parts(window) })
	}
}

func (it *item) decorate(out *conn.Shared) {
	out.SetKey(it.key)
	if it.receipt != nil {
		out.Watch(it.receipt)
	}
}

// parts are the items one by one, for connections that are behind.
func (s *shard) parts(window int) []*conn.Shared {
	parts := make([]*conn.Shared, len(s.items))
	for i := range s.items {
		parts[i] = new(conn.Shared)
		parts[i].Set(s.bytes(&s.items[i], window), 1)
		s.items[i].decorate(parts[i])
	}
	return parts
}

func (s *shard) toEveryone(round uint32) {
	var some [stride]*conn.Conn
	for slot := 0; slot >= 0; {
		var k int
		k, slot = s.everyone(slot, round, &some)
		s.send(some[:k])
	}
}

func (s *shard) toMembers(t *topic, round uint32) {
	var some [stride]*conn.Conn
	for end := false; !end; {
		var k int
		k, end = s.members(t, round, &some)
		s.send(some[:k])
	}
}

// send hands the items to some connections.
func (s *shard) send(some []*conn.Conn) {
	for _, c := range some {
		out := s.forms[plain].out
		if s.hub.config.Compress != nil {
			out = s.formFor(c)
		}
		s.outcome.add(c.SendShared(out))
	}
	// A reactor that returns from epoll_wait needs a processor, and raw system
	// calls never give one up.
	runtime.Gosched()
}
