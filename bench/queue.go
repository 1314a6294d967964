package bench

import "time"

// queue is first in, first out, in one slice that is shifted when half of it
// has been taken. The zero value is empty.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) push(v T) {
	if q.head > 64 && q.head > len(q.items)/2 {
		q.items = q.items[:copy(q.items, q.items[q.head:])]
		q.head = 0
	}
	q.items = append(q.items, v)
}

func (q *queue[T]) front() *T { return &q.items[q.head] }

func (q *queue[T]) pop() T {
	v := q.items[q.head]
	q.head++
	return v
}

// deadlines are due times of connections, all with the same delay and so in
// order: no timer per connection, and only the front is ever looked at.
type deadlines struct{ queue[deadline] }

type deadline struct {
	token uint64
	due   time.Duration
}

func (d *deadlines) push(token uint64, due time.Duration) {
	d.queue.push(deadline{token, due})
}

// expire calls late for every connection whose time is over; late decides
// whether the deadline still matters.
func (d *deadlines) expire(cl *Client, now time.Duration, late func(*Conn)) {
	for d.next(cl, now) == 0 {
		late(cl.lookup(d.pop().token))
	}
}

// next is the time until the first deadline, 0 when it is over, negative when
// there is none. Entries of connections that have ended are dropped on the way.
func (d *deadlines) next(cl *Client, now time.Duration) time.Duration {
	for d.len() > 0 {
		if front := d.front(); cl.lookup(front.token) != nil {
			return max(0, front.due-now)
		}
		d.pop()
	}
	return -1
}
