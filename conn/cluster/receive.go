package cluster

import "roost/conn/frame"

// take looks at what comes, and never waits for those who get it. What has come before the end of the
// connection is taken, too: nobody sends it again when no other node has lost its own.
func (s *session) take() {
	for {
		select {
		case m := <-s.topics:
			select {
			case s.taken <- struct{}{}:
			default:
			}
			s.bus.receive(m.Data, s.bus.subjects.topicOf(m.Subject))
		case <-s.gone:
			for len(s.topics) > 0 {
				m := <-s.topics
				s.bus.receive(m.Data, s.bus.subjects.topicOf(m.Subject))
			}
			return
		}
	}
}

// receive takes a message on the subject of topic. One goroutine at a time calls it.
func (b *Bus) receive(data []byte, topic string) {
	m, err := parse(data, topic)
	switch {
	case err != nil:
		b.lose(LossMalformed)
		return
	case int64(len(m.payload)) > b.config.MaxMessage:
		b.lose(LossTooLarge)
		return
	case m.from == b.id:
		return
	case m.seq != 0 && !b.seen.fresh(m.from, m.seq):
		b.counters.repeats.Add(1)
		return
	}
	b.counters.in.Add(1)
	b.counters.bytesIn.Add(uint64(len(m.payload)))
	it := item{topics: m.topics, frame: frame.Prepare(m.opcode, m.payload), key: m.key}
	b.in.mu.Lock()
	ok := b.in.push(it, func(*item) { b.lose(LossHubBusy) })
	b.in.mu.Unlock()
	if !ok {
		b.lose(LossTooLarge)
	}
}

// generations is the last number of each node. It forgets half when there are very many.
type generations struct{ young, old map[id]uint64 }

// mostGenerations is the size at which the young become the old.
const mostGenerations = 4096

// fresh reports whether seq is larger than any before of that node, and notes it.
func (g *generations) fresh(from id, seq uint64) bool {
	last, ok := g.young[from]
	if !ok {
		last = g.old[from]
	}
	if seq <= last {
		return false
	}
	if !ok && len(g.young) >= mostGenerations || g.young == nil {
		g.young, g.old = map[id]uint64{}, g.young
	}
	g.young[from] = seq
	return true
}
