//go:build linux

package server

import (
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
		return &KernelTLSError{err}
	}
	if k.suites = suites; len(suites) == 0 {
		k.why = err.Error()
	}
	return nil
}

// KernelTLSError is returned by Start when the kernel has to do TLS, and cannot.
type KernelTLSError struct{ err error }

func (e *KernelTLSError) Error() string {
	return "TLS: the kernel has to do it, and cannot: " + e.err.Error()
}

// Unwrap is the cause.
func (e *KernelTLSError) Unwrap() error { return e.err }

// KernelTLS reports whether the kernel does the TLS of connections where it can; if not,
// why tells the reason. It is false before Start.
func (s *Server) KernelTLS() (on bool, why string) {
	if !s.running.Load() {
		return false, "the server does not run"
	}
	return len(s.kernelTLS.suites) > 0, s.kernelTLS.why
}
