//go:build linux

package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// ConnsPerSource is how many connections go out from one loopback address.
	// The kernel has 28,232 ports for each by default, but connect(2) searches
	// long for a free one when most are taken.
	ConnsPerSource = 10_000
	// spareDescriptors are for what the process opens beside connections: epoll,
	// eventfd, the Go runtime's own poller, /proc files, the resolver.
	spareDescriptors = 24
)

// Plan is what a run needs of the machine, found out before it starts.
type Plan struct {
	Conns             int      `json:"connections"`
	TargetAddress     string   `json:"target_address"`
	SourceAddresses   []string `json:"source_addresses"` // empty: the kernel chooses
	DescriptorsNeeded int      `json:"descriptors_needed"`
	DescriptorLimit   int      `json:"descriptor_limit"`

	target netip.AddrPort
	host   string // Host header
	path   string // request target
}

// DescriptorError is returned when the connections do not fit into the
// process's limit of open files.
type DescriptorError struct {
	Conns, Needed, Limit int
}

func (e *DescriptorError) Error() string {
	return fmt.Sprintf("%d connections need %d descriptors, but this process may open %d (hard limit of RLIMIT_NOFILE).\n"+
		"Use --conns %d or less, or raise the limit as root before the start: ulimit -Hn %d && ulimit -Sn %d "+
		"(systemd: LimitNOFILE=%d, docker: --ulimit nofile=%d)",
		e.Conns, e.Needed, e.Limit, max(0, e.Limit-(e.Needed-e.Conns)), e.Needed, e.Needed, e.Needed, e.Needed)
}

// PortError is returned when the source addresses have fewer local ports than
// there are connections.
type PortError struct {
	Conns, Sources, PortsEach int
}

func (e *PortError) Error() string {
	return fmt.Sprintf("%d connections do not fit into %d source address(es) with %d local ports each.\n"+
		"Give at least %d addresses with --source, or widen the range: sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"",
		e.Conns, e.Sources, e.PortsEach, (e.Conns+e.PortsEach-1)/e.PortsEach)
}

// NewPlan checks cfg, resolves its target, raises the soft descriptor limit of
// the process to the hard one and says what a run will use. It returns a
// *DescriptorError or a *PortError when the connections do not fit.
func NewPlan(cfg Config) (Plan, error) {
	if err := cfg.Validate(); err != nil {
		return Plan{}, err
	}
	u, err := parseTarget(cfg.URL)
	if err != nil {
		return Plan{}, err
	}
	port := u.Port()
	if port == "" {
		port = "80" // RFC 6455 section 3: the default port for ws
	}
	resolved, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return Plan{}, fmt.Errorf("url: %w", err)
	}
	target := resolved.AddrPort()
	target = netip.AddrPortFrom(target.Addr().Unmap(), target.Port())
	if target.Port() == 0 {
		return Plan{}, fmt.Errorf("url: %q names port 0", cfg.URL)
	}
	sources, err := chooseSources(cfg, target.Addr())
	if err != nil {
		return Plan{}, err
	}
	limit, err := raiseDescriptorLimit()
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{
		Conns:             cfg.Conns,
		TargetAddress:     target.String(),
		SourceAddresses:   sources,
		DescriptorsNeeded: cfg.Conns + openDescriptors() + spareDescriptors,
		DescriptorLimit:   limit,
		target:            target,
		host:              u.Host,
		path:              u.RequestURI(),
	}
	if plan.DescriptorsNeeded > limit {
		return plan, &DescriptorError{Conns: cfg.Conns, Needed: plan.DescriptorsNeeded, Limit: limit}
	}
	if ports := localPorts(); cfg.Conns > max(1, len(sources))*ports {
		return plan, &PortError{Conns: cfg.Conns, Sources: max(1, len(sources)), PortsEach: ports}
	}
	return plan, nil
}

// chooseSources lists the local addresses to connect from.
func chooseSources(cfg Config, target netip.Addr) ([]string, error) {
	wanted := (cfg.Conns + ConnsPerSource - 1) / ConnsPerSource
	if len(cfg.Sources) == 0 {
		if !target.Is4() || !target.IsLoopback() {
			return nil, nil
		}
		return firstHosts(netip.MustParsePrefix("127.0.0.0/8"), wanted), nil
	}
	var sources []string
	var faults []error
	for _, s := range cfg.Sources {
		if prefix, err := netip.ParsePrefix(s); err == nil {
			sources = append(sources, firstHosts(prefix, wanted)...)
			continue
		}
		sources = append(sources, s)
	}
	for _, s := range sources {
		if addr := netip.MustParseAddr(s); addr.Is4() != target.Is4() {
			faults = append(faults, fmt.Errorf("source: %s cannot reach %s: one is IPv4, the other IPv6", s, target))
		}
	}
	return sources, errors.Join(faults...)
}

// firstHosts lists up to n addresses of prefix, without the network address.
func firstHosts(prefix netip.Prefix, n int) []string {
	addr := prefix.Masked().Addr()
	if prefix.Bits() < addr.BitLen()-1 {
		addr = addr.Next()
	}
	var hosts []string
	for ; len(hosts) < n && prefix.Contains(addr); addr = addr.Next() {
		hosts = append(hosts, addr.String())
	}
	return hosts
}

// raiseDescriptorLimit lifts the soft limit to the hard one and returns it.
func raiseDescriptorLimit() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("getrlimit: %w", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return 0, fmt.Errorf("setrlimit: %w", err)
		}
	}
	const most = 1 << 30 // RLIM_INFINITY does not fit an int
	return int(min(limit.Cur, most)), nil
}

// openDescriptors counts what the process has open already.
func openDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 3
	}
	return len(entries)
}

// localPorts is the size of the kernel's range for outgoing connections, ip(7).
func localPorts() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	var low, high int
	if err == nil {
		_, err = fmt.Fscan(strings.NewReader(string(text)), &low, &high)
	}
	if err != nil || high < low {
		return 28_232
	}
	return high - low + 1
}
