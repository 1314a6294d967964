package cluster

import (
	"fmt"
	"strings"
	"testing"
)

func one(payload string) item { return item{topics: []string{"x"}, frame: text(payload)} }

// The oldest go first, and at both bounds.
func TestQueueBounds(t *testing.T) {
	var dropped []uint64
	drop := func(it *item) { dropped = append(dropped, it.seq) }
	cost := itemOverhead + 2 + 10 + 1
	q := newQueue(3 * cost)
	for range 5 {
		q.push(one(strings.Repeat("a", 10)), drop)
	}
	if fmt.Sprint(dropped) != "[1 2]" || q.bytes != 3*cost || q.first() != 3 || q.at(4).seq != 4 {
		t.Errorf("dropped %v, %d bytes, first %d", dropped, q.bytes, q.first())
	}
	if q.push(one(strings.Repeat("a", 3*cost)), drop) || q.len() != 3 {
		t.Error("a message larger than the queue was taken")
	}
	q.push(one(strings.Repeat("a", 3*cost-cost+10-2)), drop) // takes it all: its header is two bytes longer
	if q.len() != 1 || q.bytes != 3*cost {
		t.Errorf("%d items of %d bytes are left", q.len(), q.bytes)
	}
	q = newQueue(1 << 40)
	f := one("")
	for range 3 * mostItems {
		q.push(f, func(*item) {})
	}
	if q.len() != mostItems || q.first() != 2*mostItems+1 || cap(q.items) > 3*mostItems {
		t.Errorf("%d items, first %d, room for %d", q.len(), q.first(), cap(q.items))
	}
	for seq := q.first(); q.len() > 0; seq++ {
		if it := q.pop(); it.seq != seq {
			t.Fatalf("%d, want %d", it.seq, seq)
		}
	}
	if cap(q.items) > 1024 || q.bytes != 0 || q.first() != 3*mostItems+1 {
		t.Errorf("empty: room for %d, %d bytes, first %d", cap(q.items), q.bytes, q.first())
	}
}

// seqs are the numbers of a batch.
func (o *outbox) seqs(most int) string {
	var all []uint64
	for _, it := range o.batch(make([]item, 0, most)) {
		all = append(all, it.seq)
	}
	return fmt.Sprint(all)
}

// What was sent is kept until NATS has confirmed it and some time has passed.
func TestOutbox(t *testing.T) {
	lost := 0
	o := newOutbox(1<<20, func() { lost++ })
	check := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	for range 5 {
		o.add(one("a"))
	}
	check("first", o.seqs(3), "[1 2 3]")
	o.handed(4)
	check("second", o.seqs(3), "[4 5]")
	mark, ok := o.unconfirmed()
	check("handed over", fmt.Sprint(mark, ok), "4 true")
	o.confirm(mark)
	o.release()
	check("kept after one tick", o.len(), 5)
	o.release()
	check("kept after two", o.len(), 2)
	o.rewind()
	check("again", o.seqs(3), "[4 5]")
	o.handed(6)
	check("settled", o.settled(), false)
	mark, _ = o.unconfirmed()
	o.confirm(mark)
	_, ok = o.unconfirmed()
	check("settled", fmt.Sprint(o.settled(), ok), "true false")
	o.release()
	o.rewind() // a new connection right after a tick: what was confirmed goes again
	check("once more", o.seqs(3), "[4 5]")
	o.release()
	check("not handed over yet", o.len(), 2)
	o.handed(6)
	o.release()
	o.release()
	check("empty", o.len(), 0)
	o.add(one("b"))
	check("next", o.seqs(3), "[6]")
	check("lost at the end", o.close(), 1)
	check("after the end", o.add(one("c")), false)
	check("lost for want of room", lost, 0)
}

// What NATS has is no loss.
func TestOutboxOverflow(t *testing.T) {
	lost := 0
	o := newOutbox(4*(itemOverhead+2+10+1), func() { lost++ })
	ten := strings.Repeat("a", 10)
	for range 4 {
		o.add(one(ten))
	}
	o.batch(make([]item, 0, 3))
	if !o.handed(4) {
		t.Error("a full queue is no reason to ask for a confirmation")
	}
	o.confirm(3)
	for range 3 { // the first two are confirmed, the third is not
		o.add(one(ten))
	}
	if lost != 1 || o.first() != 4 {
		t.Errorf("%d lost, first %d", lost, o.first())
	}
	o.forget(4)
	o.forget(1) // has gone
	o.add(one(ten))
	if lost != 1 || o.seqs(9) != "[5 6 7 8]" {
		t.Errorf("%d lost after one that was counted already", lost)
	}
}
