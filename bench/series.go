package bench

import (
	"cmp"
	"slices"
	"time"
)

// Second is what happened in one second of a run. The last one may be shorter,
// and one in which the client's loop did not come round is longer.
type Second struct {
	Start  float64 `json:"start_seconds"` // since the run began
	Length float64 `json:"length_seconds"`
	Phase  string  `json:"phase"` // in which it ended

	Open   int   `json:"connections_open"` // at its end
	Opened int64 `json:"connections_opened"`
	Failed int64 `json:"connections_failed"` // attempts
	Closed int64 `json:"connections_closed"` // by either side

	Sent       int64 `json:"messages_sent"`
	Received   int64 `json:"messages_received"` // all that came
	Deliveries int64 `json:"deliveries"`        // of this run, each counted once

	Handshake *Quantiles `json:"handshake_latency,omitempty"`
	Latency   *Quantiles `json:"latency,omitempty"`
	// Spreads are the distributions behind the two, for those who add up seconds
	// or draw them. Nil where nothing was recorded.
	HandshakeSpread *Spread `json:"handshake_spread,omitempty"`
	LatencySpread   *Spread `json:"latency_spread,omitempty"`

	ClientCores    float64       `json:"client_cpu_cores"`
	ClientLoopBusy float64       `json:"client_loop_busy_share"`
	Server         *ServerSecond `json:"server,omitempty"` // with the server's pid
	// Metrics are series scraped from the server, by name. Counters are as they
	// stood.
	Metrics map[string]float64 `json:"server_metrics,omitempty"`
}

// Counts are what a scenario has counted so far, for the series.
type Counts struct {
	Sent, Received int64
	// Latencies since the last call, cut by the callee; nil for none.
	Latency *Quantiles
	Spread  *Spread
}

// Count makes the series include what counts returns. The goroutine that drives
// the client calls it once a second.
func (cl *Client) Count(counts func() Counts) { cl.series.counts = counts }

// series collects the seconds. It belongs to the client.
type series struct {
	cl      *Client
	counts  func() Counts // nil: the scenario counts nothing
	seconds []Second
	start   Mark // of the second that runs

	opened, failed, closed   int64 // as they stood then
	sent, received, messages int64
}

func (s *series) init(cl *Client) { s.cl, s.start = cl, cl.Mark() }

// advance ends the second when its time is over and returns the wait until
// then. Seconds end when the run's clock shows whole ones, so that those of
// several processes can be added up.
func (s *series) advance(now time.Duration) time.Duration {
	end := s.start.at.Truncate(time.Second) + time.Second
	if now >= end {
		s.cut()
		end = now.Truncate(time.Second) + time.Second
	}
	return end - now
}

// cut ends the second that runs.
func (s *series) cut() {
	cl, d := s.cl, &s.cl.dialer
	load := cl.Since(s.start)
	closed := d.opened - int64(cl.open)
	second := Second{
		Start: s.start.at.Seconds(), Length: load.Elapsed.Seconds(), Phase: cl.phase,
		Open: cl.open, Opened: d.opened - s.opened, Failed: d.failed - s.failed, Closed: closed - s.closed,
		Received: cl.tally.messages - s.messages, ClientLoopBusy: load.Busy,
	}
	second.Handshake, second.HandshakeSpread = d.latency.Cut()
	if second.Length > 0 {
		second.ClientCores = load.CPU.Seconds() / second.Length
	}
	s.opened, s.failed, s.closed, s.messages = d.opened, d.failed, closed, cl.tally.messages
	if s.counts != nil {
		c := s.counts()
		second.Sent, second.Deliveries = c.Sent-s.sent, c.Received-s.received
		second.Latency, second.LatencySpread = c.Latency, c.Spread
		s.sent, s.received = c.Sent, c.Received
	}
	s.seconds = append(s.seconds, second)
	s.start = cl.Mark()
}

// finish ends the series and returns it.
func (s *series) finish(now time.Duration) []Second {
	if now > s.start.at {
		s.cut()
	}
	return s.seconds
}

// MergeSeconds adds up the series of several clients that share a clock.
func MergeSeconds(all ...[]Second) []Second {
	var merged []Second
	at := map[int]int{} // whole second: index in merged
	for _, seconds := range all {
		for _, s := range seconds {
			whole := int(s.Start)
			i, known := at[whole]
			if !known {
				i, at[whole] = len(merged), len(merged)
				merged = append(merged, s)
				merged[i].HandshakeSpread, merged[i].LatencySpread = s.HandshakeSpread.clone(), s.LatencySpread.clone()
				continue
			}
			merged[i].add(&s)
		}
	}
	slices.SortFunc(merged, func(a, b Second) int { return cmp.Compare(a.Start, b.Start) })
	return merged
}

// add adds what another client did in the same second.
func (s *Second) add(other *Second) {
	s.Start = min(s.Start, other.Start)
	s.Length = max(s.Length, other.Length)
	s.Open += other.Open
	s.Opened += other.Opened
	s.Failed += other.Failed
	s.Closed += other.Closed
	s.Sent += other.Sent
	s.Received += other.Received
	s.Deliveries += other.Deliveries
	s.ClientCores += other.ClientCores
	s.ClientLoopBusy = max(s.ClientLoopBusy, other.ClientLoopBusy)
	s.HandshakeSpread, s.Handshake = s.HandshakeSpread.merge(other.HandshakeSpread)
	s.LatencySpread, s.Latency = s.LatencySpread.merge(other.LatencySpread)
}
