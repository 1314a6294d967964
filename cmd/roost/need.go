//go:build linux

package main

import (
	"slices"
	"time"
)

// What the process takes, measured with `scripts/million.sh 100000`: idle
// connections, the growth of the resident set, without GOGC: 193. About 170 bytes of
// it are alive, and the collector's headroom may be a quarter of that.
const (
	userBytesPerConn = 215
	userBytesFixed   = 16 << 20 // without a connection
	userSource       = "measured at 100,000 idle connections with scripts/million.sh"
)

// kernelParts is what the kernel keeps for an idle connection, by slab cache.
// The first cache that slabinfo knows counts: sockets accepted at ':8000' are
// IPv6 sockets. The estimates are those of Linux 6.18 on x86-64, which is also
// what is used where kernels merge a cache into another and no longer name it.
var kernelParts = []kernelPart{
	{"socket", []string{"TCPv6", "TCP"}, 2521},
	{"its inode", []string{"sock_inode_cache"}, 862},
	{"open file", []string{"filp"}, 256},
	{"directory entry", []string{"dentry"}, 195},
	{"epoll item", []string{"eventpoll_epi"}, 128},
	{"epoll hook", []string{"eventpoll_pwq"}, 80},
	{"descriptor table", nil, 16}, // 8 bytes, in a table that doubles when it grows
}

// flightParts come on top while a message is on its way to every connection.
var flightParts = []kernelPart{
	{"packet header", []string{"skbuff_fclone_cache"}, 512},
	{"packet", []string{"skbuff_small_head"}, 704},
}

// kernelPart is one thing the kernel allocates for a connection.
type kernelPart struct {
	what     string
	slabs    []string // names of its cache, the preferred one first
	estimate float64  // bytes, where slabinfo does not tell
}

// need is what connections take of a machine: plan prints it, doctor compares the
// machine with it.
type need struct {
	Conns       int64
	Descriptors int64 // of the process
	User        int64 // bytes of the process
	Kernel      int64 // bytes of the kernel while all are idle
	Flight      int64 // bytes of the kernel on top, while a short message is on its way to all
	Backlog     int64 // connections that may wait for accept
	TCPPages    int64 // pages of socket buffers, each connection with data on its way taking at least one

	kernelPerConn int64
	slabsErr      error // why estimates had to do
}

// needs reckons what conns connections take. It never fails: what the machine
// does not tell is estimated.
func needs(m machine, conns int64) need {
	slabs, err := m.slabs()
	perConn, flight := sum(kernelParts, slabs), sum(flightParts, slabs)
	return need{
		Conns:       conns,
		Descriptors: conns + reserved,
		User:        userBytesFixed + conns*userBytesPerConn,
		Kernel:      conns * perConn,
		Flight:      conns * flight,
		// When everybody comes back within ten seconds, the server may be late by a
		// tenth of a second.
		Backlog:       min(max(128, conns/100), 65535),
		TCPPages:      conns,
		kernelPerConn: perConn,
		slabsErr:      err,
	}
}

func sum(parts []kernelPart, slabs map[string]float64) int64 {
	total := 0.0
	for _, p := range parts {
		size := p.estimate
		if i := slices.IndexFunc(p.slabs, func(name string) bool { return slabs[name] > 0 }); i >= 0 {
			size = slabs[p.slabs[i]]
		}
		total += size
	}
	return int64(total)
}

// memory is all of it together, in bytes.
func (n need) memory() int64 { return n.User + n.Kernel + n.Flight }

// fit is how many connections fit in so many bytes.
func (n need) fit(bytes int64) int64 {
	each := (n.memory() - userBytesFixed) / n.Conns
	return max(0, (bytes-userBytesFixed)/each)
}

// pings is how many pings the server sends per second to connections that are
// silent, and how many pongs come back; 0 with pings off.
func (n need) pings(interval time.Duration) float64 {
	if interval == 0 {
		return 0
	}
	return float64(n.Conns) / interval.Seconds()
}

// connsPerSource is how many connections a load generator should open from one
// address: connect(2) searches long for a free port when most are taken. It is
// what roost-bench does.
const connsPerSource = 10_000
