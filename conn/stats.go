package conn

import "sync/atomic"

// Stats counts what the connections of a group have done. All fields may be read
// at any time; they only grow, except for the gauges.
type Stats struct {
	Handshaking atomic.Int64 // gauge: accepted, request not complete
	Open        atomic.Int64 // gauge
	Closing     atomic.Int64 // gauge: our last bytes are out or queued
	WriteQueued atomic.Int64 // gauge: bytes kept alive by outbound queues; see Config.WriteQueueTotal
	ReadKept    atomic.Int64 // gauge: bytes of incomplete messages and heads; see Config.ReadBufferTotal

	TLSOpen   atomic.Int64 // gauge: connections whose TLS handshake is over
	TLSKernel atomic.Int64 // gauge: of them, those whose TLS the kernel does

	TLSHandshakes atomic.Uint64 // that succeeded
	TLSResumed    atomic.Uint64 // of them, with the keys of an earlier connection
	TLSKept       atomic.Uint64 // open connections whose TLS could not go to the kernel

	Opened     atomic.Uint64
	Ended      [Reasons]atomic.Uint64 // by reason
	MessagesIn atomic.Uint64
	BytesIn    atomic.Uint64 // bytes of frames and heads, not of TCP
	Dropped    atomic.Uint64 // frames dropped by the slow-consumer policy Drop
	Conflated  atomic.Uint64 // frames replaced by newer ones of their key, by the policy Conflate

	sent [stripes]sent
}

// stripes is how many counters share the counting of what is sent, by slot: one for
// all would be fought over by broadcasters and workers.
const stripes = 16

// sent fills a cache line.
type sent struct {
	messages atomic.Uint64
	bytes    atomic.Uint64
	_        [48]byte
}

func (s *Stats) sentBy(c *Conn) *sent { return &s.sent[c.slot%stripes] }

// Sent is how many messages were taken to be written to one connection, by Write and
// Send but not SendShared, and how many bytes of any kind the kernel has taken.
func (s *Stats) Sent() (messages, bytes uint64) {
	for i := range s.sent {
		messages += s.sent[i].messages.Load()
		bytes += s.sent[i].bytes.Load()
	}
	return messages, bytes
}

// gauge is the one that counts connections in state st, nil for terminal states.
func (s *Stats) gauge(st State) *atomic.Int64 {
	switch st {
	case StateNew, StateHandshaking:
		return &s.Handshaking
	case StateOpen:
		return &s.Open
	case StateClosing, StateFailed:
		return &s.Closing
	}
	return nil
}

func (s *Stats) move(from, to State) {
	a, b := s.gauge(from), s.gauge(to)
	if a == b {
		return
	}
	if a != nil {
		a.Add(-1)
	}
	if b != nil {
		b.Add(1)
	}
}
