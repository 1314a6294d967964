//go:build linux

package hub

import (
	"slices"

	"roost/conn"
)

// subscription is one connection in one topic. It takes 32 bytes, and one or two words of
// the part's list.
type subscription struct {
	conn  *conn.Conn
	topic *topic
	next  *subscription // of the same connection; guarded by the shard's mu
	at    uint32        // index into the part's members; guarded by the shard's mu
}

// part is the members of a topic in one shard, guarded by the shard's mu. There are no
// gaps in it. During a fan-out those that have been visited come first, then those that will
// be, then those that have joined meanwhile, and all stay on their side when somebody leaves.
type part struct {
	members []*subscription
	// Both are 0 when no fan-out is under way.
	visited int // the first so many have been visited
	due     int // the first so many were there when the fan-out began
}

func (p *part) add(sub *subscription) {
	sub.at = uint32(len(p.members))
	p.members = append(p.members, sub)
}

func (p *part) remove(sub *subscription) {
	gap := int(sub.at)
	for _, edge := range [...]*int{&p.visited, &p.due} {
		if gap < *edge {
			*edge--
			gap = p.move(*edge, gap)
		}
	}
	last := p.move(len(p.members)-1, gap)
	p.members[last] = nil
	p.members = p.members[:last]
	if room := cap(p.members); room > 8 && len(p.members) <= room/4 {
		p.members = append(make([]*subscription, 0, room/2), p.members...)
	}
}

// move fills the gap with the member at from, and returns where the gap is now.
func (p *part) move(from, gap int) int {
	if from != gap { // else who is there has been moved already, or is the one who leaves
		p.members[gap] = p.members[from]
		p.members[gap].at = uint32(gap)
	}
	return from
}

// apartment is what a chunk has when one of its connections has asked for topics.
type apartment struct {
	apart [(chunkSlots + 63) / 64]uint64 // bit set: not in the default topic
	round [chunkSlots]uint32             // the last of shard.round in which the slot was served
	subs  [chunkSlots]*subscription      // the first of each slot
}

func (a *apartment) isApart(i int) bool { return a.apart[i/64]>>(i%64)&1 != 0 }

// setApart takes the connection of a slot out of the default topic, or into it, and
// reports whether that changed anything.
func (s *shard) setApart(slot int, apart bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, i := s.apartment(slot)
	if a.isApart(i) == apart {
		return false
	}
	a.apart[i/64] ^= 1 << (i % 64)
	if apart {
		s.hub.apart.Add(1)
	} else {
		s.hub.apart.Add(-1)
	}
	return true
}

// apartment is that of the chunk that slot is in, and the index of slot there.
func (s *shard) apartment(slot int) (*apartment, int) {
	ch := s.chunks[slot/chunkSlots]
	if ch.topics == nil {
		ch.topics = new(apartment)
		s.hub.parted.Store(true)
	}
	return ch.topics, slot % chunkSlots
}

// isMember reports whether the connection of a slot is in a topic, and in how many others.
func (s *shard) isMember(slot int, name string) (member bool, others int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.chunks[slot/chunkSlots].topics
	if a == nil {
		return false, 0
	}
	for sub := a.subs[slot%chunkSlots]; sub != nil; sub = sub.next {
		if sub.topic.name == name {
			member = true
		} else {
			others++
		}
	}
	return member, others
}

// subscribe makes c, which has that slot, a member of t, which it is not.
func (s *shard) subscribe(slot int, c *conn.Conn, t *topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, i := s.apartment(slot)
	p := t.parts[s.index].Load()
	if p == nil {
		p = new(part)
		t.parts[s.index].Store(p)
	}
	sub := &subscription{conn: c, topic: t, next: a.subs[i]}
	a.subs[i] = sub
	p.add(sub)
}

// unsubscribe returns the topic that the connection of a slot was a member of, nil if it
// was not.
func (s *shard) unsubscribe(slot int, name string) *topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, i := s.apartment(slot)
	for at := &a.subs[i]; *at != nil; at = &(*at).next {
		if sub := *at; sub.topic.name == name {
			*at = sub.next
			sub.topic.parts[s.index].Load().remove(sub)
			return sub.topic
		}
	}
	return nil
}

// vacate ends all memberships of a slot that is becoming free, and returns them. The
// caller holds mu.
func (s *shard) vacate(ch *chunk, i int) (subs *subscription) {
	if ch.topics == nil {
		return nil
	}
	if ch.topics.isApart(i) {
		ch.topics.apart[i/64] ^= 1 << (i % 64)
		s.hub.apart.Add(-1)
	}
	subs, ch.topics.subs[i] = ch.topics.subs[i], nil
	for sub := subs; sub != nil; sub = sub.next {
		sub.topic.parts[s.index].Load().remove(sub)
	}
	return subs
}

// topicsOf are the topics that the connection of a slot is in, the default one first.
func (s *shard) topicsOf(slot int) []*topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	everyone := s.hub.topics.everyone
	a, i := s.chunks[slot/chunkSlots].topics, slot%chunkSlots
	if a == nil {
		return everyone.alone
	}
	first, apart := a.subs[i], a.isApart(i)
	switch {
	case first == nil && apart:
		return nil
	case first == nil:
		return everyone.alone
	case apart && first.next == nil:
		return first.topic.alone
	}
	var all []*topic
	for sub := first; sub != nil; sub = sub.next {
		all = append(all, sub.topic)
	}
	if !apart {
		all = append(all, everyone)
	}
	slices.Reverse(all) // as they were joined
	return all
}

// serve reports whether the connection in slot i of a chunk is to be served, which it
// is once in each round, however many of the topics it is in, joins or leaves meanwhile.
// It always is when round is 0. The caller holds mu.
func (a *apartment) serve(i int, round uint32) bool {
	if round == 0 {
		return true
	}
	if a.round[i] == round {
		return false
	}
	a.round[i] = round
	return true
}

// nextRound begins the fan-out of a message to several topics.
func (s *shard) nextRound() {
	if s.round++; s.round != 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.chunks {
		if ch != nil && ch.topics != nil {
			ch.topics.round = [chunkSlots]uint32{}
		}
	}
	s.round = 1
}

// begin is the start of a fan-out to some topics. Who joins one of them from now on, maybe
// again, is not visited: it might be served twice, and who comes and goes fast enough
// would keep the fan-out from its end.
func (s *shard) begin(to []*topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range to {
		if t == s.hub.topics.everyone {
			continue
		}
		if p := t.parts[s.index].Load(); p != nil {
			p.due = len(p.members)
		}
	}
}

// members copies the next members of t into some: those that the fan-out under way has not
// visited, and that have not been served in round. It reports the end of the fan-out.
func (s *shard) members(t *topic, round uint32, some *[stride]*conn.Conn) (k int, end bool) {
	p := t.parts[s.index].Load()
	if p == nil {
		return 0, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := p.members[p.visited:p.due]
	next = next[:min(len(next), stride)]
	for _, sub := range next {
		slot := int(sub.conn.Slot()) / len(s.hub.shards)
		if s.chunks[slot/chunkSlots].topics.serve(slot%chunkSlots, round) {
			some[k] = sub.conn
			k++
		}
	}
	if p.visited += len(next); p.visited == p.due {
		p.visited, p.due = 0, 0
		return k, true
	}
	return k, false
}
