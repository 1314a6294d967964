package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Defaults for the zero values of Config.
const (
	DefaultHandshakes       = 512
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultTimeout          = 10 * time.Second
	DefaultCloseTimeout     = 2 * time.Second
	DefaultMaxMessageBytes  = 64 << 20
)

// Config says where a Client connects, how many times, and when it gives up.
// The zero value of every field but URLs and Conns is useful.
type Config struct {
	// URLs of the endpoint, ws://host:port/path or wss for TLS, one or more, which
	// connections take in turn.
	URLs []string
	// Conns is the number of connections, 1 or more.
	Conns int

	// Handshakes bounds the attempts in flight of one process; 0 means
	// DefaultHandshakes.
	Handshakes int
	// Sources are the local addresses to connect from: single addresses, all of
	// which are used, or one prefix such as 127.0.1.0/24, of which as many are
	// used as needed. Empty spreads over 127.0.0.1, 127.0.0.2 and so on when
	// the target is an IPv4 loopback address, else leaves it to the kernel.
	Sources []string
	// Header has extra request header lines, each "Name: value".
	Header []string
	// Subprotocols are offered in this order; the server may choose one.
	Subprotocols []string
	// ZeroMask sends frames with the mask key 0, for servers that do not unmask.
	// RFC 6455 section 5.3 wants keys that cannot be predicted.
	ZeroMask bool
	// SampleKey sends the key of the example in RFC 6455 section 1.3 from every
	// connection, for servers that give a canned 101 answer. Section 4.1 wants
	// a random one.
	SampleKey bool

	// TLS is for wss URLs.
	TLS TLS
	// Compress offers permessage-deflate without context takeover, RFC 7692. Where
	// the server agrees, messages that get shorter are sent compressed.
	Compress bool

	// HandshakeTimeout runs from connect to the checked 101 answer, TLS included; 0 means
	// DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// Timeout ends a phase in which nothing moves any more; 0 means DefaultTimeout.
	Timeout time.Duration
	// CloseTimeout bounds the closing handshake; 0 means DefaultCloseTimeout.
	CloseTimeout time.Duration
	// MaxMessageBytes bounds one incoming message; 0 means DefaultMaxMessageBytes.
	MaxMessageBytes int

	// Epoch is when the run's clock showed 0, by CLOCK_MONOTONIC, which all
	// processes of a machine share; 0 means when the client is made.
	Epoch time.Duration
	// Progress, when set, is called about ten times a second by the goroutine
	// that drives the client. It must return soon.
	Progress func(Snapshot) `json:"-"`
}

// Snapshot is the state of a running phase.
type Snapshot struct {
	Phase   string        // open, settle, warm-up, measure, drain, close
	Elapsed time.Duration // since the phase began
	Conns   int           // connections asked for
	Open    int           // connections open now
	Failed  int64         // attempts so far that failed
	Closed  int64         // opened connections that have ended
	Done    int64         // units of the phase done so far
	Total   int64         // units in all; 0 when unknown
	Unit    string        // connections, messages, deliveries, handshakes, milliseconds
	Last    *Second       // the last whole second; nil before
}

// withDefaults fills the zero values.
func (c Config) withDefaults() Config {
	setDefault(&c.Handshakes, DefaultHandshakes)
	setDefault(&c.HandshakeTimeout, DefaultHandshakeTimeout)
	setDefault(&c.Timeout, DefaultTimeout)
	setDefault(&c.CloseTimeout, DefaultCloseTimeout)
	setDefault(&c.MaxMessageBytes, DefaultMaxMessageBytes)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every fault at once, joined, or nil.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(len(c.URLs) == 0, "url: none, want ws://host:port/path or wss://host:port/path")
	plain := 0
	for _, raw := range c.URLs {
		u, err := parseTarget(raw)
		switch {
		case err != nil:
			faults = append(faults, err)
		case u.Scheme == "ws":
			plain++
		}
	}
	for _, s := range c.Sources {
		if err := checkSource(s); err != nil {
			faults = append(faults, err)
		}
	}
	for _, line := range c.Header {
		if err := checkHeaderLine(line); err != nil {
			faults = append(faults, err)
		}
	}
	for _, name := range c.Subprotocols {
		fault(!isToken(name), "subprotocol: %q, want a name without spaces or separators", name)
	}
	if err := c.TLS.Validate(); err != nil {
		faults = append(faults, err)
	}
	fault(c.TLS != TLS{} && len(c.URLs) > 0 && plain == len(c.URLs), "TLS: there are settings for it (--ca, --tls-insecure, --tls-resume, --tls-max), but no url is wss://host:port/path")
	fault(c.Conns < 1, "connections: %d, want 1 or more", c.Conns)
	fault(c.Handshakes < 0, "handshakes in flight: %d, want 1 or more, or 0 for %d", c.Handshakes, DefaultHandshakes)
	fault(c.HandshakeTimeout < 0, "handshake timeout: %v, want 0 or more", c.HandshakeTimeout)
	fault(c.Timeout < 0, "timeout: %v, want 0 or more", c.Timeout)
	fault(c.CloseTimeout < 0, "close timeout: %v, want 0 or more", c.CloseTimeout)
	fault(c.MaxMessageBytes < 0, "largest message: %d bytes, want 0 or more", c.MaxMessageBytes)
	return errors.Join(faults...)
}

// parseTarget checks the URL by RFC 6455 section 3.
func parseTarget(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("url: %w", err)
	case (u.Scheme != "ws" && u.Scheme != "wss") || u.Hostname() == "":
		return nil, fmt.Errorf("url: %q, want ws://host:port/path or wss://host:port/path", raw)
	case u.Fragment != "":
		return nil, fmt.Errorf("url: %q has a fragment; RFC 6455 section 3 forbids it", raw)
	}
	return u, nil
}

func checkSource(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return nil
	}
	return fmt.Errorf("source: %q is neither an address nor a prefix such as 127.0.1.0/24", s)
}

// checkHeaderLine keeps the request well formed: a line break in a value would
// start another header field (RFC 9110 section 5.5).
func checkHeaderLine(line string) error {
	name, _, ok := strings.Cut(line, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t") || strings.ContainsAny(line, "\r\n\x00") {
		return fmt.Errorf("header: %q, want \"Name: value\" on one line", line)
	}
	return nil
}

// isToken tells whether s is a token of RFC 9110 section 5.6.2, as RFC 6455
// section 4.1 wants of a subprotocol.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("()<>@,;:\\\"/[]?={}", r)
	})
}
