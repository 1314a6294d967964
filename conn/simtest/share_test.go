//go:build roostsim

package simtest

import (
	"fmt"
	"maps"
	"slices"

	"roost/conn"
	"roost/conn/frame"
	"roost/poller/sim"
)

// mostJoined is how many frames share sends at most.
const mostJoined = 3

// share sends frames in a Shared that is watched, each perhaps with a key.
func (s *session) share(lane string, op frame.Opcode, text string) {
	var joined []byte
	var parts []*conn.Shared
	var all quotes
	for i := range 1 + sim.Pick(mostJoined) {
		x := s.record(lane, op, fmt.Sprintf("%s/%d", text, i))
		x.watched = true
		x.key = one("", "a", "b")
		b := frame.Prepare(op, []byte(x.payload)).Bytes()
		part := new(conn.Shared)
		part.Set(b, 1)
		part.SetKey(x.key)
		part.Watch(x)
		joined, parts, all = append(joined, b...), append(parts, part), append(all, x)
	}
	whole := parts[0]
	if len(parts) > 1 {
		whole = new(conn.Shared)
		whole.Set(joined, len(parts))
		whole.SetParts(func() []*conn.Shared { return parts })
		whole.Watch(all)
	}
	err := s.conn.SendShared(whole)
	for _, x := range all {
		x.err, x.pending = err, false
		if err == conn.ErrDropped {
			s.run.dropped++
		}
	}
}

// Told is part of conn.Watcher.
func (x *sending) Told(f conn.Fate) {
	x.told++
	x.fate = f
	sim.Note("fate of %.40q: %d", x.payload, f)
	s := x.session
	shed := s.why == conn.ReasonSlowConsumer || s.why == conn.ReasonWriteQueueTotal
	if x.told > 1 || f == conn.Closed && s.state < conn.StateFailed {
		sim.Fail("%v is %v and tells of %q fate %d, the %d. time", s, s.state, x.payload, f, x.told)
	}
	if f == conn.Dropped && !shed {
		if s.run.conflated++; s.run.plan.conn.SlowConsumer != conn.Conflate || x.key == "" {
			sim.Fail("%v drops %q of key %q", s, x.payload, x.key)
		}
	}
}

// quotes are the frames of one Shared.
type quotes []*sending

// Told is part of conn.Watcher.
func (q quotes) Told(f conn.Fate) {
	for _, x := range q {
		x.Told(f)
	}
}

// lost reports whether it is known that x will not come, though the connection may live.
func (x *sending) lost() bool { return x.err != nil || x.told > 0 && x.fate == conn.Dropped }

// fates fails unless each watched frame of s that was taken has had its fate.
func (s *session) fates() {
	for _, name := range slices.Sorted(maps.Keys(s.lanes)) {
		for _, x := range s.lanes[name] {
			if x.watched && !x.pending && (x.told == 1) != (x.err == nil) {
				sim.Fail("sending %q to %v gave %v, and its fate was told %d times", x.payload, s, x.err, x.told)
			}
		}
	}
}
