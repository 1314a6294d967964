//go:build linux

package hub

import (
	"context"
	"errors"
	"slices"
	"strings"

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
	// ErrForbidden is returned by PublishFrom, see Config.MayPublish.
	ErrForbidden = errors.New("publishing is not allowed")
)

// Message is what is published.
type Message struct {
	// Topics are the names of those whose members get the message, once each. None means
	// the default topic. A topic without members is no fault.
	Topics []string
	// Frame is the message, ready to be sent. Required.
	Frame *frame.Prepared
	// Key makes the message the latest value of Key on its topics: a connection that is
	// behind, and conflates, gets this one in place of those that wait with the same Key
	// for the same Topics, see conn.Conflate. "" makes it a message like any other.
	Key string
	// Receipt is told what became of the message. It is for this one only. Nil means that
	// nobody wants to know.
	Receipt *Receipt
	// Remote says that the message comes from another node: it is not relayed.
	Remote bool
}

// Published is what has become of a message.
type Published struct {
	Seq     uint64 // its number among all messages published here, from 1; those of a topic are delivered in this order
	Members int    // of its topics, open or not yet; one that is in several counts for each
}

// Broadcast publishes f to the default topic, see Publish.
func (h *Hub) Broadcast(f *frame.Prepared) error {
	_, err := h.Publish(Message{Frame: f})
	return err
}

// BroadcastWait publishes f to the default topic, see PublishWait.
func (h *Hub) BroadcastWait(ctx context.Context, f *frame.Prepared) error {
	_, err := h.PublishWait(ctx, Message{Frame: f})
	return err
}

// Publish hands m to the broadcasters. It never blocks and is meant for OnMessage:
// [Hub.Admit] stops the reading while a FIFO is full, so that one frame from each handler
// that is running then always finds room. Whoever publishes more than one frame per
// message, or elsewhere, may see [ErrBusy]: see PublishWait.
func (h *Hub) Publish(m Message) (Published, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.admitLocked(); err != nil {
		return Published{}, err
	}
	// Who is in a topic before the message has its number gets it.
	to, members := h.audience(m.Topics)
	return Published{h.publish(&m, to), members}, nil
}

// PublishFrom publishes f to the topics that c is in and may publish to. ErrForbidden means
// that it is in topics, and may publish to none of them. It is otherwise as Publish.
func (h *Hub) PublishFrom(c *conn.Conn, f *frame.Prepared) error {
	m := Message{Frame: f}
	to := h.audienceOf(c)
	if len(to) == 0 {
		return nil
	}
	if h.config.MayPublish != nil {
		if to = h.allowed(c, to); len(to) == 0 {
			return ErrForbidden
		}
	}
	if h.config.Relay != nil && &to[0] != &h.topics.everyone.alone[0] {
		for _, t := range to {
			m.Topics = append(m.Topics, t.name)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.admitLocked(); err != nil {
		return err
	}
	h.publish(&m, to)
	return nil
}

// allowed are those topics to which c may publish. It leaves to as it is.
func (h *Hub) allowed(c *conn.Conn, to []*topic) []*topic {
	forbidden := func(t *topic) bool { return !h.config.MayPublish(c, t.name) }
	if !slices.ContainsFunc(to, forbidden) {
		return to
	}
	return slices.DeleteFunc(slices.Clone(to), forbidden)
}

// admitLocked returns why a message is not taken now, if it is not.
func (h *Hub) admitLocked() error {
	if h.sealed {
		return ErrClosed
	}
	for _, s := range h.shards {
		if s.fifo.over(h.config.QueueFrames+h.config.SlackFrames, h.config.QueueBytes+h.config.SlackBytes) {
			h.refused++
			return ErrBusy
		}
	}
	return nil
}

// TryPublish is Publish for those who are no handler and can come again: it returns
// [ErrBusy] where PublishWait would wait. That is not counted in Stats.
func (h *Hub) TryPublish(m Message) (Published, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.sealed:
		return Published{}, ErrClosed
	case h.full(&m):
		return Published{}, ErrBusy
	}
	to, members := h.audience(m.Topics)
	return Published{h.publish(&m, to), members}, nil
}

// PublishWait is Publish, but first waits for room until ctx ends. It must not be called
// from a Handler that may not block.
func (h *Hub) PublishWait(ctx context.Context, m Message) (Published, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full(&m) && !h.sealed {
		stop := context.AfterFunc(ctx, h.wakeAll)
		defer stop()
		for h.full(&m) && !h.sealed {
			if err := ctx.Err(); err != nil {
				return Published{}, err
			}
			h.room.Wait()
		}
	}
	if h.sealed {
		return Published{}, ErrClosed
	}
	to, members := h.audience(m.Topics)
	return Published{h.publish(&m, to), members}, nil
}

// full reports whether m must wait, because it would take room that Publish has promised
// to handlers: only a message that is larger than the whole bound of a FIFO does so, alone.
// The caller holds mu.
func (h *Hub) full(m *Message) bool {
	if h.congested.Load() {
		return true
	}
	for _, s := range h.shards {
		if s.fifo.frames > 0 && s.fifo.bytes+len(m.Frame.Bytes()) > h.config.QueueBytes {
			return true
		}
	}
	return false
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

// publish enters m into the FIFO of every shard in which there are members, and returns
// its number. The caller holds mu: that makes the order the same everywhere.
func (h *Hub) publish(m *Message, to []*topic) uint64 {
	h.seq++
	if h.config.Relay != nil && !m.Remote {
		h.config.Relay(m.Topics, m.Frame, m.Key)
	}
	it := item{frame: m.Frame, to: to, key: h.scopedKey(m), receipt: m.Receipt}
	if it.receipt != nil {
		it.receipt.begin(len(h.shards))
	}
	for _, s := range h.shards {
		if !s.concerned(to) {
			if it.receipt != nil {
				it.receipt.fannedOut(outcome{})
			}
			continue
		}
		if s.fifo.frames == 0 {
			s.wake.Signal()
		}
		s.fifo.push(it)
		if s.fifo.over(h.config.QueueFrames, h.config.QueueBytes) {
			h.congested.Store(true)
		}
	}
	return h.seq
}

// scopedKey tells keys of different topics apart: 0 is in no name.
func (h *Hub) scopedKey(m *Message) string {
	switch {
	case m.Key == "":
		return ""
	case len(m.Topics) == 0:
		return h.config.DefaultTopic + "\x00\x00" + m.Key
	}
	return strings.Join(m.Topics, "\x00") + "\x00\x00" + m.Key
}

// concerned reports whether the shard may have members of one of those topics.
func (s *shard) concerned(to []*topic) bool {
	for _, t := range to {
		if t == s.hub.topics.everyone || t.parts[s.index].Load() != nil {
			return true
		}
	}
	return false
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
