//go:build linux

package hub

import (
	"roost/conn"
	"roost/conn/frame"
)

// form is the items of a fan-out as some connections get them: plain, or compressed for a
// size of window. It is owned by its shard's broadcaster.
type form struct {
	out   *conn.Shared // nil until somebody needs it for the items that are being sent
	own   *conn.Shared // what out is, unless nothing has become shorter: then it is that of plain
	batch []byte       // the frames of the items, joined, if they are several
	size  int          // bytes of out
}

const (
	plain   = 0 // the window of those who have not agreed to compression
	windows = frame.MaxWindow - frame.LeastWindow + 1
)

// formAt is the form for a window, or for plain.
func (s *shard) formAt(window int) *form {
	if window == plain {
		return &s.forms[plain]
	}
	return &s.forms[1+window-frame.LeastWindow]
}

// formFor is what c gets. The first that needs a form has it made.
func (s *shard) formFor(c *conn.Conn) *conn.Shared {
	window := c.Window()
	if f := s.formAt(window); f.out != nil {
		return f.out
	}
	return s.make(window)
}

// make has the items in the form for a window.
func (s *shard) make(window int) *conn.Shared {
	f := s.formAt(window)
	b := s.join(f, window)
	if f.size = len(b); window != plain && f.size == s.forms[plain].size {
		f.out = s.forms[plain].out
		return f.out
	}
	if f.own == nil {
		f.own = new(conn.Shared)
	}
	f.out = f.own
	f.out.Set(b, len(s.items))
	s.decorate(f.out, window)
	return f.out
}

// join are the bytes of the items: one frame as it is, or several in batch.
func (s *shard) join(f *form, window int) []byte {
	if len(s.items) == 1 {
		return s.bytes(&s.items[0], window)
	}
	f.batch = f.batch[:0]
	for i := range s.items {
		f.batch = append(f.batch, s.bytes(&s.items[i], window)...)
	}
	return f.batch
}

// bytes are the frame of an item for a window.
func (s *shard) bytes(it *item, window int) []byte {
	if window == plain {
		return it.frame.Bytes()
	}
	return it.frame.Deflated(s.hub.config.Compress, window)
}

// done ends a fan-out.
func (f *form) done() {
	f.out = nil
	if f.own != nil && f.own.Held() {
		// Connections' queues have it now.
		f.own, f.batch = nil, nil
	}
}
