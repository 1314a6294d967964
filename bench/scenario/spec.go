package scenario

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"roost/bench"
)

// Role is what the connections of a group do.
type Role string

// The roles. Groups that listen and publish make up one room.
const (
	Hold    Role = "hold"    // stay open; in the end each must answer a ping
	Listen  Role = "listen"  // be in the room: receive everything that is published
	Publish Role = "publish" // be in the room, and send to it
	Echo    Role = "echo"    // send, and get the same back
	Churn   Role = "churn"   // connect, handshake, leave, again
	Storm   Role = "storm"   // all drop at once and come back
	Hostile Role = "hostile" // break the protocol, from the end of the warm-up on
)

var roles = []Role{Hold, Listen, Publish, Echo, Churn, Storm, Hostile}

// How connections of churn and storm leave.
const (
	LeaveClose = "close" // closing handshake
	LeaveFIN   = "fin"   // without a close frame
	LeaveRST   = "rst"   // connection reset
)

// Group is a number of connections that behave alike. Zero values mean what the
// fields say.
type Group struct {
	Name  string `yaml:"name"` // default: the role
	Role  Role   `yaml:"role"`
	Conns int    `yaml:"conns"`
	// Ramp is the pace of the connection attempts; default: that of the spec.
	Ramp bench.Pace `yaml:"ramp"`

	// Rate is the pace of messages of the whole group, whatever comes back: the
	// open loop, in which latency counts from when a message was due. Of churn and
	// hostile it is the pace of attempts. 0: the closed loop of InFlight; churn as fast
	// as it goes.
	Rate bench.Pace `yaml:"rate"`
	// InFlight bounds the messages that one connection of a closed loop has sent
	// and not yet received back itself; 0: 1.
	InFlight int `yaml:"in_flight"`
	// Messages to send: of the whole group for publish, of each connection for
	// echo; 0: until the duration is over.
	Messages int `yaml:"messages"`
	// Payload of the messages.
	Payload Payload `yaml:"payload"`
	// PublishURL takes the place of a connection for publish: each message is the
	// body of a POST. Conns must be 0.
	PublishURL string `yaml:"publish_url"`

	// ReadRate makes listeners slow: they read so many bytes per second each; 0:
	// as fast as they can.
	ReadRate int `yaml:"read_rate"`
	// Leave is how churn and storm connections leave: close, fin or rst. Default:
	// close for churn, rst for storm, which cannot close.
	Leave string `yaml:"leave"`

	// First is the number of the group's first connection among those of all groups
	// and agents. Split sets it.
	First int `yaml:"-"`
	// Attack is what hostile connections do.
	Attack Attack `yaml:"attack"`
}

// Payload says what the messages of a group are.
type Payload struct {
	Bytes     string   `yaml:"bytes"`     // a size such as 128 or a range such as 64-4096; default 128
	Text      bool     `yaml:"text"`      // text messages in place of binary ones
	Templates []string `yaml:"templates"` // sent in turn; see bench.PayloadSpec
	File      string   `yaml:"file"`      // templates, one per line
}

// spec reads the sizes and the file.
func (p Payload) spec() (bench.PayloadSpec, error) {
	s := bench.PayloadSpec{Text: p.Text, Templates: p.Templates}
	var err error
	if p.Bytes != "" {
		if s.Min, s.Max, err = bench.ParseSizes(p.Bytes); err != nil {
			return s, err
		}
	}
	if p.File != "" {
		if len(p.Templates) > 0 {
			return s, errors.New("payload: templates and a file of templates, want one of them")
		}
		if s.Templates, err = bench.ReadTemplates(p.File); err != nil {
			return s, err
		}
	}
	return s, s.Validate()
}

// Spec is a whole load. The zero value of every field but Groups is useful.
type Spec struct {
	Name   string  `yaml:"name"`
	Groups []Group `yaml:"groups"`

	// Ramp is the pace of all connection attempts together.
	Ramp bench.Pace `yaml:"ramp"`
	// Settle is the pause between the last handshake and the first message.
	Settle time.Duration `yaml:"settle"`
	// WarmUp is how long messages are sent before their latencies and rates count;
	// WarmUpMessages is the same as a number of messages of each sender. They are
	// checked all the same.
	WarmUp         time.Duration `yaml:"warm_up"`
	WarmUpMessages int           `yaml:"warm_up_messages"`
	// Duration of the measured part after the warm-up; 0 has no limit. A group
	// that has a number of Messages to send ends it when they are sent.
	Duration time.Duration `yaml:"duration"`
	// Drain bounds the wait for what is under way after the last message; 0: until
	// nothing has moved for bench.Config.Timeout.
	Drain time.Duration `yaml:"drain"`

	// Subscribe is a text message that every connection sends when it has opened.
	// {{conn}} is its number.
	Subscribe string `yaml:"subscribe"`
	// Expect is a regular expression; messages that do not match are ignored.
	Expect string `yaml:"expect"`
	// ExpectClose makes the run pass if and only if the server closes every
	// connection with this code; 0 expects no close.
	ExpectClose int `yaml:"expect_close"`
	// Tolerate is how many times the 99th percentile of the warm-up that of the
	// measured part may be when there are hostile groups; 0: 3.
	Tolerate float64 `yaml:"tolerate"`

	// Run marks the messages of this run; all its agents have the same. Random.
	Run uint32 `yaml:"-"`
}

