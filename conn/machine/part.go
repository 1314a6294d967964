//go:build linux

package machine

import (
	"slices"
	"time"
)

// What a roost process takes, measured with `scripts/million.sh 100000`: idle
// connections, the growth of the resident set, without GOGC: 193. About 170 bytes of
// it are alive, and the collector's headroom may be a quarter of that.
const (
	UserBytesPerConn = 215
	UserBytesFixed   = 18 << 20 // without a connection
	UserSource       = "measured at 100,000 idle connections with scripts/million.sh"
)

// What TLS adds to an idle connection, in bytes. Where the process does it, that is the
// state of crypto/tls, 7.5 kB, and the collector's headroom. Where the kernel does it, the
// process keeps a little of the handshakes, and the kernel has keys: 8 kB of its part are
// tables that only AES in software needs.
const (
	TLSUserBytes        = 9_400
	KernelTLSUserBytes  = 400
	KernelTLSBytes      = 12_800
	TLSSource           = "measured at 18,000 idle connections with TLS by scripts/compare-peers.sh --secure"
	KernelTLSUserSource = "measured at 18,000 idle connections with TLS in the kernel by scripts/ktls.sh"
	KernelTLSSource     = "measured by scripts/ktls.sh on Linux 6.1 without AES instructions (with them it should be less)"
)

// HandshakeTLS is the processor time of a server for a full TLS handshake with the request
// behind it. At most half of the processors, and one, compute handshakes at a time.
const (
	HandshakeTLS       = 522 * time.Microsecond
	HandshakeTLSSource = "measured by scripts/compare-peers.sh --secure"
)

// KernelParts is what the kernel keeps for an idle connection, by slab cache.
// The first cache that slabinfo knows counts: sockets accepted at ':8000' are
// IPv6 sockets. The estimates are those of Linux 6.18 on x86-64, which is also
// what is used where kernels merge a cache into another and no longer name it.
func KernelParts() []Part {
	return []Part{
		{"socket", []string{"TCPv6", "TCP"}, 2521},
		{"its inode", []string{"sock_inode_cache"}, 862},
		{"open file", []string{"filp"}, 256},
		{"directory entry", []string{"dentry"}, 195},
		{"epoll item", []string{"eventpoll_epi"}, 128},
		{"epoll hook", []string{"eventpoll_pwq"}, 80},
		{"descriptor table", nil, 16}, // 8 bytes, in a table that doubles when it grows
	}
}

// FlightParts come on top while a message is on its way to every connection.
func FlightParts() []Part {
	return []Part{
		{"packet header", []string{"skbuff_fclone_cache"}, 512},
		{"packet", []string{"skbuff_small_head"}, 704},
	}
}

// KernelEstimate says where the sizes come from when slabinfo cannot be read.
const KernelEstimate = "estimated from Linux 6.18"

// Part is one thing the kernel allocates for a connection.
type Part struct {
	What     string
	Slabs    []string // names of its cache, the preferred one first
	Estimate float64  // bytes, where slabinfo does not tell
}

// Bytes is the size of one, and the cache it was found in, "" for an estimate.
// slabs are those of [Machine.Slabs]; nil will do.
func (p Part) Bytes(slabs map[string]float64) (size float64, slab string) {
	if i := slices.IndexFunc(p.Slabs, func(name string) bool { return slabs[name] > 0 }); i >= 0 {
		return slabs[p.Slabs[i]], p.Slabs[i]
	}
	return p.Estimate, ""
}

// Sum is the bytes of one of each.
func Sum(parts []Part, slabs map[string]float64) int64 {
	total := 0.0
	for _, p := range parts {
		size, _ := p.Bytes(slabs)
		total += size
	}
	return int64(total)
}
