package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Query asks for the number of members of topics.
type Query struct {
	Topics []string // these, if there are any; up to MaxTopics
	Prefix string   // else those that begin with it
	Limit  int      // up to so many, those with most members first; 1 to MaxTopics
}

// MaxTopics bounds how many topics an answer has.
const MaxTopics = 1000

// TopicCount is how many members a topic has.
type TopicCount struct {
	Topic   string `json:"topic"`
	Members int    `json:"members"`
}

// Presence is the answer of a fleet.
type Presence struct {
	// Topics are those with members, most members first; of a list of names all, with 0 as well.
	// The order by members is that of each node's first Limit topics; the numbers are of all nodes
	// that have answered.
	Topics []TopicCount `json:"topics"`
	// Nodes is how many there are, as far as this one knows, and Answered how many have told, this one included.
	Nodes    int `json:"nodes"`
	Answered int `json:"answered"`
}

const (
	// mostAsking bounds the requests that one node has under way.
	mostAsking = 4
	// slowestNode is how long is waited for the others.
	slowestNode = 500 * time.Millisecond
	// mostRequest bounds a request, in bytes.
	mostRequest = 256 << 10
)

// request and reply are what nodes send each other, as JSON.
type request struct {
	Topics []string `json:"topics,omitempty"`
	Prefix string   `json:"prefix,omitempty"`
	Limit  int      `json:"limit"`
}

type reply struct {
	Node   string       `json:"node"`
	Topics []TopicCount `json:"topics"`
}

// Count answers for one node: what a Presence says when there is no cluster.
func Count(local Local, q Query) []TopicCount {
	counts := []TopicCount{}
	if len(q.Topics) > 0 {
		names := slices.Clone(q.Topics)
		slices.Sort(names)
		for _, topic := range slices.Compact(names) {
			counts = append(counts, TopicCount{topic, local.Members(topic)})
		}
		return most(counts, MaxTopics)
	}
	full := false // with the first so far, of which the last is the least that counts
	local.Topics(func(topic string, members int) bool {
		t := TopicCount{topic, members}
		if members == 0 || !strings.HasPrefix(topic, q.Prefix) || full && byMembers(t, counts[q.Limit-1]) > 0 {
			return true
		}
		if counts = append(counts, t); len(counts) == 2*q.Limit {
			counts, full = most(counts, q.Limit), true
		}
		return true
	})
	return most(counts, q.Limit)
}

// byMembers puts topics with most members first, and then goes by name.
func byMembers(a, b TopicCount) int {
	return cmp.Or(cmp.Compare(b.Members, a.Members), cmp.Compare(a.Topic, b.Topic))
}

// most are the first n.
func most(counts []TopicCount, n int) []TopicCount {
	slices.SortFunc(counts, byMembers)
	return counts[:min(n, len(counts))]
}

// Presence asks all nodes, and waits half a second for each round at most. A query without names takes two:
// the first finds the topics, the second counts them everywhere. While NATS is away, only this
// node answers. The error is that of ctx.
func (b *Bus) Presence(ctx context.Context, q Query) (Presence, error) {
	select {
	case b.asking <- struct{}{}:
		defer func() { <-b.asking }()
	case <-ctx.Done():
		return Presence{}, ctx.Err()
	}
	p := b.gather(ctx, q)
	if len(q.Topics) == 0 && len(p.Topics) > 0 && p.Answered > 1 {
		named := Query{}
		for _, t := range p.Topics {
			named.Topics = append(named.Topics, t.Topic)
		}
		p = b.gather(ctx, named)
		p.Topics = slices.DeleteFunc(p.Topics, func(t TopicCount) bool { return t.Members == 0 }) // left in between
	}
	return p, ctx.Err()
}

// gather asks once.
func (b *Bus) gather(ctx context.Context, q Query) Presence {
	sum := map[string]int{}
	add := func(counts []TopicCount) {
		for _, t := range counts {
			sum[t.Topic] += t.Members
		}
	}
	add(Count(b.local, q))
	if len(q.Topics) > 0 { // all are in the sum, and nothing else shall be
		all := add
		add = func(counts []TopicCount) {
			all(slices.DeleteFunc(counts, func(t TopicCount) bool { _, asked := sum[t.Topic]; return !asked }))
		}
	}
	p := Presence{Nodes: 1 + b.nodes.known(), Answered: 1}
	if s := b.session.Load(); s != nil && p.Nodes > 1 {
		s.ask(ctx, q, p.Nodes-1, func(r reply) {
			p.Answered++
			add(r.Topics)
		})
		p.Nodes = max(p.Nodes, p.Answered)
	}
	p.Topics = make([]TopicCount, 0, len(sum))
	for topic, members := range sum {
		p.Topics = append(p.Topics, TopicCount{topic, members})
	}
	limit := q.Limit
	if len(q.Topics) > 0 {
		limit = MaxTopics
	}
	p.Topics = most(p.Topics, limit)
	return p
}

// ask gives each node's answer to tell, until the expected number has come or time is over.
func (s *session) ask(ctx context.Context, q Query, expected int, tell func(reply)) {
	b := s.bus
	answers := make(chan *nats.Msg, expected+16)
	subject := b.subjects.answer + b.name + "." + strconv.FormatUint(b.asked.Add(1), 10)
	sub, err := s.nc.ChanSubscribe(subject, answers)
	if err != nil {
		return
	}
	defer func() { _ = sub.Unsubscribe() }() // fails when the connection has ended
	body, _ := json.Marshal(request(q))
	if s.nc.PublishRequest(b.subjects.presence, subject, body) != nil {
		return
	}
	timer := time.NewTimer(slowestNode)
	defer timer.Stop()
	for heard := map[string]bool{}; len(heard) < expected; {
		select {
		case m := <-answers:
			var r reply
			if json.Unmarshal(m.Data, &r) == nil && r.valid(q) && !heard[r.Node] && len(heard) < mostNodes {
				heard[r.Node] = true
				tell(r)
			}
		case <-timer.C:
			return
		case <-s.ctx.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// valid reports whether a reply answers q, and with no more than was asked for.
func (r *reply) valid(q Query) bool {
	if r.Node == "" || len(r.Topics) > max(len(q.Topics), q.Limit) {
		return false
	}
	for _, t := range r.Topics {
		if t.Members < 0 || !validTopic(t.Topic) {
			return false
		}
	}
	return true
}