// Bounds of what the client keeps per message and per pair of connection and publisher.
const (
	maxMessages = 100_000_000
	maxPairs    = 64 << 20
	maxGroups   = 100
	maxPosts    = 1000 // requests under way
)

// withDefaults fills the zero values.
func (s Spec) withDefaults() Spec {
	s.Groups = slices.Clone(s.Groups)
	if s.Tolerate == 0 {
		s.Tolerate = 3
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		if g.Role == Hostile && !g.Rate.Limited() {
			g.Rate, _ = bench.ParsePace(hostilePace)
		}
		if g.Name == "" && g.Role == Hostile {
			g.Name = string(g.Attack)
		}
		if g.Name == "" {
			g.Name = string(g.Role)
		}
		if g.InFlight == 0 {
			g.InFlight = 1
		}
		if g.Leave == "" {
			g.Leave = map[bool]string{true: LeaveRST, false: LeaveClose}[g.Role == Storm]
		}
	}
	return s
}

// Conns is the number of connections of all groups.
func (s Spec) Conns() (sum int) {
	for _, g := range s.Groups {
		sum += g.Conns
	}
	return sum
}

// Validate reports every fault at once, joined, or nil. It reads the files that
// payloads name.
func (s Spec) Validate() error {
	s = s.withDefaults()
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(len(s.Groups) == 0 || len(s.Groups) > maxGroups, "groups: %d, want 1 to %d", len(s.Groups), maxGroups)
	fault(s.Settle < 0, "settle: %v, want 0 or more", s.Settle)
	fault(s.WarmUp < 0, "warm-up: %v, want 0 or more", s.WarmUp)
	fault(s.WarmUpMessages < 0 || s.WarmUpMessages > maxMessages, "warm-up messages: %d, want 0 to %d", s.WarmUpMessages, maxMessages)
	fault(!(s.Tolerate >= 1), "tolerate: %v times, want 1 or more", s.Tolerate)
	fault(s.Duration < 0, "duration: %v, want 0 (no limit) or more", s.Duration)
	fault(s.Drain < 0, "drain: %v, want 0 (until nothing moves) or more", s.Drain)
	fault(s.ExpectClose != 0 && (s.ExpectClose < 1000 || s.ExpectClose > 4999),
		"expected close code: %d, want 1000 to 4999 or 0", s.ExpectClose)
	if _, err := regexp.Compile(s.Expect); err != nil {
		faults = append(faults, fmt.Errorf("expect: %w", err))
	}
	names := map[string]bool{}
	for i := range s.Groups {
		g := &s.Groups[i]
		for _, err := range g.faults(s) {
			faults = append(faults, fmt.Errorf("group %s: %w", g.Name, err))
		}
		fault(names[g.Name], "group %s: there are two of this name", g.Name)
		fault(strings.ContainsAny(g.Name, ".=<>! "), "group %q: the name must have no space and none of .=<>!", g.Name)
		names[g.Name] = true
	}
	room := s.room()
	fault(room.publishers > 0 && room.members > maxPairs/room.publishers,
		"publishers: %d times %d members of the room are more than the %d pairs that can be checked", room.publishers, room.members, maxPairs)
	fault(room.members > 0 && room.publishers == 0, "room: %d connections listen and nobody publishes", room.members)
	fault(room.publishers > 0 && room.members == 0, "room: somebody publishes and no connection listens")
	fault(room.unstamped && room.publishers > 1, "payload: templates without {{stamp}} are matched by order, which needs a single publisher, not %d", room.publishers)
	return errors.Join(faults...)
}

