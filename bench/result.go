package bench

import "time"

// Result is what one run found. Its JSON field names carry their units.
type Result struct {
	Scenario string    `json:"scenario"`
	URLs     []string  `json:"urls"`
	Started  time.Time `json:"started"`
	Plan     Plan      `json:"plan"`
	Phases   []Phase   `json:"phases"`

	Opening  Opening      `json:"opening"`
	Parts    []Part       `json:"parts"` // one for each kind of traffic, in the order of the groups
	Closes   []CloseCount `json:"closes_by_server"`
	Closing  Closing      `json:"closing_handshakes"`
	Failures []Failure    `json:"failures"`
	Pings    int64        `json:"pings_answered"`
	// TLS is what was agreed on with wss URLs, most frequent first.
	TLS []TLSUse `json:"tls,omitempty"`
	// Compression is what became of the offer of permessage-deflate; nil: there was none.
	Compression *Compression  `json:"compression,omitempty"`
	Server      *ServerReport `json:"server,omitempty"`
	Client      ClientReport  `json:"client"`

	Interrupted bool `json:"interrupted"`
	// Problems are the reasons why the run did not pass; none means it did.
	Problems []string `json:"problems"`
	// Warnings say what makes the numbers less sure.
	Warnings []string `json:"warnings"`

	// What a Recording keeps beside the summary above. Histograms are by the
	// names that HistogramName gives; one without a value is missing.
	Seconds    []Second             `json:"-"`
	Histograms map[string]*Recorder `json:"-"`
}

// Kinds of histograms.
const (
	HandshakeLatency = "handshake_latency" // connect(2) to checked 101 answer
	MessageLatency   = "latency"           // delivery or round trip, from when the message was sent or due
	FanOutLatency    = "fan_out"           // to the last connection's receipt, per message
)

// HistogramName is the name of a histogram of a part; the first part, and the
// opening of the connections, have the bare kind.
func HistogramName(part int, name, kind string) string {
	if part == 0 {
		return kind
	}
	return name + "." + kind
}

// Passed tells whether everything that was expected happened.
func (r *Result) Passed() bool { return len(r.Problems) == 0 }

// AddHistogram keeps h under name unless it is nil or empty.
func (r *Result) AddHistogram(name string, h *Recorder) {
	if h != nil && h.Count() > 0 {
		r.Histograms[name] = h
	}
}

// Phase is one stage of a run.
type Phase struct {
	Name   string  `json:"name"`          // open, settle, warm-up, measure, drain, close
	Start  float64 `json:"start_seconds"` // since the run began
	Length float64 `json:"length_seconds"`
}

// Part is what one kind of traffic came to. Of the pointers, those that its
// role has are set.
type Part struct {
	Name  string `json:"name"` // of its first group
	Role  string `json:"role"` // hold, room, echo, churn, storm, hostile
	Conns int64  `json:"connections"`

	Hold     *Hold     `json:"hold,omitempty"`
	Messages *Messages `json:"messages,omitempty"`
	Churn    *Churn    `json:"churn,omitempty"`
	Storm    *Storm    `json:"storm,omitempty"`
	Hostile  *Hostile  `json:"hostile,omitempty"`
}

// Opening is how the connections were made that the run then works with.
type Opening struct {
	Wanted       int64      `json:"wanted"`
	Opened       int64      `json:"opened"`
	Failed       int64      `json:"failed"`
	NotAttempted int64      `json:"not_attempted"`
	GaveUp       bool       `json:"gave_up"` // after too many failures in a row
	Seconds      float64    `json:"elapsed_seconds"`
	PerSecond    float64    `json:"connects_per_second"`
	Handshake    *Quantiles `json:"handshake_latency"` // connect(2) to checked 101 answer
}

// Hold is how long connections were kept without traffic of ours.
type Hold struct {
	Seconds  float64 `json:"elapsed_seconds"`
	Open     int64   `json:"connections_open_at_end"`
	Dropped  int64   `json:"connections_dropped"`
	Messages int64   `json:"messages_received"`
	// Pinged connections were sent a ping in the end; Ponged answered it.
	Pinged int64 `json:"connections_pinged"`
	Ponged int64 `json:"connections_ponged"`
}

