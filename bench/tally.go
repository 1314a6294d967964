package bench

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	tls        map[tlsKind]*TLSUse
	deflate    Compression
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
	t.tls = map[tlsKind]*TLSUse{}
}

// failed counts a failed attempt.
func (t *tally) failed(err error, targets []target) {
	reason, remedy := explain(err, targets)
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

// list returns the failures in no order.
func (t *tally) list() []Failure {
	list := []Failure{}
	for _, f := range t.failures {
		list = append(list, *f)
	}
	return list
}

// closeCounts returns the closes by code.
func (t *tally) closeCounts() []CloseCount {
	list := []CloseCount{}
	for code, n := range t.closes {
		list = append(list, CloseCount{code, n})
	}
	return MergeCloses(list)
}

// MergeFailures adds up lists of failures by reason, most frequent first.
func MergeFailures(lists ...[]Failure) []Failure {
	merged := []Failure{}
	for _, f := range slices.Concat(lists...) {
		i := slices.IndexFunc(merged, func(m Failure) bool { return m.Reason == f.Reason })
		if i < 0 {
			merged = append(merged, f)
			continue
		}
		merged[i].Count += f.Count
	}
	slices.SortFunc(merged, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return merged
}

// MergeCloses adds up lists of close counts, in the order of the codes.
func MergeCloses(lists ...[]CloseCount) []CloseCount {
	merged := []CloseCount{}
	for _, c := range slices.Concat(lists...) {
		i := slices.IndexFunc(merged, func(m CloseCount) bool { return m.Code == c.Code })
		if i < 0 {
			merged = append(merged, c)
			continue
		}
		merged[i].Count += c.Count
	}
	slices.SortFunc(merged, func(a, b CloseCount) int { return cmp.Compare(a.Code, b.Code) })
	return merged
}

// explain names a failed attempt and what can be done about it.
func explain(err error, targets []target) (reason, remedy string) {
	var names []string
	for _, t := range targets {
		names = append(names, t.address.String())
	}
	where := strings.Join(names, ", ")
	var errno unix.Errno
	if errors.As(err, &errno) {
		reason = fmt.Sprintf("%s: %s", unix.ErrnoName(errno), errno)
		switch errno {
		case unix.EADDRNOTAVAIL:
			remedy = "the local ports of a source address are used up, or the address is not of this machine: " +
				"give more addresses with --source (loopback: --source 127.0.1.0/24) or widen net.ipv4.ip_local_port_range"
		case unix.ECONNREFUSED:
			remedy = "nothing listens at " + where + ": start the server or check --url"
		case unix.EMFILE, unix.ENFILE:
			remedy = "no descriptors left: use fewer --conns or raise RLIMIT_NOFILE (ulimit -n); ENFILE: fs.file-max"
		case unix.ECONNRESET, unix.EPIPE:
			remedy = "the server or its kernel cut the connection during the handshake: look at the server's log, its descriptor limit and net.core.somaxconn"
		case unix.ETIMEDOUT:
			remedy = "the server's accept queue may be full: raise its listen backlog and net.core.somaxconn, or lower --ramp"
		case unix.ENETUNREACH, unix.EHOSTUNREACH:
			remedy = "there is no route to " + where
		}
		return reason, remedy
	}
	var refused *RefusedError
	var certificate *CertificateError
	var alert *AlertError
	switch {
	case errors.As(err, &certificate):
		remedy = "give the certificate that vouches for it with --ca FILE, name the host as in the certificate, or do not verify with --tls-insecure"
	case errors.Is(err, ErrTLSAnswer):
		remedy = "that port does not speak TLS: use ws:// in --url, or the server's port for TLS"
	case errors.As(err, &alert):
		remedy = "look at the server's log, the TLS versions it has (--tls-max), and whether it wants certificates of its clients"
	case errors.Is(err, ErrTLSClosed):
		remedy = "the server may be at its connection limit, or want another TLS version: look at its log"
	case errors.Is(err, ErrTLSFault):
		remedy = "client and server do not understand each other: try --tls-max 1.2, and look at the server's log"
	case errors.Is(err, ErrTLSTimeout):
		remedy = "the server shakes hands more slowly than they begin: lower --ramp or --handshakes, or raise --handshake-timeout"
	case errors.Is(err, ErrHandshakeTLS):
		remedy = "use wss:// in --url"
	case errors.Is(err, ErrConnectTimeout):
		remedy = "the server's accept queue may be full: raise its listen backlog and net.core.somaxconn, or lower --ramp"
	case errors.Is(err, ErrHandshakeTimeout):
		remedy = "the server accepted but did not answer: lower --ramp or --handshakes, or raise --handshake-timeout"
	case errors.Is(err, ErrHandshakeClosed):
		remedy = "the server may be at its connection or descriptor limit: look at its log"
	case errors.As(err, &refused):
		remedy = "check the path in --url, and its scheme (wss where the port speaks TLS), --header, and the server's limits"
	}
	return err.Error(), remedy
}
