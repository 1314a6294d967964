//go:build linux

package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"roost/conn/machine"
	"roost/conn/server"
	"roost/poller/socket"
)

// needFlags say of plan and doctor what connections they reckon with.
type needFlags struct {
	Conns  count    `config:"max-conns" env:"ROOST_CONNS,ROOST_MAX_CONNS" placeholder:"N" help:"Connections that the machine has to hold. Required, unless config file or environment have that of serve, max-conns and ROOST_MAX_CONNS."`
	Listen []string `placeholder:"ADDRESS" help:"As of serve: with tls: in front of one of them, as in tls::8443, all connections count as having TLS."`
	KTLS   choice   `name:"ktls" default:"auto" placeholder:"auto|off|require" help:"As of serve: whether TLS takes memory of the kernel or of the process. With auto it is as it would be on this machine."`
}

func (f *needFlags) faults() (errs []error) {
	if f.Conns.bad == nil && (f.Conns.n < 1 || f.Conns.n > maxConns) {
		errs = append(errs, fmt.Errorf("--conns: want 1 to %d, here, as ROOST_MAX_CONNS, or as max-conns in the file of --config", maxConns))
	}
	if err := f.KTLS.among("ktls", ktlsChoices...); err != nil {
		errs = append(errs, err)
	}
	for _, addr := range f.Listen {
		if _, err := server.ParseAddress(addr); err != nil {
			errs = append(errs, fmt.Errorf("--listen: %w", err))
		}
	}
	if f.KTLS == "require" && !f.secure() {
		errs = append(errs, errors.New("--ktls: there is no TLS to require it for; give an address with it, as in --listen tls::8443"))
	}
	return errs
}

// maxConns is what server.Config takes at most.
const maxConns = 1 << 30

// secure reports whether connections have TLS.
func (f *needFlags) secure() bool { return server.SpeaksTLS(f.Listen) }

// host is the machine to reckon for.
type host struct {
	machine.Machine
	kernelTLS func() (suites []uint16, err error) // as of socket.KernelTLS
}

func thisHost() host {
	m := machine.This()
	return host{m, func() ([]uint16, error) {
		// Root who asks for it has the kernel load its module, and doctor changes nothing.
		// In a container without this file nobody but the kernel can tell.
		protocols, err := m.Text("proc/sys/net/ipv4/tcp_available_ulp")
		if err == nil && !slices.Contains(strings.Fields(protocols), "tls") {
			return nil, errors.New("the module tls is not loaded")
		}
		return socket.KernelTLS()
	}}
}

// need is what the flags come to on a host.
func (f *needFlags) need(h host) need {
	conns := int64(f.Conns.n)
	if !f.secure() {
		return needs(h.Machine, conns, noTLS)
	}
	able, place := false, tlsInProcess
	var unable error
	if f.KTLS != "off" {
		var suites []uint16
		suites, unable = h.kernelTLS()
		able = len(suites) > 0 && (f.KTLS == "auto" || unable == nil)
	}
	if able || f.KTLS == "require" {
		place = tlsInKernel
	}
	n := needs(h.Machine, conns, place)
	n.ktls, n.able, n.unable, n.flags = f.KTLS, able, unable, " --listen tls::8443"
	if f.KTLS != "auto" {
		n.flags += " --ktls " + string(f.KTLS)
	}
	return n
}

// tlsPlace is who does the TLS of connections.
type tlsPlace string

const (
	noTLS        tlsPlace = ""
	tlsInProcess tlsPlace = "process"
	tlsInKernel  tlsPlace = "kernel"
)

// need is what connections take of a machine: plan prints it, doctor compares the
// machine with it.
type need struct {
	Conns       int64
	TLS         tlsPlace
	Descriptors int64 // of the process
	User        int64 // bytes of the process
	Kernel      int64 // bytes of the kernel while all are idle
	Flight      int64 // bytes of the kernel on top, while a short message is on its way to all
	Backlog     int64 // connections that may wait for accept
	TCPPages    int64 // pages of socket buffers, each connection with data on its way taking at least one

	userPerConn   int64
	userSource    string
	kernelPerConn int64
	kernelSource  string

	ktls   choice // with TLS: what was asked for
	able   bool   // the kernel does what was asked for
	unable error  // why the kernel cannot do all of it
	flags  string // those that ask for the same
}

// title says what is reckoned with.
func (n need) title() string {
	text := grouped(n.Conns) + " connections"
	if n.TLS != noTLS {
		text += " with TLS in the " + string(n.TLS)
	}
	return text
}

// handshakes is how long it takes at least until all have come, each with a full handshake of TLS.
func (n need) handshakes() time.Duration {
	return time.Duration(n.Conns) * machine.HandshakeTLS / time.Duration(handshakers())
}

// handshakers are the processors that serve has for handshakes of TLS.
func handshakers() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// needs reckons what conns connections take. It never fails: what the machine
// does not tell is estimated.
func needs(m machine.Machine, conns int64, tls tlsPlace) need {
	slabs, err := m.Slabs()
	n := need{
		Conns:       conns,
		TLS:         tls,
		Descriptors: conns + reserved,
		Flight:      conns * machine.Sum(machine.FlightParts(), slabs),
		// When everybody comes back within ten seconds, the server may be late by a
		// tenth of a second.
		Backlog:       min(max(128, conns/100), 65535),
		TCPPages:      conns,
		userPerConn:   machine.UserBytesPerConn,
		userSource:    machine.UserSource,
		kernelPerConn: machine.Sum(machine.KernelParts(), slabs),
		kernelSource:  "the sizes in /proc/slabinfo",
	}
	if err != nil {
		n.kernelSource = machine.KernelEstimate + ", because of: " + err.Error()
	}
	if tls != noTLS { // what handshakes leave of those who are back in ten seconds
		n.Backlog = min(max(n.Backlog, conns-int64(handshakers())*int64(10*time.Second/machine.HandshakeTLS)), 65535)
	}
	switch tls {
	case tlsInProcess:
		n.userPerConn += machine.TLSUserBytes
		n.userSource = machine.TLSSource
	case tlsInKernel:
		n.userPerConn += machine.KernelTLSUserBytes
		n.userSource = machine.KernelTLSUserSource
		n.kernelPerConn += machine.KernelTLSBytes
		n.kernelSource += fmt.Sprintf("; %s of it for TLS, %s", grouped(machine.KernelTLSBytes), machine.KernelTLSSource)
	}
	n.User = machine.UserBytesFixed + conns*n.userPerConn
	n.Kernel = conns * n.kernelPerConn
	return n
}

// memory is all of it together, in bytes.
func (n need) memory() int64 { return n.User + n.Kernel + n.Flight }

// fit is how many connections fit in so many bytes.
func (n need) fit(bytes int64) int64 {
	each := (n.memory() - machine.UserBytesFixed) / n.Conns
	return max(0, (bytes-machine.UserBytesFixed)/each)
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