// Messages is what became of the messages of a room or of echoing connections.
type Messages struct {
	Payload string `json:"payload"` // in words: sizes, text or binary
	// Load says in words how the messages were sent: open loop at a rate, or
	// closed loop with so many in flight. OpenLoop latencies count from when a
	// message was due.
	Load     string `json:"load"`
	OpenLoop bool   `json:"open_loop"`

	Planned int64 `json:"messages_planned"` // 0: as many as the time allows
	Sent    int64 `json:"messages_sent"`
	WarmUp  int64 `json:"messages_sent_in_warm_up"` // of Sent; not in rates and latencies
	// Refused were not taken by the URL that publishes.
	Refused int64 `json:"publishes_refused,omitempty"`
	// Expected is what the sent messages make: in a room one delivery for every
	// member that was open when the first was sent, the slow ones not counted.
	Expected   int64 `json:"deliveries_expected"`
	Received   int64 `json:"deliveries_received"` // each counted once
	Missing    int64 `json:"deliveries_missing"`
	Duplicate  int64 `json:"deliveries_duplicate"`
	OutOfOrder int64 `json:"deliveries_out_of_order"` // within one publisher's messages
	Corrupt    int64 `json:"messages_corrupt"`
	Foreign    int64 `json:"messages_foreign"` // not of this run; ignored

	// ConnsIncomplete missed something.
	ConnsIncomplete int64 `json:"connections_incomplete"`
	// DistinctOrders is in how many orders the complete connections saw the
	// messages of all publishers: 1 when all saw the same. 0 for echo.
	DistinctOrders int `json:"distinct_orders,omitempty"`

	Seconds   float64    `json:"elapsed_seconds"` // first send to last receipt, after the warm-up
	PerSecond float64    `json:"deliveries_per_second"`
	Latency   *Quantiles `json:"latency"`           // room: per delivery; echo: round trip
	FanOut    *Quantiles `json:"fan_out,omitempty"` // send to the last connection's receipt, per message
	// Before is Latency in the warm-up, when the measured part is under attack.
	Before    *Quantiles `json:"latency_before_attack,omitempty"`
	SendLagUS int64      `json:"send_lag_max_us"`      // open loop: how late the client itself sent
	InTime    bool       `json:"all_received_in_time"` // false: given up after the timeout

	Slow *SlowReaders `json:"slow_readers,omitempty"`
}

// Reach is the share of the expected deliveries that came, 0 to 1.
func (m *Messages) Reach() float64 {
	if m.Expected == 0 {
		return 0
	}
	return float64(m.Received) / float64(m.Expected)
}

// SlowReaders is what became of the members of a room that read slowly on
// purpose. What they miss is no fault of the server.
type SlowReaders struct {
	Conns          int64 `json:"connections"`
	BytesPerSecond int   `json:"read_bytes_per_second"` // each
	Received       int64 `json:"deliveries_received"`
	Closed         int64 `json:"connections_closed_by_server"`
}

// Churn is how a run of connect, handshake and close went.
type Churn struct {
	Handshakes int64      `json:"handshakes"`
	Failed     int64      `json:"failed"`
	Seconds    float64    `json:"elapsed_seconds"`
	PerSecond  float64    `json:"handshakes_per_second"`
	Handshake  *Quantiles `json:"handshake_latency"`
}

// Storm is how connections that were all dropped at once came back.
type Storm struct {
	Dropped int64 `json:"connections_dropped"`
	Back    int64 `json:"connections_back"`
	Failed  int64 `json:"attempts_failed"` // each was tried again
	// From the drop until that share of the connections was open again; 0: never.
	HalfSeconds float64    `json:"half_back_seconds"`
	MostSeconds float64    `json:"99_percent_back_seconds"`
	AllSeconds  float64    `json:"all_back_seconds"`
	Handshake   *Quantiles `json:"handshake_latency"`
}

// Hostile is what became of connections that misbehave.
type Hostile struct {
	Attack         string       `json:"attack"`
	Attempts       int64        `json:"attempts"` // to connect
	Opened         int64        `json:"connections_opened"`
	Failed         int64        `json:"attempts_failed"`
	Sent           int64        `json:"frames_sent"`
	ClosedByServer []CloseCount `json:"closes_by_server"`
}

// Closing counts how the server answered the client's close frames.
type Closing struct {
	Answered   int64 `json:"answered"`
	Unanswered int64 `json:"unanswered"`
}

