package server

import (
	"errors"
	"fmt"
	"net/netip"
)

// proxies are the peers whose word is taken for the address of a client. Nil means that
// there are none.
type proxies struct {
	networks []netip.Prefix
	unix     bool // peers without an address
}

// parseProxies is for Config.TrustedProxies. It reports every fault at once.
func parseProxies(list []string) (*proxies, error) {
	if len(list) == 0 {
		return nil, nil
	}
	p := new(proxies)
	var errs []error
	for _, s := range list {
		if s == "unix" {
			p.unix = true
			continue
		}
		network, err := netip.ParsePrefix(s)
		if err != nil {
			addr, addrErr := netip.ParseAddr(s)
			if addrErr != nil || addr.Zone() != "" {
				errs = append(errs, fmt.Errorf("trusted proxy %q: want an IP address, a network as in 10.0.0.0/8 or fd00::/8, or unix", s))
				continue
			}
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		if addr := network.Addr(); addr.Is4In6() && network.Bits() >= 96 {
			network = netip.PrefixFrom(addr.Unmap(), network.Bits()-96) // as peers are shown
		}
		p.networks = append(p.networks, network)
	}
	return p, errors.Join(errs...)
}

// trust reports whether addr is one of p. The zero Addr is the peer of a unix socket.
func (p *proxies) trust(addr netip.Addr) bool {
	if p == nil {
		return false
	}
	if !addr.IsValid() {
		return p.unix
	}
	for _, n := range p.networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
