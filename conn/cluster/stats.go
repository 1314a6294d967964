package cluster

import (
	"log/slog"
	"sync/atomic"
)

// Loss is why a message did not get from one node to another, or not to this one.
type Loss int

// Losses. The text of each is the label of a metric.
const (
	LossQueueFull Loss = iota // to others: it was the oldest, and --cluster-queue-bytes was full
	LossTooLarge              // larger than NATS takes, or than MaxMessage
	LossTopics                // to others: more topics, or a longer key, than a message can name
	LossStopped               // to others: NATS did not have it when the node stopped
	LossHubBusy               // to here: it was the oldest, and the clients did not take as much as came
	LossMalformed             // to here: not as the package comment says
	LossRefused               // to here: the node did not take it
	Losses                    // how many there are
)

var lossTexts = [Losses]struct{ label, help string }{
	LossQueueFull: {"queue-full", "NATS is away or slow, and what waits for it has filled --cluster-queue-bytes"},
	LossTooLarge:  {"too-large", "raise max_payload of NATS, or lower --max-message"},
	LossTopics:    {"too-many-topics", "a message for other nodes can have up to 255 topics, and a key of up to 255 bytes"},
	LossStopped:   {"stopped", "NATS was away or slow when the node stopped"},
	LossHubBusy:   {"hub-busy", "more comes from other nodes than this one can deliver; see roost_broadcast_queue_frames"},
	LossMalformed: {"malformed", "somebody who is no node of this version publishes below roost.NAME.t"},
	LossRefused:   {"refused", "the server has stopped taking messages"},
}

// String is the label of a metric.
func (l Loss) String() string { return lossTexts[l].label }

// Help says in a few words what is the matter, and what may help.
func (l Loss) Help() string { return lossTexts[l].help }

// Stats is a snapshot of what a bus counts.
type Stats struct {
	Connected     bool // to NATS, and subscribed to what has members here
	Nodes         int  // other nodes that have announced themselves lately
	Subscriptions int  // topics this node subscribes to
	QueuedBytes   int  // of messages that wait for NATS, or are kept to be sent again
	QueueLimit    int

	Connects    uint64 // connections to NATS that were made
	MessagesOut uint64 // messages handed to NATS; one for several topics counts once
	BytesOut    uint64 // their payload
	MessagesIn  uint64 // messages taken from NATS for this node's members
	BytesIn     uint64 // their payload
	Repeats     uint64 // copies that were recognised, of messages for several topics or sent again
	Lost        [Losses]uint64
}

type counters struct {
	connected                                     atomic.Bool
	connects, out, bytesOut, in, bytesIn, repeats atomic.Uint64
	lost                                          [Losses]atomic.Uint64
}

// Stats may be called at any time.
func (b *Bus) Stats() Stats {
	c := &b.counters
	s := Stats{
		Connected: c.connected.Load(), Nodes: b.nodes.known(), Subscriptions: b.interest.count(), QueueLimit: b.out.maxBytes,
		Connects: c.connects.Load(), MessagesOut: c.out.Load(), BytesOut: c.bytesOut.Load(),
		MessagesIn: c.in.Load(), BytesIn: c.bytesIn.Load(), Repeats: c.repeats.Load(),
	}
	for l := range s.Lost {
		s.Lost[l] = c.lost[l].Load()
	}
	b.out.mu.Lock()
	s.QueuedBytes = b.out.bytes
	b.out.mu.Unlock()
	return s
}

// lose counts.
func (b *Bus) lose(why Loss) { b.counters.lost[why].Add(1) }

// episode is a time in which messages are lost for one reason. It has two lines in the log, however
// many are lost.
type episode struct{ before, seen, quiet uint64 }

// quietTicks without a loss end an episode.
const quietTicks = 5

// logLosses looks for episodes that begin or end. One goroutine calls it once a second.
func (b *Bus) logLosses(episodes *[Losses]episode) {
	for why := range Losses {
		e, n := &episodes[why], b.counters.lost[why].Load()
		about := []any{slog.String("reason", why.String()), slog.String("because", lossTexts[why].help)}
		switch {
		case n > e.seen && e.seen == e.before:
			b.config.Log.Warn("messages between nodes are lost", about...)
			e.seen, e.quiet = n, 0
		case n > e.seen:
			e.seen, e.quiet = n, 0
		case e.seen > e.before:
			if e.quiet++; e.quiet == quietTicks {
				b.config.Log.Warn("messages between nodes were lost", append(about, slog.Uint64("messages", e.seen-e.before))...)
				e.before = e.seen
			}
		}
	}
}