// faults lists what is wrong with a group.
func (g *Group) faults(s Spec) (faults []error) {
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if !slices.Contains(roles, g.Role) {
		fault(true, "role: %q, want one of %v", g.Role, roles)
		return faults
	}
	sends := g.Role == Publish || g.Role == Echo
	if g.PublishURL != "" {
		u, err := url.Parse(g.PublishURL)
		fault(err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "", "publish URL: %q, want http://host:port/path", g.PublishURL)
		fault(g.InFlight > maxPosts, "messages in flight: %d, want %d or less for a publish URL", g.InFlight, maxPosts)
		fault(g.Role != Publish || g.Conns != 0, "a publish URL takes the place of the connections of role publish: want conns: 0")
	} else {
		fault(g.Conns < 1, "connections: %d, want 1 or more", g.Conns)
	}
	fault(g.Messages < 0 || g.Messages > maxMessages, "messages: %d, want 0 (until the duration is over) to %d", g.Messages, maxMessages)
	fault(g.InFlight < 1 || g.InFlight > math.MaxInt32, "messages in flight: %d, want 1 or more", g.InFlight)
	fault(g.ReadRate < 0, "read rate: %d bytes per second, want 0 (no limit) or more", g.ReadRate)
	fault(g.ReadRate > 0 && g.Role != Listen, "read rate: only connections of role listen can be slow")
	fault(!slices.Contains([]string{LeaveClose, LeaveFIN, LeaveRST}, g.Leave), "leave: %q, want close, fin or rst", g.Leave)
	fault(g.Role == Storm && g.Leave == LeaveClose, "leave: close; a storm drops its connections with fin or rst")
	fault(g.Role == Hostile && !slices.Contains(Attacks(), g.Attack), "attack: %q, want one of %v", g.Attack, Attacks())
	fault(g.Role == Hostile && s.WarmUp == 0, "hostile: without a warm-up there is nothing to compare with; want warm_up: 5s or so")
	fault(g.Role != Hostile && g.Attack != "", "attack: only connections of role hostile attack")
	fault(g.Rate.Limited() && !sends && g.Role != Churn && g.Role != Hostile, "rate: role %s sends nothing", g.Role)
	fault(g.Role == Churn && s.ExpectClose != 0, "expected close code: churn closes its connections itself")
	if sends {
		payload, err := g.Payload.spec()
		fault(err != nil, "%w", err)
		fault(err == nil && !payload.Stamped() && g.Messages == 0 && s.Duration == 0, "payload: templates without {{stamp}} need an end: messages or a duration")
	}
	return faults
}

// roomSize is what a room comes to over all groups.
type roomSize struct {
	members, publishers int
	unstamped           bool
}

func (s Spec) room() (size roomSize) {
	for _, g := range s.Groups {
		switch g.Role {
		case Listen:
			size.members += g.Conns
		case Publish:
			size.members += g.Conns
			size.publishers += g.publishers()
			payload, err := g.Payload.spec()
			size.unstamped = size.unstamped || (err == nil && !payload.Stamped())
		}
	}
	return size
}

// publishers is how many publishers a group has: a URL counts as one.
func (g *Group) publishers() int {
	if g.PublishURL != "" {
		return 1
	}
	return g.Conns
}

// Unstamped tells whether the room's messages are matched by order alone, which
// takes one process.
func (s Spec) Unstamped() bool { return s.room().unstamped }

// Split shares the spec out to n agents. Every agent has all groups, some with no
// connection; rates go with the connections, and numbers of messages stay those
// of the whole.
func (s Spec) Split(n int) []Spec {
	s = s.withDefaults()
	total := s.Conns()
	shares := make([]Spec, n)
	for i := range shares {
		share := s
		share.Groups = slices.Clone(s.Groups)
		before := 0
		for j := range share.Groups {
			g := &share.Groups[j]
			whole := g.Conns
			g.First = before + whole*i/n
			before += whole
			g.Conns = whole*(i+1)/n - whole*i/n
			if whole > 0 {
				g.Ramp = g.Ramp.Share(float64(g.Conns) / float64(whole))
				g.Rate = g.Rate.Share(float64(g.Conns) / float64(whole))
			}
			if i > 0 {
				g.PublishURL = "" // one agent posts
			}
		}
		share.Ramp = s.Ramp.Share(float64(share.Conns()) / float64(max(1, total)))
		shares[i] = share
	}
	return shares
}

// load says in words how a group sends.
func (g *Group) load() string {
	who := "each connection"
	switch {
	case g.Role == Publish && g.PublishURL != "":
		who = "the URL"
	case g.Role == Publish:
		who = "each publisher"
	}
	if g.Rate.Limited() {
		return "open loop, " + g.Rate.String() + " in all"
	}
	return fmt.Sprintf("closed loop, %d in flight for %s", g.InFlight, who)
}

// underAttack tells whether there are hostile groups.
func (s *Spec) underAttack() bool {
	return slices.ContainsFunc(s.Groups, func(g Group) bool { return g.Role == Hostile })
}
