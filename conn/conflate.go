//go:build linux

package conn

import "slices"

// part is a frame of a Shared as the policy Conflate looks at it.
type part struct {
	*Shared
	stale bool // one with its key follows in the same Shared
}

// conflates reports whether the policy Conflate has to look at the frames of s, which
// may be nil.
func (g *Group) conflates(s *Shared) bool {
	return g.SlowConsumer == Conflate && s != nil && (s.key != "" || s.split != nil)
}

// takeApart is the frames of s, each by itself.
func (s *Shared) takeApart() []part {
	switch {
	case s.parts != nil:
	case s.split == nil:
		s.parts = []part{{Shared: s}}
	default:
		for _, one := range s.split() {
			s.parts = append(s.parts, part{Shared: one})
		}
		seen := map[string]bool{}
		for i := len(s.parts) - 1; i >= 0; i-- {
			if p := &s.parts[i]; p.key != "" {
				p.stale = seen[p.key]
				seen[p.key] = true
			}
		}
	}
	return s.parts
}

// supersede takes out what has not begun to leave and is replaced by one of parts.
func (o *outbound) supersede(g *Group, parts []part) {
	n, next := 0, 0
	for _, p := range parts {
		if p.key == "" || p.stale {
			continue
		}
		if i := o.find(p.key, next); i >= 0 {
			o.leave(g, &o.segs[i], Dropped)
			o.segs[i] = segment{}
			n, next = n+1, i+1
		}
	}
	switch n {
	case 0:
		return
	case 1: // a plain move of memory
		o.segs = slices.Delete(o.segs, next-1, next)
	default:
		o.segs = slices.DeleteFunc(o.segs, func(seg segment) bool { return seg.b == nil })
	}
	g.Stats.Conflated.Add(uint64(n))
}

// find is the place of the frame with key that has not begun to leave, of which there
// is at most one; -1 if there is none. It looks at guess first, where it is when keys
// come in the same order again, and then from the end, where those are that come often.
func (o *outbound) find(key string, guess int) int {
	from := o.begun()
	if guess >= from && guess < len(o.segs) && o.segs[guess].has(key) {
		return guess
	}
	for i := len(o.segs) - 1; i >= from; i-- {
		if o.segs[i].has(key) {
			return i
		}
	}
	return -1
}

func (s *segment) has(key string) bool { return s.whole != nil && s.whole.key == key }

// shareEach appends parts that are not stale. The first left bytes of them all have been
// written.
func (o *outbound) shareEach(g *Group, parts []part, left int) {
	n := 0
	for _, p := range parts {
		switch {
		case left >= len(p.b):
			left -= len(p.b)
			p.tell(Sent)
		case p.stale && left == 0:
			p.tell(Dropped)
			n++
		default:
			p.retain(g)
			o.share(p.b[left:], p.Shared, 1)
			o.partial = o.partial || left > 0
			left = 0
		}
	}
	if n > 0 {
		g.Stats.Conflated.Add(uint64(n))
	}
}
