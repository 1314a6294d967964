//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"roost/conn/machine"
)

// planFlags are those of the plan command.
type planFlags struct {
	fileFlag

	needFlags

	PingInterval duration `default:"30s" placeholder:"TIME" help:"As of serve. 0 means no pings."`
	Payload      size     `default:"128" placeholder:"BYTES" help:"Size of a message that is broadcast. 0 means an empty one."`
	Calibrate    duration `default:"2s" placeholder:"TIME" help:"How long to broadcast to real connections on this machine. 0 means not at all: the time of a broadcast stays unknown."`
	JSON         bool     `name:"json" help:"Print JSON."`
}

func (f *planFlags) faults() []error {
	errs := f.needFlags.faults()
	if f.Payload.bad == nil && f.Payload.n > 1<<20 {
		errs = append(errs, fmt.Errorf("--payload: %d is out of range; want 0 to 1MiB", f.Payload.n))
	}
	if f.Calibrate.bad == nil && f.Calibrate.n > time.Minute {
		errs = append(errs, fmt.Errorf("--calibrate: %v is out of range; want 0 to 1m", f.Calibrate.n))
	}
	return errs
}

// plan is all that the plan command finds out. Sizes are in bytes, times in
// seconds; what is unknown is null, and has its reason in Unknown.
type plan struct {
	Conns           int64    `json:"connections"`
	TLS             tlsPlace `json:"tls"` // "" for none, else "process" or "kernel"
	UserBytes       int64    `json:"process_bytes"`
	UserPerConn     int64    `json:"process_bytes_per_connection"`
	UserSource      string   `json:"process_bytes_source"`
	KernelBytes     int64    `json:"kernel_bytes"`
	KernelPerConn   int64    `json:"kernel_bytes_per_connection"`
	KernelSource    string   `json:"kernel_bytes_source"`
	FlightBytes     int64    `json:"kernel_bytes_during_broadcast"`
	MemoryBytes     int64    `json:"memory_bytes"`
	AvailableBytes  *int64   `json:"memory_available_bytes"`
	Descriptors     int64    `json:"descriptors"`
	DescriptorLimit *int64   `json:"descriptor_limit"`
	PingInterval    float64  `json:"ping_interval_seconds"`
	PingsPerSecond  float64  `json:"pings_per_second"`

	HandshakeSeconds *float64 `json:"tls_handshakes_seconds"` // at least, until all have come; null without TLS

	LoadTest  loadTest           `json:"load_test"`
	Broadcast *broadcastEstimate `json:"broadcast"`
	Unknown   []string           `json:"unknown"`

	title, flags string // as of need
}

// loadTest is what opening the connections from one machine takes.
type loadTest struct {
	PortsPerAddress *int64 `json:"ports_per_address"`
	LeastAddresses  *int64 `json:"least_addresses"`
	Addresses       int64  `json:"addresses"` // with up to 10,000 connections from each
	Processes       *int64 `json:"client_processes"`
}

// broadcastEstimate is the time from a broadcast to its arrival at the last of
// the connections, and where it comes from.
type broadcastEstimate struct {
	Seconds        float64 `json:"seconds"`
	SecondsLow     float64 `json:"seconds_low"`
	SecondsHigh    float64 `json:"seconds_high"`
	PayloadBytes   int64   `json:"payload_bytes"`
	MeasuredConns  int     `json:"measured_connections"`
	Broadcasts     int     `json:"measured_broadcasts"`
	PerDelivery    float64 `json:"delivery_microseconds"`
	PerDeliveryFew float64 `json:"delivery_microseconds_at_a_quarter"`
	CPUPerDelivery float64 `json:"server_cpu_microseconds_per_delivery"`
	Processors     float64 `json:"measured_processors"` // that server and clients had meanwhile
}

