//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"roost/conn/machine"
)

// writeText prints a plan for people: what, how much, and where it comes from.
func (p *plan) writeText(w io.Writer) error {
	fmt.Fprintf(w, "%s on this machine take about\n\n", p.title)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(table, "  "+strings.Join(cells, "\t")) }

	row("memory", inBytes(p.MemoryBytes), p.memoryVerdict())
	row("  the process", inBytes(p.UserBytes), fmt.Sprintf("%s bytes a connection, %s; up to twice that in a storm of them, and what waits for slow clients", grouped(p.UserPerConn), p.UserSource))
	row("  the kernel", inBytes(p.KernelBytes), fmt.Sprintf("%s bytes a connection, %s", grouped(p.KernelPerConn), p.KernelSource))
	row("  the kernel, broadcasting", inBytes(p.FlightBytes), "more, at the most, while a short message is on its way to all")
	row("descriptors", grouped(p.Descriptors), p.descriptorVerdict())
	if p.PingsPerSecond > 0 {
		row("pings", rate(p.PingsPerSecond)+" a second", fmt.Sprintf("and as many pongs, when nobody says anything for %v",
			time.Duration(p.PingInterval*float64(time.Second))))
	} else {
		row("pings", "none", "they are switched off")
	}
	if all := p.HandshakeSeconds; all != nil {
		row("TLS handshakes", seconds(*all), fmt.Sprintf("at least, until all have come, with full ones of %v each, %s, on %s of the processors", machine.HandshakeTLS, machine.HandshakeTLSSource, grouped(int64(handshakers()))))
	}
	if b := p.Broadcast; b != nil {
		row("one broadcast", seconds(b.Seconds), b.about())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if b := p.Broadcast; b != nil {
		fmt.Fprintf(w, "\n%s\n", b.uncertainty(p.Conns))
		switch p.TLS {
		case tlsInProcess:
			fmt.Fprintln(w, "These connections had no TLS, with which a delivery of 1 kB takes an eighth more processor time.")
		case tlsInKernel:
			fmt.Fprintln(w, "These connections had no TLS; what the kernel's takes was not measured.")
		}
	}
	fmt.Fprintf(w, "\nTo open them from one machine for a load test: %s.\n", p.LoadTest.text())
	for _, why := range p.Unknown {
		fmt.Fprintf(w, "\nunknown: %s\n", why)
	}
	_, err := fmt.Fprintf(w, "\nroost doctor --conns %d%s says which settings are in the way, and how to change them.\n", p.Conns, p.flags)
	return err
}

func (p *plan) memoryVerdict() string {
	switch {
	case p.AvailableBytes == nil:
		return "what is available is unknown"
	case *p.AvailableBytes < p.MemoryBytes:
		return "TOO MUCH: " + inBytes(*p.AvailableBytes) + " are available"
	}
	return inBytes(*p.AvailableBytes) + " are available"
}

func (p *plan) descriptorVerdict() string {
	switch {
	case p.DescriptorLimit == nil:
		return "the limit is unknown"
	case *p.DescriptorLimit < p.Descriptors:
		return "TOO MANY: the limit is " + grouped(*p.DescriptorLimit)
	}
	return "the limit is " + grouped(*p.DescriptorLimit)
}

// about is where the time of a broadcast comes from.
func (b *broadcastEstimate) about() string {
	return fmt.Sprintf("of %s bytes until the last has it; %s to %s, leaving out the fastest and slowest tenth",
		grouped(b.PayloadBytes), seconds(b.SecondsLow), seconds(b.SecondsHigh))
}

func (b *broadcastEstimate) uncertainty(conns int64) string {
	text := fmt.Sprintf("Measured with %d broadcasts to %s connections on loopback, with server and clients in one process: %.1f us for each\n"+
		"delivery (%.1f us when a quarter was open), of which the server's processor time was %.1f us.",
		b.Broadcasts, grouped(int64(b.MeasuredConns)), b.PerDelivery, b.PerDeliveryFew, b.CPUPerDelivery)
	if b.Processors < idleEnough {
		text += fmt.Sprintf("\nThe machine was busy with other work, of its processors %.1f were free for this: a broadcast is faster when it is not.", b.Processors)
	}
	if int64(b.MeasuredConns) >= conns {
		return text + "\nClients elsewhere leave the server more processor time, and the network adds its own."
	}
	return text + fmt.Sprintf("\nThe rest is multiplication by %.0f. Nobody has opened %s connections here: more of them hit the processor's caches less\n"+
		"often (half as long again would be no surprise), a network adds its own, and clients elsewhere leave the server more\n"+
		"processor time.", float64(conns)/float64(b.MeasuredConns), grouped(conns))
}

// idleEnough is how many processors a calibration gets on a machine that does
// nothing else: broadcasters and clients hardly ever wait.
const idleEnough = 0.8

// text is what a load test takes.
func (l loadTest) text() string {
	var parts []string
	if l.Processes != nil {
		parts = append(parts, grouped(*l.Processes)+plural(*l.Processes, " client process", " client processes"))
	}
	parts = append(parts, grouped(l.Addresses)+plural(l.Addresses, " client address", " client addresses")+
		" (up to "+grouped(connsPerSource)+" from each, as roost-bench does it)")
	if l.LeastAddresses != nil {
		parts = append(parts, fmt.Sprintf("at least %s with %s ports each", grouped(*l.LeastAddresses), grouped(*l.PortsPerAddress)))
	}
	return strings.Join(parts, ", ")
}

func plural(n int64, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// seconds writes a number of them with a unit.
func seconds(s float64) string { return inTime(time.Duration(s * float64(time.Second))) }

// rate writes a number per second, with a decimal only when it is small.
func rate(perSecond float64) string {
	if perSecond < 10 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return grouped(int64(perSecond + 0.5))
}
