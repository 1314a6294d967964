//go:build roostsim

package simtest

import (
	"reflect"
	"slices"
	"strings"

	"roost/conn"
	"roost/conn/frame"
	"roost/conn/hub"
	"roost/poller/sim"
	"roost/poller/sim/context"
)

// broadcast is one that was published.
type broadcast struct {
	payload string
	topics  []string // with members
	key     string
	scope   []string // what was named: the key is of that
}

// topicNames are all topics there are.
var topicNames = []string{hub.DefaultTopic, "a", "b"}

// audience are the topics that a tapped message goes to: those that have members.
func (r *run) audience(to any) (names []string) {
	for i := range reflect.ValueOf(to).Len() {
		names = append(names, reflect.ValueOf(to).Index(i).Elem().FieldByName("name").String())
	}
	return names
}

// subscribe is what a request asks for.
func (s *session) subscribe() {
	if sim.Chance(2) {
		return
	}
	for _, name := range topicNames {
		if sim.Chance(2) {
			s.topics[name] = true
			if err := s.run.hub.Subscribe(s.conn, name, 0); err != nil {
				sim.Fail("%v: %v", s, err)
			}
		} else if s.topics[name] {
			delete(s.topics, name)
			if !s.run.hub.Unsubscribe(s.conn, name) {
				sim.Fail("%v was not in %s", s, name)
			}
		}
	}
}

// move changes the topics of s, as its handler may.
func (s *session) move() {
	s.moved = true
	name := topicNames[sim.Pick(len(topicNames))]
	if s.topics[name] {
		delete(s.topics, name)
		if !s.run.hub.Unsubscribe(s.conn, name) {
			sim.Fail("%v was not in %s", s, name)
		}
	} else {
		s.topics[name] = true
		if err := s.run.hub.Subscribe(s.conn, name, 0); err != nil {
			sim.Fail("%v: %v", s, err)
		}
	}
	if names := s.run.hub.TopicsOf(s.conn); len(names) != len(s.topics) {
		sim.Fail("%v is in %q, not %v", s, names, s.topics)
	}
}

// publish is what any goroutine may call.
func (r *run) publish(op frame.Opcode, text string) {
	ctx := context.New()
	if sim.Chance(2) {
		sim.Go("deadline", ctx.End)
	}
	m := hub.Message{Frame: frame.Prepare(op, []byte("B"+text))}
	for _, name := range topicNames {
		if sim.Chance(3) {
			m.Topics = append(m.Topics, name)
		}
	}
	if m.Topics == nil && sim.Chance(2) {
		m.Topics = topicNames[:1] // which is the same
	}
	if sim.Chance(2) {
		m.Key = one("x", "y")
		r.keyed = true
	}
	if sim.Chance(2) {
		m.Receipt = hub.NewReceipt()
	}
	_, err := r.hub.PublishWait(ctx, m)
	if err != nil && err != hub.ErrClosed && err != ctx.Err() {
		sim.Fail("PublishWait: %v", err)
	}
	if err == nil && m.Receipt != nil {
		r.receipts = append(r.receipts, m.Receipt)
	}
}

// judgeBroadcast fails unless each topic of the message has come so far in order, without
// a gap that nothing explains.
func (c *client) judgeBroadcast(payload string) {
	at, known := c.run.place[payload]
	if !known || c.heard[payload] {
		sim.Fail("%s gets the broadcast %q, known: %v, before: %v", c.name, payload, known, c.heard[payload])
	}
	c.heard[payload] = true
	s, its := c.session, false
	for _, topic := range c.run.published[at].topics {
		if last, some := c.bcast[topic]; some && at <= last {
			sim.Fail("%s gets the broadcast %q, number %d of %s, behind number %d", c.name, payload, at, topic, last)
		}
		if s.topics[topic] {
			its = true
			c.gap(topic, at)
		}
		c.bcast[topic] = at
	}
	if !its && !s.moved {
		sim.Fail("%s gets %q to %q, but is in %v", c.name, payload, c.run.published[at].topics, s.topics)
	}
}

// gap accounts for the broadcasts of a topic before at that have not come.
func (c *client) gap(topic string, at int) {
	next := c.session.first // or before, if it was still waiting when the connection opened
	if last, some := c.bcast[topic]; some {
		next = last + 1
	}
	if c.session.moved {
		return
	}
	for ; next < at; next++ {
		b := c.run.published[next]
		if slices.Contains(b.topics, topic) && !c.heard[b.payload] {
			c.miss(b, next)
		}
	}
}

// miss fails unless the message may have been dropped, or replaced by a later one.
func (c *client) miss(b *broadcast, at int) {
	switch c.run.plan.conn.SlowConsumer {
	case conn.Drop:
		c.heard[b.payload] = true // and is not counted again
		c.missed++
		return
	case conn.Conflate:
		for _, later := range c.run.published[at+1:] {
			if b.key != "" && later.key == b.key && slices.Equal(later.scope, b.scope) {
				return
			}
		}
	}
	sim.Fail("%s, which is in %v since number %d, misses the broadcast %d, %q of key %q to %s", c.name, c.session.topics, c.session.first, at, b.payload, b.key, strings.Join(b.topics, " "))
}

// missing is for a client that has got all that was published before due.
func (c *client) missing(due int) {
	for _, topic := range topicNames {
		if c.session.topics[topic] {
			c.gap(topic, due)
		}
	}
}

// receiptsAtEnd fails unless every receipt is complete, with nobody left behind.
func (r *run) receiptsAtEnd() {
	for _, receipt := range r.receipts {
		ended := context.New()
		ended.End()
		if got := receipt.Wait(ended); !got.Complete || got.Pending != 0 || got.Subscribers != got.Delivered+got.Dropped+got.Closed {
			sim.Fail("a receipt at the end: %+v", got)
		}
	}
}
