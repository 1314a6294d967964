//go:build linux

package admin

import (
	"fmt"
	"math"
	"net/http"
	"runtime/metrics"
	"text/tabwriter"
	"unsafe"

	"roost/conn"
	"roost/conn/machine"
	"roost/conn/server"
)

// density is what connections take, and how many fit. Sizes are in bytes; what is not
// known is null.
type density struct {
	Connections int64         `json:"connections"` // in any state
	Process     processMemory `json:"process"`
	Kernel      kernelMemory  `json:"kernel"`
	TLS         kernelTLS     `json:"tls"`
	Fit         fit           `json:"fit"`
}

// processMemory is the process's share.
type processMemory struct {
	Parts          []part   `json:"parts_per_connection"`
	HeapPerConn    *float64 `json:"heap_bytes_per_connection"`     // live objects and garbage of the whole process
	GrowthPerConn  *float64 `json:"resident_bytes_per_connection"` // growth of the resident set since the start
	ResidentBytes  int64    `json:"resident_bytes"`
	ResidentAtOpen int64    `json:"resident_bytes_without_connections"`
}

// kernelMemory is the kernel's share of an idle socket.
type kernelMemory struct {
	Parts       []part  `json:"parts_per_socket"`
	BytesPer    float64 `json:"bytes_per_socket"`
	FlightBytes float64 `json:"bytes_per_socket_during_broadcast"` // on top
	TLSBytes    float64 `json:"bytes_per_socket_of_tls"`           // on top, on average: an estimate of what those with TLS take
	Source      string  `json:"source"`
}

// kernelTLS tells where TLS is done: in the process it takes about 7.5 kB per connection,
// in the kernel nothing of the process, but memory of the kernel.
type kernelTLS struct {
	Connections int64  `json:"connections"`           // with TLS
	InKernel    int64  `json:"connections_in_kernel"` // of them
	Kept        uint64 `json:"kept_total"`            // that the kernel did not take, since the start
	On          bool   `json:"kernel"`
	WhyNot      string `json:"kernel_why_not"` // "" when On
}

type part struct {
	What   string  `json:"part"`
	Bytes  float64 `json:"bytes"`
	Source string  `json:"source"`
}

// fit is how many connections there can be in all.
type fit struct {
	Connections   int64  `json:"connections"`
	Bound         string `json:"bound"` // what ends first
	Memory        *int64 `json:"by_memory"`
	Descriptors   int64  `json:"by_descriptors"`
	MaxConns      *int64 `json:"by_max_conns"`  // null without a limit
	MaxMemory     *int64 `json:"by_max_memory"` // likewise
	BytesPerConn  int64  `json:"bytes_per_connection"`
	MemoryRoom    *int64 `json:"memory_available_bytes"`
	MemoryRoomOf  string `json:"memory_available_of"`
	PerConnSource string `json:"bytes_per_connection_source"`
}

// enough connections make the growth of the process, divided by their number, say
// something about a connection; below, it is mostly that of everything else.
const enough = 5000

// density answers with what a connection takes, and how many fit.
func (l *Listener) density(w http.ResponseWriter, r *http.Request) {
	asJSON, err := wantsJSON(r)
	if !right(w, err) {
		return
	}
	d := l.weigh()
	if asJSON {
		writeJSON(w, http.StatusOK, d)
		return
	}
	d.write(w)
}

