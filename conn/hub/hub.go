//go:build linux

package hub

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"roost/conn"
	"roost/conn/frame"
)

// Config says how a Hub is built. The zero value is useful.
type Config struct {
	// DefaultTopic is the name of the topic that every connection starts in, and that
	// messages go to that name none. "" means [DefaultTopic].
	DefaultTopic string
	// Shards is the number of broadcaster goroutines. 0 means one per processor.
	Shards int
	// QueueFrames and QueueBytes bound the FIFO of each shard; beyond either,
	// publishers are slowed down. 0 means 1,024 frames and 4 MiB.
	QueueFrames int
	QueueBytes  int
	// SlackFrames and SlackBytes are room beyond the bound for what Broadcast is
	// given while a FIFO becomes full. They must cover one message of each handler
	// that may be running. 0 means as much again as the bound.
	SlackFrames int
	SlackBytes  int
	// BatchFrames and BatchBytes bound what is joined for one write. 0 means 256
	// frames and 64 KiB. A single frame may be larger.
	BatchFrames int
	BatchBytes  int
	// Open is the number of connections whose handshake is complete, where that is known. Nil
	// takes all that have joined.
	Open func() int
	// Compress compresses what goes to connections that have agreed to permessage-deflate.
	// It is that of conn.Config. Nil means that there are none.
	Compress *frame.Compressor
	// OnFanOut is told how long a broadcaster took to hand one batch, of a single frame
	// or several joined, to each of its connections. Every shard's broadcaster calls it,
	// for each batch. Nil means that nobody wants to know.
	OnFanOut func(took time.Duration)
	// OnInterest is told when a topic has got its first member, and when it has lost its
	// last, in that order for each; for different topics it runs at the same time. The default topic counts as having members from New on.
	// It is called under a lock: it must not block or call the hub. Nil means that nobody wants to know.
	OnInterest func(topic string, members bool)
	// MayPublish reports whether c may publish to that topic, with PublishFrom. It must not
	// call the hub. Nil means that everybody may.
	MayPublish func(c *conn.Conn, topic string) bool
	// Relay is given every message that is published and not Remote, in the order in which
	// it is delivered here; no topics mean the default one. It is called under a lock: it must not
	// block or call the hub, nor keep the slice. Nil means that nobody wants to know.
	Relay func(topics []string, f *frame.Prepared, key string)
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var errs []error
	if c.DefaultTopic != "" {
		if err := CheckTopic(c.DefaultTopic); err != nil {
			errs = append(errs, fmt.Errorf("default topic %q: %w", c.DefaultTopic, err))
		}
	}
	for _, f := range []struct {
		name  string
		value int
	}{
		{"Shards", c.Shards}, {"QueueFrames", c.QueueFrames}, {"QueueBytes", c.QueueBytes},
		{"SlackFrames", c.SlackFrames}, {"SlackBytes", c.SlackBytes},
		{"BatchFrames", c.BatchFrames}, {"BatchBytes", c.BatchBytes},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("hub: %s is %d; want 0 for the default, or more", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	if c.DefaultTopic == "" {
		c.DefaultTopic = DefaultTopic
	}
	def(&c.Shards, runtime.GOMAXPROCS(0))
	def(&c.QueueFrames, 1024)
	def(&c.QueueBytes, 4<<20)
	def(&c.SlackFrames, c.QueueFrames)
	def(&c.SlackBytes, c.QueueBytes)
	def(&c.BatchFrames, 256)
	def(&c.BatchBytes, 64<<10)
	return c
}

// Hub is a set of connections and its broadcasters. All methods may be called
// from any goroutine, except where they say otherwise.
type Hub struct {
	// Static after New.
	config Config
	shards []*shard
	topics topics

	turn   atomic.Uint32 // picks the shard of the next Join
	size   atomic.Int64  // connections
	apart  atomic.Int64  // connections that are not in the default topic
	parted atomic.Bool   // some connection has asked for topics, ever

	mu      sync.Mutex   // guards the FIFOs of all shards, and what follows
	room    *sync.Cond   // signalled when congested becomes false, or a batch is out
	waiters []*conn.Conn // paused until there is room, oldest first
	seq     uint64       // frames published
	refused uint64       // frames answered with ErrBusy
	sealed  bool         // nothing more is published
	closed  bool         // broadcasters end when their FIFO is empty

	congested atomic.Bool // written under mu
	done      sync.WaitGroup
}

// New starts the broadcasters of an empty hub. Close ends them.
func New(config Config) (*Hub, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	h := &Hub{config: config.withDefaults()}
	h.room = sync.NewCond(&h.mu)
	h.topics.everyone = newTopic(h.config.DefaultTopic, 0)
	h.topics.shards, h.topics.onInterest = h.config.Shards, h.config.OnInterest
	if h.config.Open == nil {
		h.config.Open = h.Len
	}
	if h.config.OnInterest != nil {
		h.config.OnInterest(h.config.DefaultTopic, true)
	}
	for i := range h.config.Shards {
		s := &shard{hub: h, index: i}
		s.wake = sync.NewCond(&h.mu)
		h.shards = append(h.shards, s)
		h.done.Add(1)
		go s.run()
	}
	return h, nil
}

// Join gives c a slot. It is called once, before c is started.
func (h *Hub) Join(c *conn.Conn) {
	h.shards[h.turn.Add(1)%uint32(len(h.shards))].put(c)
	h.size.Add(1)
}

// Leave frees the slot of c, and ends its memberships. It is called once.
func (h *Hub) Leave(c *conn.Conn) {
	s, slot := h.place(c)
	subs := s.remove(slot)
	h.size.Add(-1)
	for ; subs != nil; subs = subs.next {
		h.topics.leave(subs.topic)
	}
}

// place is the shard of c, and its slot there.
func (h *Hub) place(c *conn.Conn) (s *shard, slot int) {
	n := uint32(len(h.shards))
	return h.shards[c.Slot()%n], int(c.Slot() / n)
}

// At is the connection in a slot, nil when the slot is free or there is none. By the
// time the caller looks, the slot may be another's.
func (h *Hub) At(slot uint32) *conn.Conn {
	n := uint32(len(h.shards))
	return h.shards[slot%n].at(int(slot / n))
}

// Len is the number of connections that have joined and not left, open or not.
func (h *Hub) Len() int { return int(h.size.Load()) }

// Cursor remembers how far a walk has come. The zero value stands at the start.
type Cursor struct{ shard, slot int }

// Walk calls visit for the connections in the next slots at the cursor, looking at
// n slots rounded up to a multiple of 64, and reports whether that brought it to the end; the cursor then
// stands at the start again. A connection that is there for the whole of a walk
// is visited exactly once. visit runs without a lock.
func (h *Hub) Walk(cur *Cursor, n int, visit func(*conn.Conn)) (end bool) {
	var some [stride]*conn.Conn
	for n > 0 {
		s := h.shards[cur.shard]
		k, next := s.list(cur.slot, &some)
		for _, c := range some[:k] {
			visit(c)
		}
		if next >= 0 {
			n -= stride
			cur.slot = next
			continue
		}
		cur.slot = 0
		if cur.shard++; cur.shard == len(h.shards) {
			cur.shard = 0
			return true
		}
	}
	return false
}

// Each calls visit for every connection, as Walk does.
func (h *Hub) Each(visit func(*conn.Conn)) {
	var cur Cursor
	for !h.Walk(&cur, 1<<20, visit) {
	}
}

// Slots is about how many slots a whole walk looks at.
func (h *Hub) Slots() int {
	n := 0
	for _, s := range h.shards {
		n += s.slots()
	}
	return n
}

// Seal refuses frames from now on with [ErrClosed]. What has been published is
// still sent.
func (h *Hub) Seal() {
	h.mu.Lock()
	h.sealed = true
	h.room.Broadcast()
	h.mu.Unlock()
}

// Drain waits until every frame published before the call has been handed to
// every connection, or ctx ends.
func (h *Hub) Drain(ctx context.Context) error {
	stop := context.AfterFunc(ctx, h.wakeAll)
	defer stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.shards {
		for until := s.fifo.pushed(); s.sent < until; {
			if err := ctx.Err(); err != nil {
				return err
			}
			h.room.Wait()
		}
	}
	return nil
}

func (h *Hub) wakeAll() {
	h.mu.Lock()
	h.room.Broadcast()
	h.mu.Unlock()
}

// Close is Seal, and ends the broadcasters after they have sent what was published.
func (h *Hub) Close() {
	h.mu.Lock()
	h.sealed, h.closed = true, true
	h.room.Broadcast()
	for _, s := range h.shards {
		s.wake.Signal()
	}
	h.mu.Unlock()
	h.done.Wait()
}

// Stats is a snapshot of the broadcasters' work.
type Stats struct {
	Published  uint64 // messages accepted, to whatever topics
	Refused    uint64 // frames refused with ErrBusy
	Delivered  uint64 // frames taken by a connection: by the kernel or by its queue
	Writes     uint64 // hand-overs to a connection, of one or more joined frames
	Waiting    int    // frames in the longest FIFO now
	Publishers int    // connections paused until there is room

	Topics        int // that have members, with the default one
	Subscriptions int // memberships in topics other than the default one
}

// Stats may be called at any time.
func (h *Hub) Stats() Stats {
	var st Stats
	h.mu.Lock()
	st.Published = h.seq
	st.Refused = h.refused
	st.Publishers = len(h.waiters)
	for _, s := range h.shards {
		st.Waiting = max(st.Waiting, s.fifo.frames)
	}
	h.mu.Unlock()
	st.Topics, st.Subscriptions = 1+int(h.topics.size.Load()), int(h.topics.subscriptions.Load())
	for _, s := range h.shards {
		st.Delivered += s.delivered.Load()
		st.Writes += s.writes.Load()
	}
	return st
}
