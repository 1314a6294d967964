package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"roost/bench"
)

// Names of the presets.
const (
	NameIdle      = "idle"
	NameBroadcast = "broadcast"
	NameFlood     = "flood"
	NameEcho      = "echo"
	NameMix       = "mix"
	NameChurn     = "churn"
	NameStorm     = "storm"
	NameSlow      = "slow"
	NameHostile   = "hostile"
)

// Info describes a preset to someone who chooses one.
type Info struct {
	Name, Measures, Server string
}

// Presets describes every preset.
func Presets() []Info {
	return []Info{
		{NameIdle, "memory and processor time of connections that are held, how many last, and whether each still answers a ping", "any WebSocket server"},
		{NameBroadcast, "delivery to every connection of what some publish: latency, fan-out, reach, loss, order", "one that sends each message to every client, the sender included"},
		{NameFlood, "the same with many publishers that keep several messages in flight (50 x 8): deliveries per second", "as broadcast"},
		{NameEcho, "round trip of every connection's own messages: latency, rate, loss, order", "one that sends each message back to its sender"},
		{NameMix, "echo on some connections (--active) while all others are held", "as echo"},
		{NameChurn, "connect, handshake, leave, over and over: rate and latency of handshakes", "any WebSocket server that answers a close frame"},
		{NameStorm, "all connections drop at once: time until half, 99 % and all are back", "any WebSocket server"},
		{NameHostile, "broadcast to some (--active), while all others attack (--with) after a warm-up: what it costs the healthy", "as broadcast"},
		{NameSlow, "broadcast while a share of the clients (--slow-share) reads slowly: what it costs the others", "as broadcast"},
	}
}

func presetNames() (names []string) {
	for _, p := range Presets() {
		names = append(names, p.Name)
	}
	return names
}

// Options are what the presets can be told. Zero values mean what the fields say.
type Options struct {
	Conns int

	// Of the spec; see Spec.
	Ramp              bench.Pace
	Settle, WarmUp    time.Duration
	WarmUpMessages    int
	Duration, Drain   time.Duration
	Subscribe, Expect string
	ExpectClose       int

	// Of the group that sends; see Group.
	Rate       bench.Pace
	InFlight   int // 0: 1; flood: 8
	Messages   int // -1: 100 for broadcast, else 0
	Payload    Payload
	PublishURL string
	Leave      string

	Publishers int      // connections that publish; 0: 1; flood: 50
	Active     int      // mix: connections that echo; 0: a tenth. hostile: healthy ones; 0: a sixth
	SlowShare  float64  // slow: share of the connections that read slowly, 0 to 1; 0: 0.1
	SlowRate   int      // slow: bytes per second each; 0: 1000
	Attacks    []Attack // hostile: in equal parts; none: all
	Tolerate   float64  // hostile; see Spec
}

// Preset makes the spec of a named scenario. Spec.Validate must still be asked.
func Preset(name string, o Options) (Spec, error) {
	s := Spec{
		Name: name, Ramp: o.Ramp, Settle: o.Settle, WarmUp: o.WarmUp, WarmUpMessages: o.WarmUpMessages,
		Duration: o.Duration, Drain: o.Drain, Subscribe: o.Subscribe, Expect: o.Expect, ExpectClose: o.ExpectClose,
	}
	if o.Messages == -1 {
		o.Messages = 0
		if name == NameBroadcast {
			o.Messages = 100
		}
	}
	switch name {
	case NameIdle:
		s.Groups = []Group{{Role: Hold, Conns: o.Conns}}
	case NameBroadcast, NameFlood, NameSlow:
		return s.withRoom(o)
	case NameEcho:
		s.Groups = []Group{{Role: Echo, Conns: o.Conns, Rate: o.Rate, InFlight: o.InFlight, Messages: o.Messages, Payload: o.Payload}}
	case NameMix:
		active := o.Active
		if active == 0 {
			active = max(1, o.Conns/10)
		}
		if active < 0 || active >= o.Conns {
			return s, fmt.Errorf("active connections: %d of %d, want 1 or more and some that are held", active, o.Conns)
		}
		s.Groups = []Group{
			{Role: Echo, Conns: active, Rate: o.Rate, InFlight: o.InFlight, Messages: o.Messages, Payload: o.Payload},
			{Role: Hold, Conns: o.Conns - active},
		}
	case NameHostile:
		return s.withAttacks(o)
	case NameChurn:
		s.Groups = []Group{{Role: Churn, Conns: o.Conns, Rate: o.Rate, Leave: o.Leave}}
	case NameStorm:
		s.Groups = []Group{{Role: Storm, Conns: o.Conns, Leave: o.Leave}}
	default:
		return s, fmt.Errorf("scenario: %q, want one of %s, or a file that ends in .yaml", name, strings.Join(presetNames(), ", "))
	}
	return s, nil
}

