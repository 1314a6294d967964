//go:build linux

package admin

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"roost/conn"
	"roost/conn/cluster"
	"roost/conn/server"
)

// Metrics are the histograms of what a server measures while it works. They are
// made before the server: FanOut and Wait are its Config.OnFanOut and Config.OnWait.
type Metrics struct {
	fanOut prometheus.Histogram
	wait   prometheus.Histogram

	longest atomic.Int64 // fan-out since the dashboard looked last, in nanoseconds
}

// NewMetrics returns empty histograms.
func NewMetrics() *Metrics {
	return &Metrics{
		fanOut: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "roost_fanout_duration_seconds", Buckets: steps(1e-5, 50),
			Help: "Time that a broadcaster takes to hand one batch of frames to each of its connections.",
		}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "roost_pool_wait_seconds", Buckets: steps(1e-5, 5),
			Help: "Time that a connection with something to do waits for a worker; one at a time is measured.",
		}),
	}
}

// steps are 1, 2 and 5 and their multiples by ten, from first on up to last.
func steps(first, last float64) []float64 {
	var all []float64
	for n := first; n <= last; n *= 10 {
		for _, k := range []float64{1, 2, 5} {
			if n*k <= last*1.001 {
				all = append(all, n*k)
			}
		}
	}
	return all
}

// FanOut is told of a fan-out. It may be called from any goroutine and does not allocate.
func (m *Metrics) FanOut(took time.Duration) {
	m.fanOut.Observe(took.Seconds())
	for n := int64(took); ; {
		longest := m.longest.Load()
		if n <= longest || m.longest.CompareAndSwap(longest, n) {
			return
		}
	}
}

// Wait is told of a wait. It may be called from any goroutine and does not allocate.
func (m *Metrics) Wait(waited time.Duration) { m.wait.Observe(waited.Seconds()) }

// fanOuts are how many there were, and the seconds they took together.
func (m *Metrics) fanOuts() (n uint64, seconds float64) {
	var d dto.Metric
	if m.fanOut.Write(&d) != nil { // only a wrong label could make it fail
		return 0, 0
	}
	return d.Histogram.GetSampleCount(), d.Histogram.GetSampleSum()
}

// snapshot is all that the numbers are made of, at one moment.
type snapshot struct {
	server.Stats
	settings server.Config
	process  *process
	ready    bool
	byKernel bool    // the kernel does TLS
	expiry   float64 // of the first certificate, Unix time
	room     float64 // bytes
	open     int64   // descriptors
	keys     int     // idempotency keys
	evicted  uint64  // of these
}

func (l *Listener) snapshot() snapshot {
	s := l.config.Server
	n := snapshot{Stats: s.Stats(), settings: s.Settings(), process: l.process, ready: s.Ready() == nil}
	n.open = l.process.descriptors(&n.Stats)
	n.byKernel, _ = s.KernelTLS()
	if at := s.CertificateExpiry(); !at.IsZero() {
		n.expiry = float64(at.Unix())
	}
	n.keys, n.evicted = l.publishing.keys.counts()
	if room, _, err := l.config.Machine.MemoryRoom(); err == nil {
		n.room = float64(room)
	}
	return n
}