func (l *Listener) weigh() density {
	st := l.config.Server.Stats()
	settings := l.config.Server.Settings()
	conns := st.Handshaking + st.Open + st.Closing
	each := func(total float64) *float64 {
		if conns == 0 {
			return nil
		}
		per := total / float64(conns)
		return &per
	}
	or0 := func(p *float64) float64 {
		if p == nil {
			return 0
		}
		return *p
	}
	d := density{Connections: conns}
	slots := 0
	if conns > 0 {
		slots = l.config.Server.Hub().Slots()
	}
	pointer := float64(unsafe.Sizeof(uintptr(0)))
	d.Process = processMemory{
		Parts: []part{
			{"Conn with its Registration", float64(unsafe.Sizeof(conn.Conn{})), "size of the type"},
			{"callback kept by netpoll", 2 * pointer, "size of the type"},
			{"netpoll's map entry", 40, "estimate"},
			{"hub slot", max(pointer, or0(each(float64(slots)*pointer))), "slots there are"},
			{"outbound queue", or0(each(float64(st.WriteQueued))), "counted, average"},
			{"incomplete input", or0(each(float64(st.ReadKept))), "counted, average"},
		},
		HeapPerConn:   each(heap()),
		ResidentBytes: l.process.memory(), ResidentAtOpen: l.process.bare.Load(),
	}
	d.Process.GrowthPerConn = l.process.growth(conns)

	slabs, err := l.config.Machine.Slabs()
	d.Kernel = kernelMemory{Source: "the sizes in /proc/slabinfo, where it names them"}
	if err != nil {
		d.Kernel.Source = machine.KernelEstimate + ", because of: " + err.Error()
	}
	for _, p := range machine.KernelParts() {
		size, slab := p.Bytes(slabs)
		if slab == "" {
			slab = "estimate"
		}
		d.Kernel.Parts = append(d.Kernel.Parts, part{p.What, size, slab})
		d.Kernel.BytesPer += size
	}
	d.Kernel.FlightBytes = float64(machine.Sum(machine.FlightParts(), slabs))

	d.TLS = kernelTLS{Connections: st.TLSOpen, InKernel: st.TLSKernel, Kept: st.TLSKept}
	d.TLS.On, d.TLS.WhyNot = l.config.Server.KernelTLS()

	inProcess, inKernel := l.tlsShares(&st, d.TLS.On)
	d.Kernel.TLSBytes = machine.KernelTLSBytes * inKernel

	d.Fit = fit{PerConnSource: "process: " + machine.UserSource}
	user := machine.UserBytesPerConn + machine.TLSUserBytes*inProcess + machine.KernelTLSUserBytes*inKernel
	switch {
	case d.Process.GrowthPerConn != nil:
		user, d.Fit.PerConnSource = *d.Process.GrowthPerConn, "process: its growth"
	case inProcess > 0:
		d.Fit.PerConnSource += "; TLS: " + machine.TLSSource
	}
	if inKernel > 0 {
		d.Fit.PerConnSource += "; kernel's TLS: " + machine.KernelTLSSource
	}
	d.Fit.PerConnSource += "; kernel: during a broadcast"
	d.Fit.BytesPerConn = int64(max(1, user+d.Kernel.BytesPer+d.Kernel.TLSBytes+d.Kernel.FlightBytes))
	others := max(0, l.process.descriptors(&st)-conns)
	d.Fit.Descriptors = max(0, l.process.descriptorLimit()-others)
	d.Fit.Connections, d.Fit.Bound = d.Fit.Descriptors, "descriptors"
	if room, inGroup, err := l.config.Machine.MemoryRoom(); err == nil {
		d.Fit.MemoryRoom, d.Fit.MemoryRoomOf = &room, map[bool]string{false: "the machine", true: "the control group"}[inGroup]
		n := conns + room/d.Fit.BytesPerConn
		d.Fit.Memory = &n
		d.Fit.least(n, "memory")
	}
	if n := int64(settings.MaxConns); n > 0 {
		d.Fit.MaxConns = &n
		d.Fit.least(n, "--max-conns")
	}
	if limit := settings.MaxMemory; limit > 0 {
		// Nobody is accepted from 90 % on.
		n := int64(float64(limit/10*9-l.process.bare.Load()) / max(1, user))
		n = max(0, n)
		d.Fit.MaxMemory = &n
		d.Fit.least(n, "--max-memory")
	}
	return d
}

