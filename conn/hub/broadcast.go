//go:build linux

package hub

import (
	"context"
	"errors"

	"roost/conn"
	"roost/conn/frame"
)

// Errors of publishing.
var (
	// ErrBusy is returned by Broadcast when a FIFO holds its bound and the slack for
	// running handlers on top. The frame was not published, and was counted.
	ErrBusy = errors.New("broadcast queue is full; slow down, or use BroadcastWait")
	// ErrClosed is returned after Seal or Close.
	ErrClosed = errors.New("hub is closed")
)

// Broadcast publishes f to every open connection. It never blocks and is meant
// for OnMessage: [Hub.Admit] stops the reading while a FIFO is full, so that one
// frame from each handler that is running then always finds room. Whoever
// publishes more than one frame per message, or elsewhere, may see [ErrBusy]: see
// BroadcastWait.
func (h *Hub) Broadcast(f *frame.Prepared) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sealed {
		return ErrClosed
	}
	for _, s := range h.shards {
		if s.fifo.over(h.config.QueueFrames+h.config.SlackFrames, h.config.QueueBytes+h.config.SlackBytes) {
			h.refused++
			return ErrBusy
		}
	}
	h.publish(f)
	return nil
}

// BroadcastWait publishes f to every open connection, and first waits for room
// until ctx ends. It must not be called from a Handler that may not block.
func (h *Hub) BroadcastWait(ctx context.Context, f *frame.Prepared) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.congested.Load() && !h.sealed {
		stop := context.AfterFunc(ctx, h.wakeAll)
		defer stop()
		for h.congested.Load() && !h.sealed {
			if err := ctx.Err(); err != nil {
				return err
			}
			h.room.Wait()
		}
	}
	if h.sealed {
		return ErrClosed
	}
	h.publish(f)
	return nil
}

// Admit reports whether a message of c may be handled now. If not, c is held
// and will be released when the FIFOs have room. It is called by the goroutine
// that runs c, see conn.Config.Admit.
func (h *Hub) Admit(c *conn.Conn) bool {
	if !h.congested.Load() {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.congested.Load() || h.closed {
		return true
	}
	c.Hold()
	h.waiters = append(h.waiters, c)
	return false
}

// publish enters f into every FIFO. The caller holds mu: that makes the order the
// same everywhere.
func (h *Hub) publish(f *frame.Prepared) {
	for _, s := range h.shards {
		if s.fifo.frames == 0 {
			s.wake.Signal()
		}
		s.fifo.push(f)
		if s.fifo.over(h.config.QueueFrames, h.config.QueueBytes) {
			h.congested.Store(true)
		}
	}
}

// relieve ends the congestion when every FIFO is at most half full, and returns
// the connections to resume. The caller holds mu, and resumes them without it.
func (h *Hub) relieve() []*conn.Conn {
	if !h.congested.Load() && len(h.waiters) == 0 {
		return nil
	}
	empty := true
	for _, s := range h.shards {
		if s.fifo.over(h.config.QueueFrames/2+1, h.config.QueueBytes/2+1) {
			return nil
		}
		empty = empty && s.fifo.frames == 0
	}
	if h.congested.Swap(false) {
		h.room.Broadcast()
	}
	// Most bring a message: waking more than fit would only pause them again. But
	// when nothing waits, nobody comes by here before the next message, so all go.
	n := len(h.waiters)
	if !empty {
		n = min(n, h.config.QueueFrames/2+1)
	}
	resume := h.waiters[:n:n]
	if h.waiters = h.waiters[n:]; len(h.waiters) == 0 {
		h.waiters = nil
	}
	return resume
}

// fifo is a bounded queue of frames, guarded by the hub's mutex. The bound is its
// user's to keep.
type fifo struct {
	items  []*frame.Prepared
	head   int
	frames int
	bytes  int
	taken  uint64 // frames that have left
}

func (q *fifo) over(frames, bytes int) bool { return q.frames >= frames || q.bytes >= bytes }

func (q *fifo) push(f *frame.Prepared) {
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, f)
	q.frames++
	q.bytes += len(f.Bytes())
}

func (q *fifo) peek() *frame.Prepared { return q.items[q.head] }

func (q *fifo) pop() *frame.Prepared {
	f := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	q.frames--
	q.taken++
	q.bytes -= len(f.Bytes())
	if q.frames == 0 {
		q.items, q.head = q.items[:0], 0
	}
	return f
}
