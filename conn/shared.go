//go:build linux

package conn

import "sync/atomic"

// Shared is whole frames, one behind the other, for any number of connections.
// One goroutine sends it to all of them; their queues let go of it at any time.
type Shared struct {
	// Static while held.
	b       []byte
	frames  int
	key     string
	watcher Watcher

	// Owned by the goroutine that sends.
	split func() []*Shared
	parts []part // what split has returned

	queues atomic.Int32 // that hold b
}

// Fate is what became of a [Shared] on its way to one connection.
type Fate uint8

const (
	// Sent: the kernel has accepted its last byte.
	Sent Fate = iota
	// Dropped: it was given up before it began to leave, because the client is slow: a
	// frame of the same key replaced it, the queue was full, or memory was short.
	Dropped
	// Closed: the connection ended before.
	Closed
)

// Watcher is told the fates of a [Shared], see [Shared.Watch].
type Watcher interface {
	// Told is called by SendShared or later, under the lock of a connection, so it must
	// not block and must not call one. For different connections it runs at the same time.
	Told(Fate)
}

// Set says what s holds from now on: b, with so many frames in it, without a key,
// parts and a watcher. Like the other setters it may be called unless s is held.
func (s *Shared) Set(b []byte, frames int) {
	s.b, s.frames, s.key, s.watcher = b, frames, "", nil
	s.split, s.parts = nil, nil
}

// SetKey makes s, which holds a single frame, the latest value of key: under the policy
// [Conflate] it replaces whatever waits with the same key. "" is no key.
func (s *Shared) SetKey(key string) { s.key = key }

// SetParts is for s with several frames, some of which have a key. split returns a
// Shared for each, in order, that holds the same bytes. It is called at most once, by
// SendShared, when the first connection needs them that is behind and under the
// policy [Conflate]: its queue takes the parts in the place of s.
func (s *Shared) SetParts(split func() []*Shared) { s.split = split }

// Watch has w told one fate for each SendShared that returns nil: that of all frames of s,
// of which the first may have left when a connection ends. Where parts take the place of
// s, their watchers are told, each once, and w is not. When s is not held, all has been told.
func (s *Shared) Watch(w Watcher) { s.watcher = w }

// Held reports whether a queue holds s. Nobody may change its bytes meanwhile. It
// never becomes true by itself: only SendShared makes it so.
func (s *Shared) Held() bool { return s.queues.Load() != 0 }

// tell takes nil for what nobody shares.
func (s *Shared) tell(f Fate) {
	if s != nil && s.watcher != nil {
		s.watcher.Told(f)
	}
}

// retain is called for each queue that s enters. The first one counts its bytes:
// however many hold them, they are in memory once.
func (s *Shared) retain(g *Group) {
	if s.queues.Add(1) == 1 {
		g.queued(len(s.b))
	}
}

func (s *Shared) release(g *Group, f Fate) {
	// These come first: behind the last release s may be set anew.
	n := len(s.b)
	s.tell(f)
	if s.queues.Add(-1) == 0 {
		g.queued(-n)
	}
}