// ServerReport is what the server process used. Processor times come in steps
// of 10 ms; a cost per unit is nil when the process used less than ten steps.
type ServerReport struct {
	PID     int    `json:"pid"`               // 0: only Metrics and Slab are known
	Command string `json:"command,omitempty"` // when the run started it

	RSSBeforeBytes int64   `json:"rss_before_bytes"`
	RSSOpenBytes   int64   `json:"rss_open_bytes"` // all connections open and quiet
	RSSEndBytes    int64   `json:"rss_end_bytes"`  // before the connections are closed
	RSSPerConn     float64 `json:"rss_growth_bytes_per_connection"`
	// PSS shares shared pages among their users; anonymous memory has no file
	// behind it: heap and stacks. Both with all connections open and quiet.
	PSSBytes       int64 `json:"pss_bytes"`
	AnonymousBytes int64 `json:"anonymous_bytes"`
	// SlabPerConn is what the whole machine's kernel memory for sockets grew by
	// per connection, both ends when the client is on the same machine; 0: not
	// known, /proc/slabinfo is for root.
	SlabPerConn float64 `json:"kernel_slab_growth_bytes_per_connection"`

	UserSeconds   float64 `json:"cpu_user_seconds"` // in the measured part
	SystemSeconds float64 `json:"cpu_system_seconds"`
	Cores         float64 `json:"cpu_cores"`

	PerHandshakeUS *float64 `json:"cpu_us_per_handshake,omitempty"`
	PerDeliveryUS  *float64 `json:"cpu_us_per_delivery,omitempty"`
	PerEchoUS      *float64 `json:"cpu_us_per_echo,omitempty"`

	// Metrics are the server's own, scraped before and after the measured part,
	// by series name.
	Metrics map[string]MetricChange `json:"metrics,omitempty"`
}

// MetricChange is one scraped series over the measured part.
type MetricChange struct {
	Before float64 `json:"before"`
	After  float64 `json:"after"`
}

// ClientReport is the effort of the load generator in the measured part, all
// its processes together.
type ClientReport struct {
	Processes  int     `json:"processes"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Cores      float64 `json:"cpu_cores"`
	// LoopBusy is that of the busiest process; 1: its event loop never waited.
	LoopBusy   float64 `json:"loop_busy_share"`
	Saturated  bool    `json:"saturated"`  // often enough to doubt the numbers
	Bottleneck bool    `json:"bottleneck"` // rates and latencies are the client's own
	RSSPerConn float64 `json:"rss_growth_bytes_per_connection"`
}

// Ending is how the connections of a client ended. Those of several processes
// can be added up.
type Ending struct {
	Closes   []CloseCount
	Closing  Closing
	Failures []Failure
	Pings    int64 // answered
	TLS      []TLSUse
	Deflate  Compression
}

// Ending is how connections have ended so far.
func (cl *Client) Ending() Ending {
	t := &cl.tally
	return Ending{
		Closes: t.closeCounts(), Closing: Closing{t.answered, t.unanswered}, Failures: t.list(), Pings: t.pings,
		TLS: t.tlsUses(), Deflate: t.deflate,
	}
}

// Add adds what another client counted.
func (e *Ending) Add(other Ending) {
	e.Closes = MergeCloses(e.Closes, other.Closes)
	e.Failures = MergeFailures(e.Failures, other.Failures)
	e.Closing.Answered += other.Closing.Answered
	e.Closing.Unanswered += other.Closing.Unanswered
	e.Pings += other.Pings
	e.TLS = MergeTLS(e.TLS, other.TLS)
	e.Deflate.Add(other.Deflate)
}

// Seconds ends the series of the client and returns it.
func (cl *Client) Seconds() []Second { return cl.series.finish(cl.Now()) }

// Opening turns what was dialled into a part of the result.
func (d *Dialled) Opening() Opening {
	o := Opening{
		Wanted: d.Wanted, Opened: d.Opened, Failed: d.Failed, NotAttempted: max(0, d.Wanted-d.Attempted),
		GaveUp: d.GaveUp, Handshake: d.Latency.Quantiles(), Seconds: d.Elapsed().Seconds(),
	}
	if o.Seconds > 0 {
		o.PerSecond = float64(d.Opened) / o.Seconds
	}
	return o
}
