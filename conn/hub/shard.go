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
	chunkSlots = 510
)

// shard is one part of the connections, with its broadcaster.
type shard struct {
	// Static after New.
	hub   *Hub
	index int

	// Guarded by the hub's mu.
	fifo fifo
	sent uint64 // frames taken from fifo and handed to every connection
	wake *sync.Cond

	// Owned by run.
	batch []byte
	out   *conn.Shared // what is being sent: batch, or one frame

	mu     sync.Mutex
	chunks []*chunk // guarded by mu; nil where no slot is taken
	vacant []int    // guarded by mu; indices of chunks with a free slot, each once

	delivered atomic.Uint64
	writes    atomic.Uint64
}

// chunk is a block of slots. It is freed when the last connection leaves it, so
// that memory returns after a crowd has gone.
type chunk struct {
	used  int32
	hint  int32 // no slot below is free
	slots [chunkSlots]*conn.Conn
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

// remove frees a slot.
func (s *shard) remove(slot int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, i := slot/chunkSlots, int32(slot%chunkSlots)
	ch := s.chunks[at]
	ch.slots[i] = nil
	ch.hint = min(ch.hint, i)
	if ch.used == chunkSlots {
		s.vacant = append(s.vacant, at)
	}
	if ch.used--; ch.used == 0 {
		s.chunks[at] = nil
	}
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

// list copies the connections of the next slots from slot on into some. It
// returns how many there are and the slot to go on at, -1 at the end.
func (s *shard) list(slot int, some *[stride]*conn.Conn) (k, next int) {
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
	for _, c := range ch.slots[i:end] {
		if c != nil {
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
		b, frames, resume := s.take()
		for _, c := range resume {
			c.Release()
		}
		if frames > 0 {
			s.fanOut(b, frames)
		} else if len(resume) == 0 {
			return
		}
	}
}

// take waits for frames and returns the bytes to write next: one frame as it is,
// or several joined in s.batch. Without frames and connections to resume, the
// hub is closed.
func (s *shard) take() (b []byte, frames int, resume []*conn.Conn) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.sent = s.fifo.taken
	h.room.Broadcast() // for Drain
	for s.fifo.frames == 0 {
		if resume = h.relieve(); len(resume) > 0 {
			return nil, 0, resume
		}
		if h.closed {
			return nil, 0, nil
		}
		s.wake.Wait()
	}
	f := s.fifo.pop()
	b, frames = f.Bytes(), 1
	if s.fifo.frames > 0 && len(b)+len(s.fifo.peek().Bytes()) <= h.config.BatchBytes {
		s.batch = append(s.batch[:0], b...)
		for s.fifo.frames > 0 && frames < h.config.BatchFrames {
			more := s.fifo.peek().Bytes()
			if len(s.batch)+len(more) > h.config.BatchBytes {
				break
			}
			s.batch = append(s.batch, more...)
			s.fifo.pop()
			frames++
		}
		b = s.batch
	}
	return b, frames, h.relieve()
}

// fanOut hands b to every connection of the shard.
func (s *shard) fanOut(b []byte, frames int) {
	var some [stride]*conn.Conn
	var start time.Time
	told := s.hub.config.OnFanOut
	if told != nil {
		start = time.Now()
	}
	s.out.Set(b, frames)
	delivered, writes := 0, 0
	for slot := 0; slot >= 0; {
		var k int
		k, slot = s.list(slot, &some)
		for _, c := range some[:k] {
			if c.SendShared(s.out) == nil {
				delivered += frames
				writes++
			}
		}
		// A reactor that returns from epoll_wait needs a processor, and raw system
		// calls never give one up.
		runtime.Gosched()
	}
	s.delivered.Add(uint64(delivered))
	s.writes.Add(uint64(writes))
	if told != nil {
		told(time.Since(start))
	}
	if s.out.Held() {
		// Connections' queues have them now.
		s.out, s.batch = new(conn.Shared), nil
	}
}