// withRoom adds the groups of broadcast, flood or slow.
func (s Spec) withRoom(o Options) (Spec, error) {
	publishers, inFlight, slow := o.Publishers, o.InFlight, 0
	var faults []error
	switch s.Name {
	case NameFlood:
		if publishers == 0 {
			publishers = 50
		}
		if inFlight == 0 {
			inFlight = 8
		}
	case NameSlow:
		share := o.SlowShare
		if share == 0 {
			share = 0.1
		}
		if !(share > 0 && share < 1) {
			faults = append(faults, fmt.Errorf("slow share: %v, want more than 0 and less than 1", share))
			share = 0
		}
		slow = max(1, int(share*float64(o.Conns)))
	}
	if publishers == 0 {
		publishers = 1
	}
	publish := Group{
		Role: Publish, Conns: publishers, Rate: o.Rate, InFlight: inFlight, Messages: o.Messages, Payload: o.Payload,
	}
	if o.PublishURL != "" {
		publish.PublishURL, publish.Conns = o.PublishURL, 0
	}
	if publish.Conns < 0 || publish.Conns+slow > o.Conns {
		faults = append(faults, fmt.Errorf("publishers: %d and %d slow readers, of %d connections", publish.Conns, slow, o.Conns))
	}
	if listen := o.Conns - publish.Conns - slow; listen > 0 {
		s.Groups = append(s.Groups, Group{Role: Listen, Conns: listen})
	}
	if slow > 0 {
		rate := o.SlowRate
		if rate == 0 {
			rate = 1000
		}
		s.Groups = append(s.Groups, Group{Name: "slow", Role: Listen, Conns: slow, ReadRate: rate})
	}
	s.Groups = append(s.Groups, publish)
	return s, errors.Join(faults...)
}

// Defaults of the hostile preset.
const (
	hostileWarmUp = 5 * time.Second
	hostileRate   = "20/s" // broadcasts to the healthy
)

// withAttacks adds a room of healthy connections and a group for each attack.
func (s Spec) withAttacks(o Options) (Spec, error) {
	healthy, attacks := o.Active, o.Attacks
	if healthy == 0 {
		healthy = max(2, o.Conns/6)
	}
	if len(attacks) == 0 {
		attacks = Attacks()
	}
	others := o.Conns - healthy
	if healthy < 2 || others < len(attacks) {
		return s, fmt.Errorf("connections: %d of %d are healthy; want 2 or more of them, and 1 or more for each of %d attacks", healthy, o.Conns, len(attacks))
	}
	if s.WarmUp == 0 {
		s.WarmUp = hostileWarmUp
	}
	s.Tolerate = o.Tolerate
	rate := o.Rate
	if !rate.Limited() {
		rate, _ = bench.ParsePace(hostileRate)
	}
	s.Groups = []Group{
		{Name: "healthy", Role: Listen, Conns: healthy - 1},
		{Role: Publish, Conns: 1, Rate: rate, Payload: o.Payload},
	}
	for i, attack := range attacks {
		n := len(attacks)
		s.Groups = append(s.Groups, Group{Role: Hostile, Conns: others*(i+1)/n - others*i/n, Attack: attack})
	}
	return s, nil
}

// IsFile tells whether the name of a scenario is that of a file.
func IsFile(name string) bool {
	return slices.ContainsFunc([]string{".yaml", ".yml"}, func(end string) bool { return strings.HasSuffix(name, end) })
}