// number is a metric without labels.
type number struct {
	name string
	kind prometheus.ValueType
	help string
	of   func(*snapshot) float64
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// numbers are all metrics without labels. Limits that do not exist are 0.
var numbers = []number{
	{"roost_connections", gauge, "Open WebSocket connections.", func(n *snapshot) float64 { return float64(n.Open) }},
	{"roost_handshakes_in_progress", gauge, "Connections whose request is incomplete.", func(n *snapshot) float64 { return float64(n.Handshaking) }},
	{"roost_closing_connections", gauge, "Connections that wait for their peer's close.", func(n *snapshot) float64 { return float64(n.Closing) }},
	{"roost_http_connections", gauge, "Connections that net/http serves, for pages and files.", func(n *snapshot) float64 { return float64(n.HTTP) }},
	{"roost_connections_limit", gauge, "Most WebSocket connections (--max-conns); 0 means no limit.", func(n *snapshot) float64 { return float64(n.settings.MaxConns) }},
	{"roost_handshakes_limit", gauge, "Most connections whose request is incomplete (--max-handshakes); 0 means no limit.", func(n *snapshot) float64 { return float64(max(0, n.settings.MaxHandshakes)) }},
	{"roost_ready", gauge, "1 when /readyz says so, else 0.", func(n *snapshot) float64 { return map[bool]float64{true: 1}[n.ready] }},

	{"roost_tls_connections", gauge, "Connections whose TLS handshake is over, without those that net/http serves.", func(n *snapshot) float64 { return float64(n.TLSOpen) }},
	{"roost_tls_kernel", gauge, "1 when the kernel does the TLS of connections where it can (--ktls), else 0: /debug/density tells why.", func(n *snapshot) float64 { return map[bool]float64{true: 1}[n.byKernel] }},
	{"roost_tls_kernel_connections", gauge, "Connections whose TLS the kernel does.", func(n *snapshot) float64 { return float64(n.TLSKernel) }},
	{"roost_tls_kept_total", counter, "Open connections whose TLS the kernel did not take, because of their version, cipher or what they have sent, or because net/http has had them.", func(n *snapshot) float64 { return float64(n.TLSKept) }},
	{"roost_tls_certificate_expiry_timestamp_seconds", gauge, "When the certificate in force that expires soonest does so, in seconds since 1970; 0 without TLS.", func(n *snapshot) float64 { return n.expiry }},
	{"roost_accepts_total", counter, "Connections accepted by the listeners.", func(n *snapshot) float64 { return float64(n.Accepted) }},
	{"roost_accept_pauses_total", counter, "Times that accepting stopped for want of descriptors.", func(n *snapshot) float64 { return float64(n.AcceptPauses) }},
	{"roost_memory_pauses_total", counter, "Times that accepting stopped for --max-memory.", func(n *snapshot) float64 { return float64(n.MemoryPauses) }},
	{"roost_accept_waits_total", counter, "Times that accepting waited for --accept-rate.", func(n *snapshot) float64 { return float64(n.AcceptWaits) }},
	{"roost_untracked_connections_total", counter, "Connections that limits per IP were not applied to, because there were too many addresses.", func(n *snapshot) float64 { return float64(n.UnknownIPs) }},
	{"roost_http_refused_total", counter, "Plain HTTP connections refused, beyond --max-http-conns in most cases.", func(n *snapshot) float64 { return float64(n.HTTPRefused) }},

	{"roost_messages_received_total", counter, "Messages from clients.", func(n *snapshot) float64 { return float64(n.MessagesIn) }},
	{"roost_received_bytes_total", counter, "Bytes from clients: frames and request heads.", func(n *snapshot) float64 { return float64(n.BytesIn) }},
	{"roost_messages_sent_total", counter, "Messages taken to be sent, once for each connection.", func(n *snapshot) float64 { return float64(n.MessagesOut) }},
	{"roost_sent_bytes_total", counter, "Bytes that the kernel has taken: frames and answers to requests.", func(n *snapshot) float64 { return float64(n.BytesOut) }},
	{"roost_topics", gauge, "Topics that have members, the default one included.", func(n *snapshot) float64 { return float64(n.Hub.Topics) }},
	{"roost_subscriptions", gauge, "Memberships of connections in topics other than the default one.", func(n *snapshot) float64 { return float64(n.Hub.Subscriptions) }},
	{"roost_broadcasts_total", counter, "Messages that were published, to whatever topics.", func(n *snapshot) float64 { return float64(n.Hub.Published) }},
	{"roost_deliveries_total", counter, "Published frames taken by a connection, once for each.", func(n *snapshot) float64 { return float64(n.Hub.Delivered) }},

	{"roost_publish_keys", gauge, "Idempotency keys that are remembered (--publish-window).", func(n *snapshot) float64 { return float64(n.keys) }},
	{"roost_publish_keys_evicted_total", counter, "Idempotency keys that were forgotten before their time, because there were too many.", func(n *snapshot) float64 { return float64(n.evicted) }},
	{"roost_broadcast_queue_frames", gauge, "Frames in the longest broadcast queue.", func(n *snapshot) float64 { return float64(n.Hub.Waiting) }},
	{"roost_broadcast_queue_limit_frames", gauge, "Frames at which publishers are slowed down (--broadcast-queue-frames).", func(n *snapshot) float64 { return float64(n.settings.BroadcastQueueFrames) }},
	{"roost_publishers_waiting", gauge, "Connections that are not read until the broadcast queues have room.", func(n *snapshot) float64 { return float64(n.Hub.Publishers) }},
	{"roost_pool_queue_length", gauge, "Connections with something to do that wait for a worker.", func(n *snapshot) float64 { return float64(n.Poller.Queued) }},
	{"roost_conflated_total", counter, "Frames that a newer one with their key replaced in the queue of a slow client (--slow-consumer conflate).", func(n *snapshot) float64 { return float64(n.Conflated) }},
	{"roost_write_queue_bytes", gauge, "Bytes that wait for slow clients.", func(n *snapshot) float64 { return float64(n.WriteQueued) }},
	{"roost_write_queue_limit_bytes", gauge, "Bytes that may wait for all clients together (--write-queue-total); 0 means no limit.", func(n *snapshot) float64 { return float64(max(0, n.settings.WriteQueueTotal)) }},
	{"roost_read_buffer_bytes", gauge, "Bytes kept of messages and requests that have not arrived whole.", func(n *snapshot) float64 { return float64(n.ReadKept) }},
	{"roost_auth_waiting", gauge, "Clients that --auth-url has not been asked about yet.", func(n *snapshot) float64 { return float64(n.AuthWaiting) }},
	{"roost_auth_waiting_limit", gauge, "Most of them (--auth-queue); 0 without --auth-url.", func(n *snapshot) float64 {
		if n.settings.Auth.URL == "" {
			return 0
		}
		return float64(n.settings.Auth.Queue)
	}},
	{"roost_read_buffer_limit_bytes", gauge, "Bytes of all of those together (--read-buffer-total); 0 means no limit.", func(n *snapshot) float64 { return float64(max(0, n.settings.ReadBufferTotal)) }},

	{"roost_sweeps_total", counter, "Times that the sweeper has looked for deadlines that are over.", func(n *snapshot) float64 { return float64(n.Sweeps) }},
	{"roost_swept_connections_total", counter, "Connections the sweeper has looked at.", func(n *snapshot) float64 { return float64(n.Swept) }},

	{"roost_cluster_connected", gauge, "1 while NATS is there, 0 when it is away or without --cluster.", func(n *snapshot) float64 { return map[bool]float64{true: 1}[n.Cluster.Connected] }},
	{"roost_cluster_connects_total", counter, "Connections to NATS that were made.", func(n *snapshot) float64 { return float64(n.Cluster.Connects) }},
	{"roost_cluster_nodes", gauge, "Other nodes that have announced themselves in the last 5 seconds.", func(n *snapshot) float64 { return float64(n.Cluster.Nodes) }},
	{"roost_cluster_subscriptions", gauge, "Topics that this node subscribes to in NATS.", func(n *snapshot) float64 { return float64(n.Cluster.Subscriptions) }},
	{"roost_cluster_queue_bytes", gauge, "Bytes of messages that wait for NATS, or are kept to be sent again.", func(n *snapshot) float64 { return float64(n.Cluster.QueuedBytes) }},
	{"roost_cluster_queue_limit_bytes", gauge, "Bytes of all of those together (--cluster-queue-bytes); 0 without --cluster.", func(n *snapshot) float64 { return float64(n.Cluster.QueueLimit) }},
	{"roost_cluster_messages_sent_total", counter, "Messages handed to NATS for other nodes.", func(n *snapshot) float64 { return float64(n.Cluster.MessagesOut) }},
	{"roost_cluster_sent_bytes_total", counter, "Their payload.", func(n *snapshot) float64 { return float64(n.Cluster.BytesOut) }},
	{"roost_cluster_messages_received_total", counter, "Messages of other nodes that NATS has brought.", func(n *snapshot) float64 { return float64(n.Cluster.MessagesIn) }},
	{"roost_cluster_received_bytes_total", counter, "Their payload.", func(n *snapshot) float64 { return float64(n.Cluster.BytesIn) }},
	{"roost_cluster_repeats_total", counter, "Copies that were recognised, of messages for several topics or sent again.", func(n *snapshot) float64 { return float64(n.Cluster.Repeats) }},

	{"roost_descriptors_used", gauge, "Open descriptors of the process.", func(n *snapshot) float64 { return float64(n.open) }},
	{"roost_descriptors_limit", gauge, "Most open descriptors of the process.", func(n *snapshot) float64 { return float64(n.process.descriptorLimit()) }},
	{"roost_memory_limit_bytes", gauge, "Most resident memory (--max-memory); 0 means no limit.", func(n *snapshot) float64 { return float64(n.settings.MaxMemory) }},
	{"roost_memory_available_bytes", gauge, "Memory the process and its sockets can still have, of the machine or its control group, whichever is less.", func(n *snapshot) float64 { return n.room }},

	{"process_cpu_seconds_total", counter, "Processor time used, in user mode and in the kernel.", func(n *snapshot) float64 { return n.process.cpu() }},
	{"process_resident_memory_bytes", gauge, "Resident set of the process.", func(n *snapshot) float64 { return float64(n.process.memory()) }},
	{"process_start_time_seconds", gauge, "When the process began, in Unix time.", func(n *snapshot) float64 { return float64(n.process.began.UnixMilli()) / 1000 }},
	{"process_open_fds", gauge, "Open descriptors of the process.", func(n *snapshot) float64 { return float64(n.open) }},
	{"process_max_fds", gauge, "Most open descriptors of the process.", func(n *snapshot) float64 { return float64(n.process.descriptorLimit()) }},
}

// outcome is a result of an opening handshake, by the reason that the connection
// ended with.
type outcome struct {
	result string
	reason conn.Reason // ReasonNone: it was accepted
}

var outcomes = []outcome{
	{"accepted", conn.ReasonNone},
	{"refused", conn.ReasonHandshakeRefused},
	{"unauthorized", conn.ReasonUnauthorized},
	{"auth-unavailable", conn.ReasonAuthUnavailable},
	{"abandoned", conn.ReasonHandshakeAbandoned},
	{"timeout", conn.ReasonHandshakeTimeout},
	{"overloaded", conn.ReasonOverloaded},
	{"accept-rate-per-ip", conn.ReasonAcceptRatePerIP},
	{"max-conns-per-ip", conn.ReasonMaxConnsPerIP},
	{"flood", conn.ReasonHandshakeFlood},
	{"register-failed", conn.ReasonRegisterFailed},
}

// collector makes metrics of a snapshot whenever it is asked: nothing is counted twice.
type collector struct {
	listener *Listener

	numbers                                        []*prometheus.Desc // as in numbers
	upgrades, closes, drops, lost, busy, publishes *prometheus.Desc
	handshakes                                     *prometheus.Desc // of TLS
	compressed, inflatedBytes, deflatedBytes       *prometheus.Desc
	info                                           prometheus.Metric
}

func (l *Listener) newRegistry() *prometheus.Registry {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	c := &collector{
		listener:      l,
		upgrades:      desc("roost_upgrades_total", "Opening handshakes by what came of them.", "result"),
		handshakes:    desc("roost_tls_handshakes_total", "TLS handshakes by result: full, resumed (with keys of an earlier connection), failed, and plaintext for requests without TLS. For who left, took too long or was dropped see roost_closes_total.", "result"),
		closes:        desc("roost_closes_total", "Connections that ended, by reason.", "reason"),
		drops:         desc("roost_drops_total", "Frames that were not sent, by reason: slow-consumer is --slow-consumer drop, broadcast-queue-full a publisher that did not wait.", "reason"),
		lost:          desc("roost_cluster_lost_total", "Messages between nodes that were lost, by reason: "+losses()+".", "reason"),
		busy:          desc("roost_reactor_busy_seconds_total", "Time that a reactor was at work. Its rate is the reactor's saturation.", "reactor"),
		publishes:     desc("roost_publish_requests_total", "Requests to publish, and lines of batches, by what came of them.", "result"),
		compressed:    desc("roost_compressed_messages_total", "Messages that were compressed, by direction: in from clients, out to them. One for many clients counts once.", "direction"),
		inflatedBytes: desc("roost_compressed_plain_bytes_total", "Their payload as it is when not compressed.", "direction"),
		deflatedBytes: desc("roost_compressed_bytes_total", "Their payload as it is when compressed.", "direction"),
		info: prometheus.MustNewConstMetric(desc("roost_info", "Always 1.", "version", "go"), gauge, 1,
			l.config.Version, runtime.Version()),
	}
	for _, n := range numbers {
		c.numbers = append(c.numbers, desc(n.name, n.help))
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c, l.config.Metrics.fanOut, l.config.Metrics.wait, collectors.NewGoCollector())
	return r
}

// losses are the reasons for which messages between nodes are lost, for people.
func losses() string {
	var all []string
	for l := range cluster.Losses {
		all = append(all, l.String()+" ("+l.Help()+")")
	}
	return strings.Join(all, "; ")
}

// Describe is part of prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range slices.Concat(c.numbers, []*prometheus.Desc{c.upgrades, c.handshakes, c.closes, c.drops, c.lost, c.busy, c.publishes, c.compressed, c.inflatedBytes, c.deflatedBytes, c.info.Desc()}) {
		ch <- d
	}
}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	n := c.listener.snapshot()
	for i, d := range c.numbers {
		ch <- prometheus.MustNewConstMetric(d, numbers[i].kind, numbers[i].of(&n))
	}
	count := func(d *prometheus.Desc, label string, value float64) {
		ch <- prometheus.MustNewConstMetric(d, counter, value, label)
	}
	for _, o := range outcomes {
		value := n.Opened
		if o.reason != conn.ReasonNone {
			value = n.Ended[o.reason]
		}
		count(c.upgrades, o.result, float64(value))
	}
	count(c.handshakes, "full", float64(n.TLSHandshakes-n.TLSResumed))
	count(c.handshakes, "resumed", float64(n.TLSResumed))
	count(c.handshakes, "failed", float64(n.Ended[conn.ReasonTLSHandshake]))
	count(c.handshakes, "plaintext", float64(n.Ended[conn.ReasonTLSPlaintext]))
	for r := conn.ReasonNone + 1; r < conn.Reasons; r++ {
		count(c.closes, r.String(), float64(n.Ended[r]))
	}
	count(c.drops, "slow-consumer", float64(n.Dropped))
	count(c.drops, "broadcast-queue-full", float64(n.Hub.Refused))
	for l := range cluster.Losses {
		count(c.lost, l.String(), float64(n.Cluster.Lost[l]))
	}
	for r := range results {
		count(c.publishes, resultNames[r], float64(c.listener.publishing.counts[r].Load()))
	}
	for _, d := range []struct {
		direction string
		server.Compressed
	}{{"in", n.CompressedIn}, {"out", n.CompressedOut}} {
		count(c.compressed, d.direction, float64(d.Messages))
		count(c.inflatedBytes, d.direction, float64(d.Plain))
		count(c.deflatedBytes, d.direction, float64(d.Deflated))
	}
	for i, busy := range n.Poller.Busy {
		count(c.busy, strconv.Itoa(i), busy.Seconds())
	}
	ch <- c.info
}
