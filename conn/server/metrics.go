//go:build linux

package server

import (
	"iter"

	"roost/conn"
	"roost/conn/cluster"
	"roost/conn/frame"
	"roost/conn/hub"
	"roost/poller"
)

// Stats is a snapshot of everything the server counts. The first nine, and in Hub
// and Poller what waits, are gauges; the rest only grows.
type Stats struct {
	Handshaking int64 // connections whose request is incomplete
	Open        int64 // WebSocket connections
	Closing     int64 // connections that wait for their peer's close
	HTTP        int64 // connections in net/http's hands
	WriteQueued int64 // bytes that wait for slow connections, bounded by Config.WriteQueueTotal
	ReadKept    int64 // bytes of what has not arrived whole, bounded by Config.ReadBufferTotal
	AuthWaiting int64 // clients that the back end has not been asked about yet, bounded by Config.Auth.Queue

	TLSOpen   int64 // connections whose TLS handshake is over
	TLSKernel int64 // of them, those whose TLS the kernel does

	TLSHandshakes uint64 // that succeeded
	TLSResumed    uint64 // of them, with the keys of an earlier connection
	TLSKept       uint64 // open connections whose TLS the kernel did not take, if it is to

	Accepted      uint64               // connections that listeners have accepted
	Opened        uint64               // handshakes that succeeded
	Ended         [conn.Reasons]uint64 // connections that ended, by reason
	AcceptWaits   uint64               // times that accepting waited for Limits.AcceptRate
	MemoryPauses  uint64               // times that accepting stopped for Limits.MaxMemory
	UnknownIPs    uint64               // connections that limits per IP were not applied to, because there were too many addresses
	AcceptPauses  uint64               // times that accepting stopped for want of descriptors
	HTTPRefused   uint64               // connections beyond MaxHTTPConns, or without a descriptor for net/http
	MessagesIn    uint64               // messages from clients
	BytesIn       uint64               // bytes from clients: frames and request heads
	MessagesOut   uint64               // messages taken to be written, once for each connection
	BytesOut      uint64               // bytes that the kernel has taken from us: frames and answers to requests
	Dropped       uint64               // frames dropped by the slow-consumer policy conn.Drop
	Conflated     uint64               // frames replaced by newer ones of their key, by conn.Conflate
	CompressedIn  Compressed           // messages from clients that came compressed
	CompressedOut Compressed           // messages that were compressed; one for many clients counts once
	Sweeps        uint64               // times that the sweeper has looked for what is overdue
	Swept         uint64               // connections it has looked at
	Hub           hub.Stats            // broadcasting
	Poller        poller.Stats         // scheduling
	Cluster       cluster.Stats        // other nodes; zero when there is no fleet
}

// Compressed counts messages with their payload.
type Compressed struct {
	Messages uint64
	Plain    uint64 // bytes before deflating, or after inflating
	Deflated uint64 // bytes on the wire, for a single client
}

func compressed(t *frame.Traffic) Compressed {
	return Compressed{Messages: t.Messages.Load(), Plain: t.Plain.Load(), Deflated: t.Deflated.Load()}
}

// Stats may be called at any time. It is zero before Start.
func (s *Server) Stats() Stats {
	if !s.running.Load() {
		return Stats{}
	}
	g := &s.group.Stats
	st := Stats{
		Handshaking: g.Handshaking.Load(),
		Open:        g.Open.Load(),
		Closing:     g.Closing.Load(),
		HTTP:        s.doors.open.Load(),
		WriteQueued: g.WriteQueued.Load(),
		ReadKept:    g.ReadKept.Load(),
		AuthWaiting: s.access.waiting(),
		TLSOpen:     g.TLSOpen.Load(),
		TLSKernel:   g.TLSKernel.Load(),

		TLSHandshakes: g.TLSHandshakes.Load(),
		TLSResumed:    g.TLSResumed.Load(),
		TLSKept:       g.TLSKept.Load(),

		Accepted:     s.admission.accepted.Load(),
		Opened:       g.Opened.Load(),
		AcceptWaits:  s.admission.waits.Load(),
		MemoryPauses: s.memory.pauses.Load(),
		UnknownIPs:   s.clients.visitors.unknown.Load(),
		AcceptPauses: s.admission.pauses.Load(),
		HTTPRefused:  s.doors.refused.Load(),
		MessagesIn:   g.MessagesIn.Load(),
		BytesIn:      g.BytesIn.Load(),
		Dropped:      g.Dropped.Load(),
		Conflated:    g.Conflated.Load(),
		Sweeps:       s.sweeper.sweeps.Load(),
		Swept:        s.sweeper.swept.Load(),
		Hub:          s.hub.Stats(),
		Poller:       s.poller.Stats(),
	}
	if z := s.group.Compress; z != nil {
		st.CompressedIn, st.CompressedOut = compressed(&z.In), compressed(&z.Out)
	}
	if s.bus != nil {
		st.Cluster = s.bus.Stats()
	}
	for r := range st.Ended {
		st.Ended[r] = g.Ended[r].Load()
	}
	st.MessagesOut, st.BytesOut = g.Sent()
	st.MessagesOut += st.Hub.Delivered
	return st
}

// Clients is the number of open WebSocket connections.
func (s *Server) Clients() int { return int(s.group.Stats.Open.Load()) }

// Ended yields the reasons for which connections have ended, with their number,
// leaving out those that did not occur.
func (s *Server) Ended() iter.Seq2[conn.Reason, uint64] {
	return func(yield func(conn.Reason, uint64) bool) {
		for r := range conn.Reasons {
			if n := s.group.Stats.Ended[r].Load(); n > 0 && !yield(r, n) {
				return
			}
		}
	}
}
