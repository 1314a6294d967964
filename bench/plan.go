//go:build linux

package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"roost/poller/socket"
)

const (
	// ConnsPerSource is how many connections go out from one loopback address.
	// The kernel has 28,232 ports for each by default, but connect(2) searches
	// long for a free one when most are taken.
	ConnsPerSource = 10_000
	// spareDescriptors are for what a process opens beside connections: epoll,
	// eventfd, the Go runtime's own poller, pipes, /proc files, the resolver.
	spareDescriptors = 24
	// MaxProcesses bounds what one run may start.
	MaxProcesses = 256
)

// Plan is what a run needs of the machine, found out before it starts.
type Plan struct {
	Conns             int      `json:"connections"`
	Processes         int      `json:"processes"`
	TargetAddresses   []string `json:"target_addresses"`
	SourceAddresses   []string `json:"source_addresses"`   // empty: the kernel chooses
	DescriptorsNeeded int      `json:"descriptors_needed"` // by the process with most connections
	DescriptorLimit   int      `json:"descriptor_limit"`   // of each process
	PortsPerSource    int      `json:"ports_per_source"`   // for each target
}

// DescriptorError is returned when the connections do not fit into the limit of
// open files of as many processes as were asked for.
type DescriptorError struct {
	Conns, Processes, Needed, Limit int
}

func (e *DescriptorError) Error() string {
	return fmt.Sprintf("%d connections in %d process(es) need %d descriptors each, but a process may open %d (hard limit of RLIMIT_NOFILE).\n"+
		"Use --procs auto, --conns %d or less, or raise the limit as root before the start: ulimit -Hn %d && ulimit -Sn %d "+
		"(systemd: LimitNOFILE=%d, docker: --ulimit nofile=%d)",
		e.Conns, e.Processes, e.Needed, e.Limit, max(0, e.Limit-(e.Needed-e.Conns/e.Processes))*e.Processes, e.Needed, e.Needed, e.Needed, e.Needed)
}

// PortError is returned when the source addresses have fewer local ports than
// there are connections.
type PortError struct {
	Conns, Sources, Targets, PortsEach int
}

func (e *PortError) Error() string {
	each := e.PortsEach * e.Targets
	return fmt.Sprintf("%d connections do not fit into %d source address(es) with %d local ports each.\n"+
		"Give at least %d addresses with --source, or widen the range: sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"",
		e.Conns, e.Sources, each, (e.Conns+each-1)/each)
}

// target is one resolved URL.
type target struct {
	address netip.AddrPort
	host    string      // Host header
	path    string      // request target
	tls     *tls.Config // nil: none
}

