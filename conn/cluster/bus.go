package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"roost/conn/frame"
)

// ErrNotConnected is returned by Ready while NATS is away.
var ErrNotConnected = errors.New("cluster: not connected")

// Local is this node, as the others see it. Its methods are called from several goroutines.
type Local interface {
	// Deliver hands a message of another node to the members of its topics here. It may
	// wait for room, and then gives up when ctx ends. An error means that the node takes
	// nothing any more.
	Deliver(ctx context.Context, m Message) error
	// Members is how many members topic has here.
	Members(topic string) int
	// Topics calls visit for each topic that has members here, until it returns false. visit
	// is short and calls nothing of the node.
	Topics(visit func(topic string, members int) bool)
}

// Bus is a node's part of a fleet. Its methods may be called from any goroutine.
type Bus struct {
	// Static after New.
	config   Config
	id       id
	name     string // of the node: id in hexadecimal
	subjects subjects

	local    Local // static after Start
	out      *outbox
	in       *queue
	interest *interest
	nodes    nodes
	counters counters
	asking   chan struct{} // holds one for each request for presence under way
	asked    atomic.Uint64

	session atomic.Pointer[session] // nil while NATS is away

	// Owned by the session that there is.
	seen generations // numbers that other nodes have come to
	sent uint64      // the largest seq that was handed to NATS

	hurry   chan struct{} // holds one when NATS is to be asked whether it has what was sent
	closing chan struct{} // closed when nothing more is published
	once    sync.Once     // closes it
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// New checks config and prepares a bus, which takes what is published from then on. It opens nothing;
// a Bus that is never started needs no Close.
func New(config Config) (*Bus, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	b := &Bus{
		config: config.withDefaults(), interest: newInterest(), asking: make(chan struct{}, mostAsking),
		hurry: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	b.subjects = newSubjects(b.config.Name)
	_, _ = rand.Read(b.id[:]) // never fails
	b.name = hex.EncodeToString(b.id[:])
	b.out = newOutbox(b.config.QueueBytes, func() { b.lose(LossQueueFull) })
	b.in = newQueue(b.config.QueueBytes)
	return b, nil
}

// Start connects to NATS, now and whenever it was away, and returns at once. It is called once.
func (b *Bus) Start(local Local) {
	b.local = local
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.done.Go(func() { b.run(ctx) })
	b.done.Go(func() { b.deliver(ctx) })
	b.done.Go(b.watch)
}

// Publish sends a message to the other nodes, in the order of the calls. No topics mean the default one. It
// never waits: what does not fit is lost and counted. f and the strings are kept, the slice is not.
func (b *Bus) Publish(topics []string, f *frame.Prepared, key string) {
	if len(topics) == 0 {
		topics = []string{b.config.DefaultTopic}
	}
	if !fits(topics, key) {
		b.lose(LossTopics)
		return
	}
	if !b.out.add(item{topics: slices.Clone(topics), frame: f, key: key}) {
		select {
		case <-b.closing:
			b.lose(LossStopped)
		default:
			b.lose(LossTooLarge)
		}
	}
}

// Interest says that topic has got its first member here, or lost its last. It never waits. Calls for a
// topic must come in order.
func (b *Bus) Interest(topic string, members bool) {
	if validTopic(topic) {
		b.interest.set(topic, members)
	}
}

// Ready is nil while messages come and go, and else ErrNotConnected.
func (b *Bus) Ready() error {
	if !b.counters.connected.Load() {
		return ErrNotConnected
	}
	return nil
}

// slowestBye is how long NATS may take to let the others know that this node stops.
const slowestBye = 500 * time.Millisecond

// Attempts to connect are so far apart, each with jitter, and twice as far after each.
const (
	firstAgain = 100 * time.Millisecond
	lastAgain  = 2 * time.Second
	// lasting is how long a connection has to last for the next to begin with firstAgain.
	lasting = 5 * time.Second
)

// run holds a connection, one after the other.
func (b *Bus) run(ctx context.Context) {
	again, complaint := firstAgain, ""
	for {
		s, err := b.open(ctx)
		if err == nil {
			complaint = ""
			began := time.Now()
			err = s.run()
			if time.Since(began) > lasting {
				again = firstAgain
			}
			if ctx.Err() == nil {
				b.config.Log.Warn("the connection to NATS has ended; delivery on this node goes on", "err", err)
			}
		} else if text := err.Error(); text != complaint && ctx.Err() == nil {
			b.config.Log.Warn("cannot connect to NATS; trying again and again", "servers", b.config.servers(), "err", err, "remedy", b.config.remedy(err))
			complaint = text
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(again/2 + mathrand.N(again/2)): //nolint:gosec // jitter is no secret
		}
		again = min(2*again, lastAgain)
	}
}

// deliver hands over what came from other nodes, one at a time and in order.
func (b *Bus) deliver(ctx context.Context) {
	for {
		it, ok := b.in.take(ctx)
		if !ok {
			return
		}
		err := b.local.Deliver(ctx, Message{Topics: it.topics, Frame: it.frame, Key: it.key})
		if err != nil && ctx.Err() == nil {
			b.lose(LossRefused)
		}
	}
}

// watch logs losses until the bus stops: then they are no news.
func (b *Bus) watch() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var episodes [Losses]episode
	for {
		select {
		case <-ticker.C:
			b.logLosses(&episodes)
		case <-b.closing:
			return
		}
	}
}

// Close stops the bus. While NATS is there it first waits until what has been published is
// there too, or ctx ends. It may be called twice, and without Start.
func (b *Bus) Close(ctx context.Context) {
	b.once.Do(func() {
		close(b.closing)
		if b.cancel == nil {
			return
		}
		b.settle(ctx)
		if s := b.session.Load(); s != nil && ctx.Err() == nil && s.announce(announcement{Bye: true}) == nil {
			_ = s.nc.FlushTimeout(slowestBye) // else the others find out by themselves
		}
		if lost := b.out.close(); lost > 0 {
			b.counters.lost[LossStopped].Add(lost)
			b.config.Log.Warn("messages for other nodes are lost: NATS did not take them before the stop", "messages", lost)
		}
		b.cancel()
	})
	b.done.Wait()
}

// settle waits until NATS has everything.
func (b *Bus) settle(ctx context.Context) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for b.session.Load() != nil && !b.out.settled() {
		b.hasten()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// hasten has the session ask NATS at once whether it has what was sent.
func (b *Bus) hasten() {
	select {
	case b.hurry <- struct{}{}:
	default:
	}
}
