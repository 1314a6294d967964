//go:build linux

package main

import (
	"time"

	"roost/conn/machine"
)

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
func needs(m machine.Machine, conns int64) need {
	slabs, err := m.Slabs()
	perConn, flight := machine.Sum(machine.KernelParts(), slabs), machine.Sum(machine.FlightParts(), slabs)
	return need{
		Conns:       conns,
		Descriptors: conns + reserved,
		User:        machine.UserBytesFixed + conns*machine.UserBytesPerConn,
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
