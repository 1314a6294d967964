package bench

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// tally counts what happened to connections.
type tally struct {
	closes     map[int]int64 // by code, of connections the server ended first
	answered   int64         // the client's close frame was answered with one
	unanswered int64         // it was not
	pings      int64
	messages   int64 // whole ones received, whosever they are
	failures   map[string]*Failure
}

// Failure is one kind of failed connection attempt or broken connection.
type Failure struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
	// Remedy is what can be done about it; empty when nothing is known.
	Remedy string `json:"remedy,omitempty"`
}

// CloseCount is the number of connections that the server ended with one code.
type CloseCount struct {
	Code  int   `json:"code"` // CloseAbnormal: without a close frame
	Count int64 `json:"connections"`
}

// String is one entry of the close table, such as "1001 x 15000".
func (c CloseCount) String() string {
	if c.Code == CloseAbnormal {
		return fmt.Sprintf("%d (no close frame) x %d", c.Code, c.Count)
	}
	return fmt.Sprintf("%d x %d", c.Code, c.Count)
}

func (t *tally) init() {
	t.closes = map[int]int64{}
	t.failures = map[string]*Failure{}
}

// failed counts a failed attempt.
func (t *tally) failed(err error, plan Plan) {
	reason, remedy := explain(err, plan)
	t.count(reason, remedy)
}

// violated counts a connection broken by the server's own frames.
func (t *tally) violated(err error) {
	t.count("protocol error of the server: "+err.Error(), "")
}

func (t *tally) count(reason, remedy string) {
	f := t.failures[reason]
	if f == nil {
		f = &Failure{Reason: reason, Remedy: remedy}
		t.failures[reason] = f
	}
	f.Count++
}

// list returns the failures, most frequent first.
func (t *tally) list() []Failure {
	list := []Failure{}
	for _, f := range t.failures {
		list = append(list, *f)
	}
	slices.SortFunc(list, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}

// closeCounts returns the closes by code.
func (t *tally) closeCounts() []CloseCount {
	list := []CloseCount{}
	for code, n := range t.closes {
		list = append(list, CloseCount{code, n})
	}
	slices.SortFunc(list, func(a, b CloseCount) int { return cmp.Compare(a.Code, b.Code) })
	return list
}

// explain names a failed attempt and what can be done about it.
func explain(err error, plan Plan) (reason, remedy string) {
	var errno unix.Errno
	if errors.As(err, &errno) {
		reason = fmt.Sprintf("%s: %s", unix.ErrnoName(errno), errno)
		switch errno {
		case unix.EADDRNOTAVAIL:
			remedy = "the local ports of a source address are used up, or the address is not of this machine: " +
				"give more addresses with --source (loopback: --source 127.0.1.0/24) or widen net.ipv4.ip_local_port_range"
		case unix.ECONNREFUSED:
			remedy = "nothing listens at " + plan.TargetAddress + ": start the server or check --url"
		case unix.EMFILE, unix.ENFILE:
			remedy = "no descriptors left: use fewer --conns or raise RLIMIT_NOFILE (ulimit -n); ENFILE: fs.file-max"
		case unix.ECONNRESET, unix.EPIPE:
			remedy = "the server or its kernel cut the connection during the handshake: look at the server's log, its descriptor limit and net.core.somaxconn"
		case unix.ETIMEDOUT:
			remedy = "the server's accept queue may be full: raise its listen backlog and net.core.somaxconn, or lower --rate"
		case unix.ENETUNREACH, unix.EHOSTUNREACH:
			remedy = "there is no route to " + plan.TargetAddress
		}
		return reason, remedy
	}
	var refused *RefusedError
	switch {
	case errors.Is(err, ErrConnectTimeout):
		remedy = "the server's accept queue may be full: raise its listen backlog and net.core.somaxconn, or lower --rate"
	case errors.Is(err, ErrHandshakeTimeout):
		remedy = "the server accepted but did not answer: lower --rate or --handshakes, or raise --handshake-timeout"
	case errors.Is(err, ErrHandshakeClosed):
		remedy = "the server may be at its connection or descriptor limit: look at its log"
	case errors.As(err, &refused):
		remedy = "check the path in --url, --header, and the server's limits"
	}
	return err.Error(), remedy
}
