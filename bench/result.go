package bench

import "time"

// Result is what one run found. Its JSON field names carry their units. A part
// that the scenario does not have is nil.
type Result struct {
	Scenario string    `json:"scenario"`
	URL      string    `json:"url"`
	Started  time.Time `json:"started"`
	Plan     Plan      `json:"plan"`

	Opening  Opening       `json:"opening"`
	Hold     *Hold         `json:"hold,omitempty"`
	Messages *Messages     `json:"messages,omitempty"`
	Churn    *Churn        `json:"churn,omitempty"`
	Closes   []CloseCount  `json:"closes_by_server"`
	Closing  Closing       `json:"closing_handshakes"`
	Failures []Failure     `json:"failures"`
	Pings    int64         `json:"pings_answered"`
	Server   *ServerReport `json:"server,omitempty"`
	Client   ClientReport  `json:"client"`

	Interrupted bool `json:"interrupted"`
	// Problems are the reasons why the run did not pass; none means it did.
	Problems []string `json:"problems"`
	// Warnings say what makes the numbers less sure.
	Warnings []string `json:"warnings"`

	// What a Recording keeps beside the summary above. Histograms are by the
	// names below; one without a value is missing.
	Seconds    []Second             `json:"-"`
	Histograms map[string]*Recorder `json:"-"`
}

// Names of histograms.
const (
	HandshakeLatency = "handshake_latency" // connect(2) to checked 101 answer
	MessageLatency   = "latency"           // delivery or round trip, from when the message was sent or due
	FanOutLatency    = "fan_out"           // to the last connection's receipt, per message
)

// Passed tells whether everything that was expected happened.
func (r *Result) Passed() bool { return len(r.Problems) == 0 }

// AddHistogram keeps h under name unless it is nil or empty.
func (r *Result) AddHistogram(name string, h *Recorder) {
	if h != nil && h.Count() > 0 {
		r.Histograms[name] = h
	}
}

// Opening is how the connections were made.
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

// Hold is how long the connections were kept without traffic of ours.
type Hold struct {
	Seconds  float64 `json:"elapsed_seconds"`
	Open     int64   `json:"connections_open_at_end"`
	Dropped  int64   `json:"connections_dropped"`
	Messages int64   `json:"messages_received"`
}

// Messages is what became of the messages of a broadcast or echo run.
type Messages struct {
	PayloadBytes int   `json:"payload_bytes"`
	Planned      int64 `json:"messages_planned"` // 0: as many as the time allows
	Sent         int64 `json:"messages_sent"`
	// Expected is what the sent messages make: for broadcast one delivery for
	// every connection that was open when the first was sent.
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

	Seconds   float64    `json:"elapsed_seconds"` // first send to last receipt
	PerSecond float64    `json:"deliveries_per_second"`
	Latency   *Quantiles `json:"latency"`              // broadcast: per delivery; echo: round trip
	FanOut    *Quantiles `json:"fan_out,omitempty"`    // send to the last connection's receipt, per message
	SendLagUS int64      `json:"send_lag_max_us"`      // open loop: how late the client itself sent
	InTime    bool       `json:"all_received_in_time"` // false: given up after the timeout
}

// Churn is how a run of connect, handshake and close went.
type Churn struct {
	Handshakes int64      `json:"handshakes"`
	Failed     int64      `json:"failed"`
	Seconds    float64    `json:"elapsed_seconds"`
	PerSecond  float64    `json:"handshakes_per_second"`
	Handshake  *Quantiles `json:"handshake_latency"`
}

// Closing counts how the server answered the client's close frames.
type Closing struct {
	Answered   int64 `json:"answered"`
	Unanswered int64 `json:"unanswered"`
}

// ServerReport is what the server process used. Processor times come in steps
// of 10 ms; a cost per unit is nil when the process used less than ten steps.
type ServerReport struct {
	PID            int     `json:"pid"`
	RSSBeforeBytes int64   `json:"rss_before_bytes"`
	RSSOpenBytes   int64   `json:"rss_open_bytes"` // all connections open and quiet
	RSSEndBytes    int64   `json:"rss_end_bytes"`  // before the connections are closed
	RSSPerConn     float64 `json:"rss_growth_bytes_per_connection"`

	UserSeconds   float64 `json:"cpu_user_seconds"` // in the measured part
	SystemSeconds float64 `json:"cpu_system_seconds"`
	Cores         float64 `json:"cpu_cores"`

	PerHandshakeUS *float64 `json:"cpu_us_per_handshake,omitempty"`
	PerDeliveryUS  *float64 `json:"cpu_us_per_delivery,omitempty"`
	PerEchoUS      *float64 `json:"cpu_us_per_echo,omitempty"`
}

// ClientReport is the effort of the load generator in the measured part.
type ClientReport struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	Cores      float64 `json:"cpu_cores"`
	LoopBusy   float64 `json:"loop_busy_share"` // 1: the event loop never waited
	Saturated  bool    `json:"saturated"`       // often enough to doubt the numbers
	Bottleneck bool    `json:"bottleneck"`      // rates and latencies are the client's own
}

// Opening is how the dialling of Open or churn has gone so far.
func (cl *Client) Opening() Opening {
	d := &cl.dialer
	o := Opening{
		Wanted:       int64(len(cl.conns)),
		Opened:       d.opened,
		Failed:       d.failed,
		NotAttempted: max(0, int64(len(cl.conns))-d.attempted),
		GaveUp:       d.gaveUp,
		Handshake:    d.latency.Quantiles(),
	}
	if elapsed := d.last - d.first; d.attempted > 0 && elapsed > 0 {
		o.Seconds = elapsed.Seconds()
		o.PerSecond = float64(d.opened) / o.Seconds
	}
	return o
}

// Fill copies the client's counts of closes and failures, its series and its
// histogram of handshakes into r. It ends the series.
func (cl *Client) Fill(r *Result) {
	r.Seconds = cl.series.finish(cl.Now())
	r.Histograms = map[string]*Recorder{}
	r.AddHistogram(HandshakeLatency, cl.dialer.latency)
	r.Closes = cl.tally.closeCounts()
	r.Failures = cl.tally.list()
	r.Pings = cl.tally.pings
	r.Closing = Closing{Answered: cl.tally.answered, Unanswered: cl.tally.unanswered}
}
