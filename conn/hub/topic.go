//go:build linux

package hub

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"roost/conn"
)

// MaxTopic is the longest name of a topic, in bytes.
const MaxTopic = 128

// DefaultTopic is the name of the topic that everybody starts in, unless Config says
// otherwise.
const DefaultTopic = "all"

// Errors of topics.
var (
	ErrTopicName     = fmt.Errorf("a topic has 1 to %d letters, digits and -._~:/@", MaxTopic)
	ErrTooManyTopics = errors.New("too many topics for one connection")
)

// CheckTopic returns ErrTopicName when name is none. The alphabet is what a URL may
// have in its query as it is (RFC 3986 section 3.4), without what separates parameters.
func CheckTopic[T string | []byte](name T) error {
	if len(name) == 0 || len(name) > MaxTopic {
		return ErrTopicName
	}
	for i := range len(name) {
		switch b := name[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		case b == '-', b == '.', b == '_', b == '~', b == ':', b == '/', b == '@':
		default:
			return ErrTopicName
		}
	}
	return nil
}

// topic is a set of connections that has a name. It exists while it has members. The
// default topic is another matter: its members are all connections except for those
// that a shard keeps apart, and its parts are not used.
type topic struct {
	// Static.
	name  string
	alone []*topic               // itself, the audience of most messages
	parts []atomic.Pointer[part] // by shard; set once, under the shard's mu

	members int // guarded by topics.mu
}

func newTopic(name string, shards int) *topic {
	t := &topic{name: name, parts: make([]atomic.Pointer[part], shards)}
	t.alone = []*topic{t}
	return t
}

// topics are those of a hub that have members, by name.
type topics struct {
	everyone *topic // the default topic, static
	shards   int    // static

	mu            sync.RWMutex
	byName        map[string]*topic // guarded by mu; without everyone
	subscriptions int               // guarded by mu
	onInterest    func(topic string, members bool)
}

// join counts a member of a topic, which it makes if need be.
func (ts *topics) join(name string) *topic {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.byName[name]
	if t == nil {
		t = newTopic(name, ts.shards)
		ts.byName[name] = t
		if ts.onInterest != nil {
			ts.onInterest(name, true)
		}
	}
	t.members++
	ts.subscriptions++
	return t
}

// leave is the end of one membership.
func (ts *topics) leave(t *topic) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.subscriptions--
	if t.members--; t.members == 0 {
		delete(ts.byName, t.name)
		if ts.onInterest != nil {
			ts.onInterest(t.name, false)
		}
	}
}

// Subscribe makes c a member of a topic, whose name has been checked; being one already
// is no error. It returns [ErrTooManyTopics] when c is in most topics, not counting the
// default one; 0 means that there is no bound. Calls for one connection must not overlap,
// and come between Join and Leave.
func (h *Hub) Subscribe(c *conn.Conn, name string, most int) error {
	s, slot := h.place(c)
	if name == h.topics.everyone.name {
		s.setApart(slot, false)
		return nil
	}
	t := h.topics.join(name)
	added, err := s.subscribe(slot, c, t, most)
	if !added {
		h.topics.leave(t)
	}
	return err
}

// Unsubscribe ends the membership of c in a topic and reports whether there was one. The
// rules of Subscribe apply.
func (h *Hub) Unsubscribe(c *conn.Conn, name string) bool {
	s, slot := h.place(c)
	if name == h.topics.everyone.name {
		return s.setApart(slot, true)
	}
	t := s.unsubscribe(slot, name)
	if t != nil {
		h.topics.leave(t)
	}
	return t != nil
}

// TopicsOf are the names of the topics that c is in, in no order.
func (h *Hub) TopicsOf(c *conn.Conn) []string {
	var names []string
	for _, t := range h.audienceOf(c) {
		names = append(names, t.name)
	}
	return names
}

// Members is the number of connections in a topic.
func (h *Hub) Members(name string) int {
	if name == h.topics.everyone.name {
		return h.Len() - int(h.apart.Load())
	}
	h.topics.mu.RLock()
	defer h.topics.mu.RUnlock()
	if t := h.topics.byName[name]; t != nil {
		return t.members
	}
	return 0
}

// Topics yields the topics that have members, with how many, in no order. The loop body
// holds a lock that joining and leaving topics needs: it must be short, and not call
// the hub.
func (h *Hub) Topics() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		if !yield(h.topics.everyone.name, h.Members(h.topics.everyone.name)) {
			return
		}
		h.topics.mu.RLock()
		defer h.topics.mu.RUnlock()
		for name, t := range h.topics.byName {
			if !yield(name, t.members) {
				return
			}
		}
	}
}

// audienceOf are the topics that c is in, the default one first.
func (h *Hub) audienceOf(c *conn.Conn) []*topic {
	if !h.parted.Load() {
		return h.topics.everyone.alone // nobody has ever asked for anything else
	}
	s, slot := h.place(c)
	return s.topicsOf(slot)
}

// audience are the topics of those names that have members, the default one first and
// each once, and how many members they have in all. No names mean the default topic.
func (h *Hub) audience(names []string) (to []*topic, members int) {
	everyone := h.topics.everyone
	if len(names) == 0 || len(names) == 1 && names[0] == everyone.name {
		return everyone.alone, h.Members(everyone.name)
	}
	if slices.Contains(names, everyone.name) {
		to, members = append(to, everyone), h.Members(everyone.name)
	}
	h.topics.mu.RLock()
	defer h.topics.mu.RUnlock()
	for _, name := range names {
		if t := h.topics.byName[name]; t != nil && !slices.Contains(to, t) {
			members += t.members
			if len(names) == 1 {
				return t.alone, members
			}
			to = append(to, t)
		}
	}
	return to, members
}
