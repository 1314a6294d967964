package cluster

import (
	"context"
	"sync"

	"roost/conn/frame"
)

// item is a message in a queue.
type item struct {
	seq    uint64 // numbers those of a queue without a gap, from 1
	topics []string
	frame  *frame.Prepared // nil when it need not be sent any more
	key    string
	cost   int // what it counts for, in bytes
}

// mostItems bounds the number of items in a queue: small ones would take many times their
// size.
const mostItems = 1 << 16

// itemOverhead is what an item takes beside its texts and its frame, in bytes.
const itemOverhead = 96

// queue is a bounded queue of messages that drops the oldest. Its user locks mu, except
// where a method says that it does so.
type queue struct {
	maxBytes int
	wake     chan struct{} // holds one when something has come

	mu    sync.Mutex
	items []item
	head  int
	last  uint64 // seq of the newest that ever was
	bytes int
}

func newQueue(maxBytes int) *queue {
	return &queue{maxBytes: maxBytes, wake: make(chan struct{}, 1)}
}

func (q *queue) len() int { return len(q.items) - q.head }

// first is the seq of the oldest; last+1 when there is none.
func (q *queue) first() uint64 { return q.last - uint64(q.len()) + 1 }

func (q *queue) at(seq uint64) *item { return &q.items[q.head+int(seq-q.first())] }

// push appends a message, for which the oldest have to go when it does not fit; drop is told of
// each before. What is larger than the whole queue is refused.
func (q *queue) push(it item, drop func(*item)) bool {
	it.cost = itemOverhead + len(it.frame.Bytes()) + len(it.key)
	for _, topic := range it.topics {
		it.cost += len(topic)
	}
	if it.cost > q.maxBytes {
		return false
	}
	for q.bytes+it.cost > q.maxBytes || q.len() == mostItems {
		drop(&q.items[q.head])
		q.pop()
	}
	if q.head > len(q.items)/2 && len(q.items) == cap(q.items) { // else each push could move all
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.last++
	it.seq = q.last
	q.items = append(q.items, it)
	q.bytes += it.cost
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// pop removes the oldest.
func (q *queue) pop() item {
	it := q.items[q.head]
	q.items[q.head] = item{}
	q.head++
	q.bytes -= it.cost
	if q.len() == 0 {
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > 1024 { // a burst's room is not kept
			q.items = nil
		}
	}
	return it
}

// take waits for the oldest and removes it; ok is false when ctx ends. It locks.
func (q *queue) take(ctx context.Context) (it item, ok bool) {
	for {
		q.mu.Lock()
		if q.len() > 0 {
			it = q.pop()
			q.mu.Unlock()
			return it, true
		}
		q.mu.Unlock()
		select {
		case <-q.wake:
		case <-ctx.Done():
			return item{}, false
		}
	}
}