// runPlan is the plan command. A signal ends it.
func runPlan(f *planFlags, h host, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	p := newPlan(h.Machine, f.need(h), f.PingInterval.n)
	if f.Calibrate.n > 0 {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			select {
			case <-signals:
				cancel()
			case <-ctx.Done():
			}
		}()
		var err error
		p.Broadcast, err = estimate(ctx, p, f, stderr)
		if errors.Is(err, context.Canceled) {
			fmt.Fprintln(stderr, "roost: stopped")
			return exitFailure
		}
		p.unless("the time of a broadcast", err)
	} else {
		p.unless("the time of a broadcast", errors.New("--calibrate is 0"))
	}
	write := p.writeText
	if f.JSON {
		write = func(w io.Writer) error { return writeJSON(w, p) }
	}
	if err := write(stdout); err != nil {
		fmt.Fprintln(stderr, "roost:", err)
		return exitFailure
	}
	return exitOK
}

// newPlan is the part of a plan that needs no calibration.
func newPlan(m machine.Machine, n need, pingInterval time.Duration) *plan {
	conns := n.Conns
	p := &plan{
		Conns: conns, TLS: n.TLS,
		UserBytes: n.User, UserPerConn: n.userPerConn, UserSource: n.userSource,
		KernelBytes: n.Kernel, KernelPerConn: n.kernelPerConn, KernelSource: n.kernelSource,
		FlightBytes: n.Flight, MemoryBytes: n.memory(),
		Descriptors:  n.Descriptors,
		PingInterval: pingInterval.Seconds(), PingsPerSecond: n.pings(pingInterval),
		LoadTest: loadTest{Addresses: shares(conns, connsPerSource)},
		Unknown:  []string{},
		title:    n.title(), flags: n.flags,
	}
	if n.TLS != noTLS {
		all := n.handshakes().Seconds()
		p.HandshakeSeconds = &all
	}
	if available, err := m.AvailableMemory(); p.unless("available memory", err) {
		p.AvailableBytes = &available
	}
	if _, hard, err := m.DescriptorLimits(); p.unless("the descriptor limit", err) {
		p.DescriptorLimit = &hard
		processes := shares(conns, max(1, hard-reserved))
		p.LoadTest.Processes = &processes
		// Each process has addresses of its own.
		p.LoadTest.Addresses = processes * shares(shares(conns, processes), connsPerSource)
	}
	if ports, err := m.LocalPorts(); p.unless("the local ports", err) && ports > 0 {
		least := shares(conns, ports)
		p.LoadTest.PortsPerAddress, p.LoadTest.LeastAddresses = &ports, &least
	}
	return p
}

// shares is how many shares of at most each make up n.
func shares(n, each int64) int64 { return (n-1)/each + 1 }

// unless notes why something is unknown; it reports whether it is known.
func (p *plan) unless(what string, err error) bool {
	if err != nil {
		p.Unknown = append(p.Unknown, what+": "+err.Error())
	}
	return err == nil
}

// estimate calibrates and reckons with what came out. Half of the descriptors
// that are left are the clients'.
func estimate(ctx context.Context, p *plan, f *planFlags, stderr io.Writer) (*broadcastEstimate, error) {
	room := p.Conns
	if p.DescriptorLimit != nil {
		room = (*p.DescriptorLimit - 2*reserved) / 2
	}
	if ports := p.LoadTest.PortsPerAddress; ports != nil {
		room = min(room, *ports*3/4) // finding the last ports takes long
	}
	conns := min(p.Conns, mostCalibrated, room)
	if conns < 1 {
		return nil, fmt.Errorf("a limit of %d descriptors leaves none for a calibration", *p.DescriptorLimit)
	}
	c, err := calibrate(ctx, int(conns), f.Calibrate.n, int(f.Payload.n), func(format string, args ...any) {
		fmt.Fprintf(stderr, "roost: "+format+"\n", args...)
	})
	if err != nil {
		return nil, err
	}
	low, mid, high := c.spread()
	seconds := func(each time.Duration) float64 { return each.Seconds() * float64(p.Conns) }
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	return &broadcastEstimate{
		Seconds: seconds(mid), SecondsLow: seconds(low), SecondsHigh: seconds(high),
		PayloadBytes: f.Payload.n, MeasuredConns: c.conns, Broadcasts: len(c.rounds),
		PerDelivery: micros(mid), PerDeliveryFew: micros(c.few), CPUPerDelivery: micros(c.cpu), Processors: c.cores,
	}, nil
}
