//go:build linux

package server

import (
	"errors"
	"fmt"
	"slices"
)

// Limits is the part of a [Config] that [Server.Reload] may change while the server
// runs. The zero value of each field is its default.
type Limits struct {
	// Origins are the browser origins admitted beside the server's own host; see
	// handshake.Policy. Empty means the same host only.
	Origins []string

	// MaxConns is the number of WebSocket connections served at once; more are
	// answered with 503. 0 means no limit: when descriptors run out, clients wait in
	// the kernel's backlog until one comes free. When it is lowered nobody is cut off.
	MaxConns int
	// MaxConnsPerIP is the number of connections from one client address, an IPv4
	// address or an IPv6 network of 64 bits, with or without a handshake; more are
	// answered with 503. 0 means no limit. Those that were open when the limit was
	// switched on are not counted, nor are those that have gone on to net/http.
	MaxConnsPerIP int
	// AcceptRate is the number of connections accepted per second; as many may come at
	// once after a second of rest. More wait in the kernel's backlog. 0 means no limit.
	AcceptRate int
	// AcceptRatePerIP is the number of connections per second from one client address,
	// as in MaxConnsPerIP; as many may come at once after a second of rest. More are
	// answered with 429. 0 means no limit.
	AcceptRatePerIP int
	// MessageRate is the number of messages per second from one client; as many may
	// come at once after a second of rest. A client that sends more is closed with
	// status 1008, and the message is not delivered. 0 means no limit.
	MessageRate int
	// MaxHandshakes is the number of connections whose request has not come whole.
	// Beyond, the oldest are dropped until 90 % are left; those that wait for the server, in a
	// handshake of TLS, come last. 0 means 16,384; a negative
	// number means no limit.
	MaxHandshakes int
	// MaxMemory bounds the resident memory of the process, in bytes. At 90 % no more
	// connections are accepted until 85 % are left; at 95 %, after a garbage collection,
	// clients with the longest queues are closed until 90 % are left. 0 means no limit.
	// Give Go's memory limit (GOMEMLIMIT) 90 % of it.
	MaxMemory int64
}

// leastMemory is less than what a server without connections takes.
const leastMemory = 16 << 20

func (l Limits) withDefaults() Limits {
	def(&l.MaxHandshakes, 16384)
	return l
}

// validate reports every fault at once, except for those of Origins.
func (l Limits) validate() error {
	var errs []error
	const most, mostRate = 1 << 30, 1_000_000
	for _, f := range []struct {
		name        string
		value, most int
	}{
		{"max connections", l.MaxConns, most}, {"max connections per IP", l.MaxConnsPerIP, most},
		{"max handshakes", max(0, l.MaxHandshakes), most},
		{"accept rate", l.AcceptRate, mostRate}, {"accept rate per IP", l.AcceptRatePerIP, mostRate},
		{"message rate", l.MessageRate, mostRate},
	} {
		if f.value < 0 || f.value > f.most {
			errs = append(errs, fmt.Errorf("%s: %d is out of range; want 1 to %d, or 0 for no limit", f.name, f.value, f.most))
		}
	}
	if l.MaxMemory != 0 && l.MaxMemory < leastMemory {
		errs = append(errs, fmt.Errorf("max memory: %d is out of range; want at least %d bytes, or 0 for no limit", l.MaxMemory, leastMemory))
	}
	return errors.Join(errs...)
}

// perIP reports whether anything is limited per client address.
func (l *Limits) perIP() bool { return l.MaxConnsPerIP > 0 || l.AcceptRatePerIP > 0 }

// Reload replaces the limits in force, all of them or, when one of them is not valid,
// none: then the error names every fault. It may be called from any goroutine, before,
// while and after the server runs.
//
// A new limit is for what comes from then on. Nobody is cut off because there are more
// connections than there may be now, or because of an origin that is no longer allowed.
func (s *Server) Reload(l Limits) error {
	l = l.withDefaults()
	l.Origins = slices.Clone(l.Origins)
	s.mu.Lock()
	defer s.mu.Unlock()
	config := s.config
	config.Limits = l
	if err := config.Validate(); err != nil {
		return err
	}
	s.limits.Store(&l)
	s.group.SetPolicy(config.policy())
	s.resumeListeners()
	s.shedder.alarm()
	return nil
}
