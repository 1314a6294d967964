//go:build linux

package conn

import "slices"

// conflates reports whether the policy Conflate has to look at the frames of s, which
// may be nil.
func (g *Group) conflates(s *Shared) bool {
	return g.SlowConsumer == Conflate && s != nil && (s.key != "" || s.split != nil)
}

// singles are the frames of s, each by itself.
func (s *Shared) singles() []*Shared {
	if s.parts == nil {
		if s.parts = []*Shared{s}; s.split != nil {
			s.parts = s.split()
		}
	}
	return s.parts
}

// supersede takes out what has not begun to leave and is replaced by one of parts.
func (o *outbound) supersede(g *Group, parts []*Shared) {
	n := 0
	for _, p := range parts {
		n += o.replace(g, p.key, o.begun())
	}
	g.conflated(n)
}

// shareEach appends parts, of which the first left bytes have been written. It leaves out
// what is replaced by others of them.
func (o *outbound) shareEach(g *Group, parts []*Shared, left int) {
	n, from := 0, len(o.segs)
	for _, p := range parts {
		if left >= len(p.b) {
			left -= len(p.b)
			p.tell(Sent)
			continue
		}
		n += o.replace(g, p.key, from)
		p.retain(g)
		o.share(p.b[left:], p, 1)
		if left > 0 {
			o.partial = true
			left, from = 0, len(o.segs)
		}
	}
	g.conflated(n)
}

// replace takes out the frame with key among segs[from:], where there is at most one,
// and returns how many that were. It begins at the end: what changes often is there.
func (o *outbound) replace(g *Group, key string, from int) int {
	if key == "" {
		return 0
	}
	for i := len(o.segs) - 1; i >= from; i-- {
		if s := o.segs[i].whole; s != nil && s.key == key {
			o.leave(g, &o.segs[i], Dropped)
			o.segs = slices.Delete(o.segs, i, i+1)
			return 1
		}
	}
	return 0
}

func (g *Group) conflated(n int) {
	if n > 0 {
		g.Stats.Conflated.Add(uint64(n))
	}
}
