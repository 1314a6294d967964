//go:build linux

package conn

import "sync/atomic"

// Shared is whole frames, one behind the other, for any number of connections.
// One goroutine sends it to all of them; their queues let go of it at any time.
type Shared struct {
	// Static while held.
	b      []byte
	frames int

	queues atomic.Int32 // that hold b
}

// Set says what s holds from now on: b, with so many frames in it. It may be
// called unless s is held.
func (s *Shared) Set(b []byte, frames int) { s.b, s.frames = b, frames }

// Held reports whether a queue holds s. Nobody may change its bytes meanwhile. It
// never becomes true by itself: only SendShared makes it so.
func (s *Shared) Held() bool { return s.queues.Load() != 0 }

// retain is called for each queue that s enters. The first one counts its bytes:
// however many hold them, they are in memory once.
func (s *Shared) retain(g *Group) {
	if s.queues.Add(1) == 1 {
		g.queued(len(s.b))
	}
}

func (s *Shared) release(g *Group) {
	// The length comes first: behind the last release s may be set anew.
	n := len(s.b)
	if s.queues.Add(-1) == 0 {
		g.queued(-n)
	}
}