// resolve finds the address of each URL.
func resolve(urls []string, settings TLS) ([]target, error) {
	var targets []target
	for _, raw := range urls {
		u, err := parseTarget(raw)
		if err != nil {
			return nil, err
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme] // RFC 6455 section 3
		}
		resolved, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(u.Hostname(), port))
		if err != nil {
			return nil, fmt.Errorf("url: %w", err)
		}
		address := resolved.AddrPort()
		address = netip.AddrPortFrom(address.Addr().Unmap(), address.Port())
		if address.Port() == 0 {
			return nil, fmt.Errorf("url: %q names port 0", raw)
		}
		t := target{address: address, host: u.Host, path: u.RequestURI()}
		if u.Scheme == "wss" {
			if t.tls, err = settings.config(u.Hostname()); err != nil {
				return nil, err
			}
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// NewPlan checks cfg, resolves its targets, raises the soft descriptor limit of
// the process to the hard one and says what a run will use. processes is their
// number; 0 takes as many as the descriptors need. It returns a *DescriptorError
// or a *PortError when the connections do not fit.
func NewPlan(cfg Config, processes int) (Plan, error) {
	if err := cfg.Validate(); err != nil {
		return Plan{}, err
	}
	if processes < 0 || processes > MaxProcesses {
		return Plan{}, fmt.Errorf("processes: %d, want 1 to %d, or 0 for as many as the descriptors need", processes, MaxProcesses)
	}
	targets, err := resolve(cfg.URLs, cfg.TLS)
	if err != nil {
		return Plan{}, err
	}
	limit, err := raiseDescriptorLimit()
	if err != nil {
		return Plan{}, err
	}
	spare := openDescriptors() + spareDescriptors
	if processes == 0 {
		each := max(1, limit-spare)
		processes = min((cfg.Conns+each-1)/each, MaxProcesses)
	}
	processes = min(processes, cfg.Conns)
	plan := Plan{
		Conns:             cfg.Conns,
		Processes:         processes,
		DescriptorsNeeded: (cfg.Conns+processes-1)/processes + spare,
		DescriptorLimit:   limit,
		PortsPerSource:    localPorts(),
	}
	for _, t := range targets {
		plan.TargetAddresses = append(plan.TargetAddresses, t.address.String())
	}
	if plan.DescriptorsNeeded > limit {
		return plan, &DescriptorError{Conns: cfg.Conns, Processes: processes, Needed: plan.DescriptorsNeeded, Limit: limit}
	}
	// Each process has addresses of its own, so that no two search the same ports.
	wanted := processes * (((cfg.Conns+processes-1)/processes + ConnsPerSource - 1) / ConnsPerSource)
	sources, err := chooseSources(cfg.Sources, wanted*ConnsPerSource, targets)
	if err != nil {
		return Plan{}, err
	}
	for _, s := range sources {
		plan.SourceAddresses = append(plan.SourceAddresses, s.Addr().String())
	}
	if n := max(1, len(sources)); cfg.Conns > n*plan.PortsPerSource*len(targets) {
		return plan, &PortError{Conns: cfg.Conns, Sources: n, Targets: len(targets), PortsEach: plan.PortsPerSource}
	}
	return plan, nil
}

// SourcesOf lists the source addresses of one of the plan's processes.
func (p Plan) SourcesOf(process int) []string {
	n := len(p.SourceAddresses)
	if n < p.Processes {
		return p.SourceAddresses
	}
	return p.SourceAddresses[process*n/p.Processes : (process+1)*n/p.Processes]
}

// chooseSources lists the local addresses to connect from.
func chooseSources(given []string, conns int, targets []target) ([]netip.AddrPort, error) {
	wanted := (conns + ConnsPerSource - 1) / ConnsPerSource
	var sources []netip.AddrPort
	for _, s := range given {
		if prefix, err := netip.ParsePrefix(s); err == nil {
			sources = append(sources, firstHosts(prefix, wanted)...)
			continue
		}
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return nil, checkSource(s)
		}
		sources = append(sources, netip.AddrPortFrom(addr, 0))
	}
	var faults []error
	loopback := true
	for _, t := range targets {
		to := t.address.Addr()
		loopback = loopback && to.Is4() && to.IsLoopback()
		for _, s := range sources {
			if s.Addr().Is4() != to.Is4() {
				faults = append(faults, fmt.Errorf("source: %s cannot reach %s: one is IPv4, the other IPv6", s.Addr(), t.address))
			}
		}
	}
	if len(given) == 0 && loopback {
		sources = firstHosts(netip.MustParsePrefix("127.0.0.0/8"), wanted)
	}
	return sources, errors.Join(faults...)
}

// firstHosts lists up to n addresses of prefix, without the network address.
func firstHosts(prefix netip.Prefix, n int) []netip.AddrPort {
	addr := prefix.Masked().Addr()
	if prefix.Bits() < addr.BitLen()-1 {
		addr = addr.Next()
	}
	var hosts []netip.AddrPort
	for ; len(hosts) < n && prefix.Contains(addr); addr = addr.Next() {
		hosts = append(hosts, netip.AddrPortFrom(addr, 0))
	}
	return hosts
}

// raiseDescriptorLimit lifts the soft limit to the hard one and returns it.
func raiseDescriptorLimit() (int, error) {
	limit, err := socket.RaiseDescriptorLimit()
	const most = 1 << 30 // RLIM_INFINITY does not fit an int
	return int(min(limit, most)), err
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
