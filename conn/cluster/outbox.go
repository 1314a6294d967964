package cluster

// outbox holds what is published here: from the front, what NATS is known to have and is
// kept in case it has not passed it on; what was handed to a connection; what waits.
type outbox struct {
	*queue
	dropped func() // told of each message that is lost for want of room

	// Guarded by mu.
	next      uint64 // seq of the first that the connection has not been handed
	done      uint64 // all before have been handed to it
	confirmed uint64 // NATS has had all before
	released  uint64 // the connection has confirmed all before once; the next time they go
	closed    bool
}

func newOutbox(maxBytes int, dropped func()) *outbox {
	return &outbox{queue: newQueue(maxBytes), dropped: dropped, next: 1, done: 1, confirmed: 1}
}

// add appends a message. It locks, and never waits for anything else.
func (o *outbox) add(it item) (ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.closed && o.push(it, func(old *item) {
		if old.seq >= o.confirmed && old.frame != nil {
			o.dropped()
		}
	})
}

// rewind begins a connection, to which all that is kept is sent again. It locks.
func (o *outbox) rewind() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next = o.first()
	o.done, o.released = o.next, o.next
}

// batch fills some with what comes next. It locks.
func (o *outbox) batch(some []item) []item {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next = max(o.next, o.first())
	for o.next <= o.last && len(some) < cap(some) {
		some = append(some, *o.at(o.next))
		o.next++
	}
	return some
}

// handed says that the connection has been given all before seq, and reports whether so much of it is
// unconfirmed that it should be confirmed soon. It locks.
func (o *outbox) handed(seq uint64) (much bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done = seq
	filled := o.bytes > o.maxBytes/4 || o.len() > mostItems/4
	return filled && seq > o.confirmed+uint64(o.len()/2)
}

// forget takes out a message that cannot be sent. It locks.
func (o *outbox) forget(seq uint64) {
	o.mu.Lock()
	if seq >= o.first() {
		o.at(seq).frame = nil
	}
	o.mu.Unlock()
}

// unconfirmed returns up to where the connection has been handed what NATS is not known to have; ok is
// false when there is nothing. It locks.
func (o *outbox) unconfirmed() (mark uint64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.done, max(o.first(), o.confirmed) < o.done
}

// confirm says that NATS has had all before mark. It locks.
func (o *outbox) confirm(mark uint64) {
	o.mu.Lock()
	o.confirmed = max(o.confirmed, mark)
	o.mu.Unlock()
}

// release lets go of what NATS had the last time already. It locks.
func (o *outbox) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.len() > 0 && o.first() < o.released {
		o.pop()
	}
	o.released = min(o.confirmed, o.done)
}

// settled reports whether NATS has had everything. It locks.
func (o *outbox) settled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.confirmed > o.last
}

// close takes nothing any more and returns how many NATS is not known to have. It locks.
func (o *outbox) close() (lost uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for seq := max(o.confirmed, o.first()); seq <= o.last; seq++ {
		if o.at(seq).frame != nil {
			lost++
		}
	}
	return lost
}
