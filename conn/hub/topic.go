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

	members int // guarded by its stripe's mu
}

func newTopic(name string, shards int) *topic {
	t := &topic{name: name, parts: make([]atomic.Pointer[part], shards)}
	t.alone = []*topic{t}
	return t
}

// topics are those of a hub that have members. They are spread over stripes by name, so that
// a walk over a million of them holds up few at a time.
type topics struct {
	// Static.
	everyone   *topic // the default topic, in no stripe
	shards     int
	onInterest func(topic string, members bool)

	stripes       [stripes]stripe
	size          atomic.Int64 // topics in stripes
	subscriptions atomic.Int64
}

const stripes = 64

type stripe struct {
	mu     sync.RWMutex
	byName map[string]*topic // guarded by mu
}

// stripe is where a topic of that name is, if there is one.
func (ts *topics) stripe(name string) *stripe {
	hash := uint32(2166136261) // FNV-1a; who makes names meet gains a slower lock
	for i := range len(name) {
		hash = (hash ^ uint32(name[i])) * 16777619
	}
	return &ts.stripes[hash%stripes]
}

// join counts a member of a topic, which it makes if need be.
func (ts *topics) join(name string) *topic {
	st := ts.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	t := st.byName[name]
	if t == nil {
		t = newTopic(name, ts.shards)
		if st.byName == nil {
			st.byName = map[string]*topic{}
		}
		st.byName[name] = t
		ts.size.Add(1)
		if ts.onInterest != nil {
			ts.onInterest(name, true)
		}
	}
	t.members++
	ts.subscriptions.Add(1)
	return t
}

// leave is the end of one membership.
func (ts *topics) leave(t *topic) {
	st := ts.stripe(t.name)
	st.mu.Lock()
	defer st.mu.Unlock()
	ts.subscriptions.Add(-1)
	if t.members--; t.members == 0 {
		delete(st.byName, t.name)
		ts.size.Add(-1)
		if ts.onInterest != nil {
			ts.onInterest(t.name, false)
		}
	}
}

// find is the topic of that name and how many members it has; nil and 0 if it has none.
func (ts *topics) find(name string) (t *topic, members int) {
	st := ts.stripe(name)
	st.mu.RLock()
	defer st.mu.RUnlock()
	if t = st.byName[name]; t != nil {
		members = t.members
	}
	return t, members
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
	if member, others := s.isMember(slot, name); member {
		return nil
	} else if most > 0 && others >= most {
		return ErrTooManyTopics
	}
	s.subscribe(slot, c, h.topics.join(name))
	return nil
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

// Members is the number of connections in a topic. Those whose handshake is not complete
// count in the default one only if Config.Open is nil.
func (h *Hub) Members(name string) int {
	if name == h.topics.everyone.name {
		return max(0, h.config.Open()-int(h.apart.Load()))
	}
	_, n := h.topics.find(name)
	return n
}

// Topics yields the topics that have members, with how many, in no order; one that comes or
// goes meanwhile may be missing. The loop body holds a lock that joining, leaving and publishing
// to some topics need: it must be short, and not call the hub.
func (h *Hub) Topics() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		if !yield(h.topics.everyone.name, h.Members(h.topics.everyone.name)) {
			return
		}
		for i := range h.topics.stripes {
			if !h.topics.stripes[i].each(yield) {
				return
			}
		}
	}
}

func (st *stripe) each(yield func(string, int) bool) bool {
	st.mu.RLock()
	defer st.mu.RUnlock()
	for name, t := range st.byName {
		if !yield(name, t.members) {
			return false
		}
	}
	return true
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
	for _, name := range names {
		if t, n := h.topics.find(name); t != nil && !slices.Contains(to, t) {
			members += n
			if len(names) == 1 {
				return t.alone, members
			}
			to = append(to, t)
		}
	}
	return to, members
}
