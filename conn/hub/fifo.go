//go:build linux

package hub

import (
	"slices"

	"roost/conn/frame"
)

// item is a frame on its way to the members of some topics.
type item struct {
	frame   *frame.Prepared
	to      []*topic // immutable
	key     string   // with the names of the topics in front; "" for none
	receipt *Receipt // nil when nobody asks
}

// goesWith reports whether it and other have the same audience.
func (it *item) goesWith(other *item) bool {
	return len(it.to) == len(other.to) && (&it.to[0] == &other.to[0] || slices.Equal(it.to, other.to))
}

// meets reports whether it and other have a topic in common.
func (it *item) meets(other *item) bool {
	return slices.ContainsFunc(it.to, func(t *topic) bool { return slices.Contains(other.to, t) })
}

// fifo is a bounded queue of frames, guarded by the hub's mutex. The bound is its
// user's to keep.
type fifo struct {
	items  []item // without a frame where one was taken out of turn
	head   int
	frames int
	bytes  int
	first  uint64 // how many were pushed before items[head]
}

func (q *fifo) over(frames, bytes int) bool { return q.frames >= frames || q.bytes >= bytes }

// pushed is how many were pushed in all.
func (q *fifo) pushed() uint64 { return q.first + uint64(len(q.items)-q.head) }

func (q *fifo) push(it item) {
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, it)
	q.frames++
	q.bytes += len(it.frame.Bytes())
}

// lookAhead is how many frames for others may stand before one that is joined: fewer if they
// go to several topics, which all have to be compared. Looking at them costs little beside
// writing even to a single connection.
const lookAhead = 128

// take appends to batch the next frame, and those behind it for the same audience, up to
// so many frames and bytes in all. A frame may overtake others, but none that goes to a
// topic of its own.
func (q *fifo) take(batch []item, frames, bytes int) []item {
	first := q.items[q.head]
	batch = append(batch, first)
	bytes -= len(first.frame.Bytes())
	q.remove(q.head)
	for i, others := q.head+1, 0; i < len(q.items) && others < lookAhead; i++ {
		it := &q.items[i]
		if it.frame == nil || !it.goesWith(&first) {
			if it.frame != nil && it.meets(&first) {
				break
			}
			others += len(first.to) * max(1, len(it.to))
			continue
		}
		if bytes -= len(it.frame.Bytes()); bytes < 0 || len(batch) == frames {
			break
		}
		batch = append(batch, *it)
		q.remove(i)
	}
	return batch
}

func (q *fifo) remove(i int) {
	q.frames--
	q.bytes -= len(q.items[i].frame.Bytes())
	q.items[i] = item{}
}

// settle drops what has been taken from the front.
func (q *fifo) settle() {
	for q.head < len(q.items) && q.items[q.head].frame == nil {
		q.head++
		q.first++
	}
	if q.frames == 0 {
		q.items, q.head = q.items[:0], 0
	}
}