// tlsShares are the parts of all connections that have TLS of the process and of the
// kernel: as of those that are there, or of what listens while nobody is.
func (l *Listener) tlsShares(st *server.Stats, byKernel bool) (inProcess, inKernel float64) {
	if ready := float64(st.Open + st.Closing); ready > 0 {
		share := func(n int64) float64 { return min(1, max(0, float64(n)/ready)) } // they change meanwhile
		return share(st.TLSOpen - st.TLSKernel), share(st.TLSKernel)
	}
	switch secure := server.SpeaksTLS(l.config.Server.Settings().Listen); {
	case secure && byKernel:
		return 0, 1
	case secure:
		return 1, 0
	}
	return 0, 0
}

func (f *fit) least(n int64, bound string) {
	if n < f.Connections {
		f.Connections, f.Bound = n, bound
	}
}

// growth is the growth of the resident set since the start, per connection; nil when
// there are too few to tell.
func (p *process) growth(conns int64) *float64 {
	if conns < enough {
		return nil
	}
	per := math.Max(0, float64(p.memory()-p.bare.Load())/float64(conns))
	return &per
}

// heap is the memory of objects, live and not yet collected, in bytes.
func heap() float64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return float64(s[0].Value.Uint64())
}

func (d *density) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(bytes, what, source string) { fmt.Fprintf(table, "%s\t B  \t%s\n", bytes, join(what, source)) }
	parts := func(all []part) {
		for _, p := range all {
			line(fmt.Sprintf("%.0f", p.Bytes), p.What, p.Source)
		}
	}
	perhaps := func(v *float64, what, source string) {
		if v == nil {
			line("-", what, source)
			return
		}
		line(fmt.Sprintf("%.0f", *v), what, source)
	}
	fmt.Fprintf(w, "%d connections\n\nProcess, per connection\n", d.Connections)
	parts(d.Process.Parts)
	perhaps(d.Process.HeapPerConn, "heap, of the whole process", "measured")
	perhaps(d.Process.GrowthPerConn, "resident set's growth since the start", fmt.Sprintf("measured, from %d connections on", enough))
	_ = table.Flush() // fails when the client has left
	fmt.Fprintln(w, "\nKernel, per socket:", d.Kernel.Source)
	parts(d.Kernel.Parts)
	line(fmt.Sprintf("%.0f", d.Kernel.BytesPer), "in all", "")
	line(fmt.Sprintf("%.0f", d.Kernel.FlightBytes), "on top during a broadcast", "")
	if d.Kernel.TLSBytes > 0 {
		line(fmt.Sprintf("%.0f", d.Kernel.TLSBytes), "on top for TLS, on average", machine.KernelTLSSource)
	}
	_ = table.Flush()
	if t := &d.TLS; t.On {
		fmt.Fprintf(w, "\nTLS: %d connections, %d of them in the kernel; %d since the start were not taken there\n", t.Connections, t.InKernel, t.Kept)
	} else {
		fmt.Fprintf(w, "\nTLS: %d connections, none in the kernel: %s\n", t.Connections, t.WhyNot)
	}
	fmt.Fprintf(w, "\n%d connections fit in all, bound by %s\n", d.Fit.Connections, d.Fit.Bound)
	fmt.Fprintf(w, "  %d by descriptors\n", d.Fit.Descriptors)
	if d.Fit.Memory != nil {
		fmt.Fprintf(w, "  %d by memory: %d bytes are available of %s, %d bytes a connection (%s)\n",
			*d.Fit.Memory, *d.Fit.MemoryRoom, d.Fit.MemoryRoomOf, d.Fit.BytesPerConn, d.Fit.PerConnSource)
	}
	if d.Fit.MaxConns != nil {
		fmt.Fprintf(w, "  %d by --max-conns\n", *d.Fit.MaxConns)
	}
	if d.Fit.MaxMemory != nil {
		fmt.Fprintf(w, "  %d by --max-memory\n", *d.Fit.MaxMemory)
	}
}

func join(what, source string) string {
	if source == "" {
		return what
	}
	return what + " (" + source + ")"
}
