//go:build linux

package server

import (
	"fmt"

	"roost/conn"
	"roost/poller/socket"
)

// kernelTLS is what the kernel can do for the TLS of connections.
type kernelTLS struct {
	// Static after open.
	suites []uint16 // cipher suites that it knows; none when it is not to do anything
	why    string   // why not
}

// open asks the kernel, if that is wanted.
func (k *kernelTLS) open(c *Config) error {
	switch {
	case !c.tlsOn():
		k.why = "no listener speaks TLS"
		return nil
	case c.TLS.Kernel == conn.KernelTLSOff:
		k.why = "it is switched off"
		return nil
	}
	suites, err := socket.KernelTLS()
	if c.TLS.Kernel == conn.KernelTLSRequire && err != nil {
		return fmt.Errorf("the kernel has to do it, and cannot: %w", err)
	}
	if k.suites = suites; len(suites) == 0 {
		k.why = err.Error()
	}
	return nil
}

// KernelTLS reports whether the kernel does the TLS of connections where it can; if not,
// why tells the reason. It is false before Start.
func (s *Server) KernelTLS() (on bool, why string) {
	if !s.running.Load() {
		return false, "the server does not run"
	}
	return len(s.kernelTLS.suites) > 0, s.kernelTLS.why
}
