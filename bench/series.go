package bench

import "time"

// Second is what happened in one second of a run. The last one may be shorter,
// and one in which the client's loop did not come round is longer.
type Second struct {
	Start  float64 `json:"start_seconds"` // since the client was made
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

	ClientCores    float64       `json:"client_cpu_cores"`
	ClientLoopBusy float64       `json:"client_loop_busy_share"`
	Server         *ServerSecond `json:"server,omitempty"` // with Config.PID
}

// Counts are what a scenario has counted so far, for the series.
type Counts struct {
	Sent, Received int64
	Latency        *Recorder // Cut once a second
}

// Count makes the series include what counts returns. The goroutine that drives
// the client calls it once a second.
func (cl *Client) Count(counts func() Counts) { cl.series.counts = counts }

// series collects the seconds. It belongs to the client.
type series struct {
	cl      *Client
	counts  func() Counts // nil: the scenario counts nothing
	watch   watch
	seconds []Second
	start   Mark // of the second that runs

	opened, failed, closed   int64 // as they stood then
	sent, received, messages int64
}

func (s *series) init(cl *Client) {
	s.cl, s.start = cl, cl.Mark()
	s.watch.start(cl.cfg.PID)
}

// advance ends the second when its time is over and returns the wait until then.
func (s *series) advance(now time.Duration) time.Duration {
	if now-s.start.at >= time.Second {
		s.cut()
	}
	return max(0, s.start.at+time.Second-now)
}

// cut ends the second that runs.
func (s *series) cut() {
	cl, d := s.cl, &s.cl.dialer
	load := cl.Since(s.start)
	closed := d.opened - int64(cl.open)
	second := Second{
		Start: s.start.at.Seconds(), Length: load.Elapsed.Seconds(), Phase: cl.phase,
		Open: cl.open, Opened: d.opened - s.opened, Failed: d.failed - s.failed, Closed: closed - s.closed,
		Received: cl.tally.messages - s.messages, Handshake: d.latency.Cut(),
		ClientLoopBusy: load.Busy,
	}
	if second.Length > 0 {
		second.ClientCores = load.CPU.Seconds() / second.Length
	}
	s.opened, s.failed, s.closed, s.messages = d.opened, d.failed, closed, cl.tally.messages
	if s.counts != nil {
		c := s.counts()
		second.Sent, second.Deliveries, second.Latency = c.Sent-s.sent, c.Received-s.received, c.Latency.Cut()
		s.sent, s.received = c.Sent, c.Received
	}
	s.watch.take(len(s.seconds))
	s.seconds = append(s.seconds, second)
	s.start = cl.Mark()
}

// finish ends the series and returns it.
func (s *series) finish(now time.Duration) []Second {
	if now > s.start.at {
		s.cut()
	}
	s.watch.stop()
	for i := range s.seconds {
		if sample, ok := s.watch.samples[i]; ok {
			s.seconds[i].Server = &sample
		}
	}
	return s.seconds
}
