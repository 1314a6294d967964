package cluster

import (
	"sync"

	"github.com/nats-io/nats.go"
)

// interest is which topics have members here, and which of them the connection subscribes to.
// Everything in it is a topic with members or a subscription, so that bounds it.
type interest struct {
	wake chan struct{} // holds one when there is something to subscribe to

	mu      sync.Mutex
	members map[string]struct{}           // topics that have any
	subs    map[string]*nats.Subscription // nil while it is being made
	missing map[string]struct{}           // with members and without a subscription
	idle    map[string]int                // with a subscription and without members: sweeps since
}

func newInterest() *interest {
	return &interest{
		wake: make(chan struct{}, 1), members: map[string]struct{}{},
		subs: map[string]*nats.Subscription{}, missing: map[string]struct{}{}, idle: map[string]int{},
	}
}

// set says whether topic has members. It never waits for NATS.
func (n *interest) set(topic string, members bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, subscribed := n.subs[topic]
	switch {
	case members && subscribed:
		n.members[topic] = struct{}{}
		delete(n.idle, topic)
	case members:
		n.members[topic] = struct{}{}
		n.missing[topic] = struct{}{}
		select {
		case n.wake <- struct{}{}:
		default:
		}
	default:
		delete(n.members, topic)
		delete(n.missing, topic)
		if subscribed {
			n.idle[topic] = 0
		}
	}
}

// begin forgets the subscriptions of a connection that has ended.
func (n *interest) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.subs)
	clear(n.idle)
	for topic := range n.members {
		n.missing[topic] = struct{}{}
	}
}

// next takes up to cap(some) topics to subscribe to; made has to be called for each.
func (n *interest) next(some []string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for topic := range n.missing {
		if len(some) == cap(some) {
			break
		}
		delete(n.missing, topic)
		n.subs[topic] = nil
		some = append(some, topic)
	}
	return some
}

func (n *interest) made(topic string, sub *nats.Subscription) {
	n.mu.Lock()
	n.subs[topic] = sub
	n.mu.Unlock()
}

// sweep takes the subscriptions that have been without members since the sweep before. Between
// next and made it must not be called.
func (n *interest) sweep() (unused []*nats.Subscription) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for topic, sweeps := range n.idle {
		if sweeps == 0 {
			n.idle[topic] = 1
			continue
		}
		unused = append(unused, n.subs[topic])
		delete(n.subs, topic)
		delete(n.idle, topic)
	}
	return unused
}

// count is the number of subscriptions to topics.
func (n *interest) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.subs)
}
