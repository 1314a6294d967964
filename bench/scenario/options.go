package scenario

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"roost/bench"
)

// Names of the scenarios.
const (
	Idle      = "idle"      // open the connections and hold them
	Broadcast = "broadcast" // some publish, every connection must receive everything
	Echo      = "echo"      // every connection sends and must get the same back
	Churn     = "churn"     // connect, handshake, close, again
)

// Names lists the scenarios.
func Names() []string { return []string{Idle, Broadcast, Echo, Churn} }

// Info describes a scenario to someone who chooses one.
type Info struct {
	Name, Measures, Server string
}

// List describes every scenario, in the order of Names.
func List() []Info {
	return []Info{
		{Idle, "memory and processor time of connections that are held, and how many last", "any WebSocket server"},
		{Broadcast, "delivery to every connection of what some publish: latency, fan-out, loss, order", "one that sends each message to every client, the sender included"},
		{Echo, "round trip of every connection's own messages: latency, rate, loss, order", "one that sends each message back to its sender"},
		{Churn, "connect, handshake, close, over and over: rate and latency of handshakes", "any WebSocket server that answers a close frame"},
	}
}

// Options say what a scenario does with its connections. Zero values mean what
// the fields say; see Validate.
type Options struct {
	// Duration of the measured part; 0 has no limit. Broadcast and echo look
	// at it only when Messages is 0.
	Duration time.Duration
	// Settle is the pause between the last handshake and the measured part.
	Settle time.Duration
	// PayloadBytes is the size of a message, bench.MinPayloadBytes or more.
	PayloadBytes int
	// Messages to send: in all for broadcast, per connection for echo; 0 sends
	// until Duration is over.
	Messages int
	// InFlight bounds the messages of one publisher, or of one echo
	// connection, that it has sent and not yet received back itself.
	InFlight int
	// Publishers is the number of connections that send in a broadcast: the
	// ones opened last.
	Publishers int
	// Interval between two messages of one broadcast publisher, whatever comes
	// back (open loop; InFlight is not looked at, and latency counts from the
	// moment a message was due); 0 is the closed loop of InFlight.
	Interval time.Duration
	// ExpectClose makes the run pass if and only if the server closes every
	// connection with this code; 0 expects no close.
	ExpectClose int
}

// Bounds of what the client keeps per message and per pair of connection and publisher.
const (
	maxMessages = 100_000_000
	maxPairs    = 64 << 20
)

// Validate reports every fault of the options for the scenario at once, joined, or nil.
func (o Options) Validate(name string, conns int) error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(!slices.Contains(Names(), name), "scenario: %q, want one of %s", name, strings.Join(Names(), ", "))
	fault(o.Duration < 0, "duration: %v, want 0 (no limit) or more", o.Duration)
	fault(o.Settle < 0, "settle: %v, want 0 or more", o.Settle)
	fault(o.ExpectClose != 0 && (o.ExpectClose < 1000 || o.ExpectClose > 4999),
		"expected close code: %d, want 1000 to 4999 or 0", o.ExpectClose)
	fault(name == Churn && o.ExpectClose != 0, "expected close code: churn closes its connections itself")
	if name == Broadcast || name == Echo {
		fault(o.PayloadBytes < bench.MinPayloadBytes, "payload: %d bytes, want %d or more (the header that is checked)", o.PayloadBytes, bench.MinPayloadBytes)
		fault(o.Messages < 0 || o.Messages > maxMessages, "messages: %d, want 0 (until the duration is over) to %d", o.Messages, maxMessages)
		fault(o.InFlight < 1 || o.InFlight > math.MaxInt32, "messages in flight: %d, want 1 or more", o.InFlight)
	}
	if name == Broadcast {
		fault(o.Publishers < 1 || (conns > 0 && o.Publishers > conns), "publishers: %d, want 1 to the number of connections (%d)", o.Publishers, conns)
		fault(o.Interval < 0, "interval: %v, want 0 (closed loop) or more", o.Interval)
		fault(o.Publishers > 0 && conns > 0 && o.Publishers > maxPairs/conns,
			"publishers: %d times %d connections is more than the %d pairs that can be checked", o.Publishers, conns, maxPairs)
	}
	return errors.Join(faults...)
}
