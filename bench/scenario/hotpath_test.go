package scenario

import (
	"testing"
	"time"

	"roost/bench"
)

// prepared is an agent that has no connection open: what it does with messages
// can be tried without any.
func prepared(t testing.TB, spec Spec) *session {
	t.Helper()
	spec = spec.withDefaults()
	s := &session{cfg: bench.Config{URLs: []string{"ws://127.0.0.1:1/"}, Conns: spec.Conns()}, spec: spec, measured: true}
	s.owner = make([]uint8, s.cfg.Conns)
	var err error
	if s.cl, err = bench.NewClient(s.cfg, s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cl.Release() })
	if err := s.assign(); err != nil {
		t.Fatal(err)
	}
	return s
}

// startRoom lets every connection be a member, and the room have one publisher
// that has sent count messages. It is this agent's if local.
func startRoom(s *session, count uint32, local bool) *room {
	w := s.parts[0].(*room)
	w.started = true
	for i := range w.members {
		w.members[i].in = true
	}
	w.in, w.live = int64(len(w.members)), int64(len(w.members))
	w.sequences = bench.NewSequences(len(w.members), 1)
	p := w.publish[0]
	p.planned = int64(count)
	w.publishers = []publisher{{left: make([]uint32, 0, count), fanOut: make([]uint32, 0, count)}}
	if local {
		p.senders = []sender{{group: p, conn: s.cl.Conn(p.slots.from), sent: count, quota: count}}
		p.total = int64(count)
		w.publishers[0].local = &p.senders[0]
	}
	return w
}

// published are the messages of a room's only publisher, sent a nanosecond apart.
func published(w *room, count int) [][]byte {
	payloads := make([][]byte, count)
	for i := range payloads {
		payloads[i] = w.publish[0].payloads.Append(nil, bench.Stamp{Sequence: uint32(i + 1), Sent: time.Duration(i)})
	}
	return payloads
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	const count = 1001 // AllocsPerRun makes one call more than it is asked for
	s := prepared(t, Spec{Groups: []Group{{Role: Publish, Conns: 1}}})
	w := startRoom(s, count, true)
	payloads, next := published(w, count), 0
	got := testing.AllocsPerRun(count-1, func() {
		s.Message(s.cl.Conn(0), bench.OpBinary, payloads[next], time.Duration(next)+time.Millisecond)
		next++
	})
	if got != 0 || w.received != count || w.latency.Count() != count || w.corrupt+w.foreign+w.duplicate+w.outOfOrder != 0 {
		t.Errorf("%v allocations, %d received, want 0 and %d", got, w.received, count)
	}
}

// TestEchoAllocatesNothing has every echo bring about the next message.
func TestEchoAllocatesNothing(t *testing.T) {
	const count = 1001
	s := prepared(t, Spec{Groups: []Group{{Role: Echo, Conns: 1}}})
	w := startEcho(s)
	w.send(0, -1)
	got := testing.AllocsPerRun(count-1, func() {
		s.Message(s.cl.Conn(0), bench.OpBinary, w.scratch, s.cl.Now())
	})
	if got != 0 || w.received != count || w.total != count+1 || w.corrupt+w.foreign+w.duplicate+w.outOfOrder != 0 {
		t.Errorf("%v allocations, %d received, %d sent, want 0, %d and one more", got, w.received, w.total, count)
	}
}

// startEcho lets every connection of the only group take part.
func startEcho(s *session) *echo {
	w := s.parts[0].(*echo)
	w.begun, w.left = true, len(w.peers)
	for i := range w.peers {
		w.peers[i].in = true
	}
	return w
}

func BenchmarkDelivery(b *testing.B) {
	const count = 4096
	s := prepared(b, Spec{Groups: []Group{{Role: Publish, Conns: 1}}})
	w := startRoom(s, count, true)
	payloads := published(w, count)
	for i := 0; b.Loop(); i++ {
		if i%count == 0 {
			w.sequences = bench.NewSequences(1, 1)
		}
		s.Message(s.cl.Conn(0), bench.OpBinary, payloads[i%count], time.Duration(i)+time.Millisecond)
	}
}
