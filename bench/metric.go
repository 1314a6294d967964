package bench

// Unit says how the value of a Metric is written.
type Unit uint8

// Units.
const (
	UnitCount     Unit = iota
	UnitMicros         // microseconds
	UnitBytes          // bytes
	UnitPerSecond      // something per second
	UnitCores          // processor cores
	UnitShare          // 0 to 1
)

// Metric is one number of a result, under the name that assertions and
// comparisons use.
type Metric struct {
	Name string
	Unit Unit
	// OfLoad marks rates and latencies: they are the client's own, not the
	// server's, when the client was the bottleneck.
	OfLoad bool
	Help   string

	get func(*Result) (float64, bool)
}

// Value is the metric in r; ok is false when r has no data for it.
func (m Metric) Value(r *Result) (value float64, ok bool) { return m.get(r) }

// Metrics lists every metric.
func Metrics() []Metric {
	var list []Metric
	list = append(list, quantileMetrics("", "message latency: delivery, or round trip of an echo", messageLatency)...)
	list = append(list, quantileMetrics("fan_out_", "time until the last connection has a message", fanOut)...)
	list = append(list, quantileMetrics("handshake_", "connect to checked 101 answer", handshakes)...)
	return append(list,
		load("rate", UnitPerSecond, "deliveries or echoes; of churn, handshakes", rateOf),
		load("connect_rate", UnitPerSecond, "connections opened", func(r *Result) (float64, bool) {
			return r.Opening.PerSecond, r.Opening.Opened > 0
		}),

		count("lost", "deliveries or echoes that did not come", func(m *Messages) int64 { return m.Missing }),
		count("duplicate", "deliveries that came twice", func(m *Messages) int64 { return m.Duplicate }),
		count("out_of_order", "deliveries out of their publisher's order", func(m *Messages) int64 { return m.OutOfOrder }),
		count("corrupt", "messages with other content", func(m *Messages) int64 { return m.Corrupt }),
		count("sent", "messages sent", func(m *Messages) int64 { return m.Sent }),
		count("received", "deliveries or echoes, each counted once", func(m *Messages) int64 { return m.Received }),
		Metric{Name: "opened", Help: "connections opened; of churn, handshakes", get: opened},
		Metric{Name: "failed", Help: "attempts that failed", get: failedAttempts},
		Metric{Name: "closed_by_server", Help: "connections the server ended", get: closedByServer},
		Metric{Name: "dropped", Help: "of idle: connections that did not last", get: func(r *Result) (float64, bool) {
			if r.Hold == nil {
				return 0, false
			}
			return float64(r.Hold.Dropped), true
		}},

		server("rss_per_conn", UnitBytes, "growth of the server's resident set per connection", func(s *ServerReport) (float64, bool) {
			return s.RSSPerConn, s.RSSOpenBytes > 0 && s.RSSPerConn != 0
		}),
		server("rss", UnitBytes, "the server's resident set at the end", func(s *ServerReport) (float64, bool) {
			return float64(s.RSSEndBytes), s.RSSEndBytes > 0
		}),
		server("cpu", UnitCores, "the server's processor use in the measured part", func(s *ServerReport) (float64, bool) {
			return s.Cores, s.RSSEndBytes > 0
		}),
		server("cpu_per_delivery", UnitMicros, "the server's processor time", cost(func(s *ServerReport) *float64 { return s.PerDeliveryUS })),
		server("cpu_per_echo", UnitMicros, "the server's processor time", cost(func(s *ServerReport) *float64 { return s.PerEchoUS })),
		server("cpu_per_handshake", UnitMicros, "the server's processor time", cost(func(s *ServerReport) *float64 { return s.PerHandshakeUS })),
		Metric{Name: "client_cpu", Unit: UnitCores, Help: "the client's processor use", get: func(r *Result) (float64, bool) {
			return r.Client.Cores, r.Client.LoopBusy > 0
		}},
		Metric{Name: "loop_busy", Unit: UnitShare, Help: "time the client's loop did not wait", get: func(r *Result) (float64, bool) {
			return r.Client.LoopBusy, r.Client.LoopBusy > 0
		}},
	)
}

func quantileMetrics(prefix, help string, from func(*Result) *Quantiles) []Metric {
	metric := func(name string, value func(*Quantiles) float64) Metric {
		return load(prefix+name, UnitMicros, help, func(r *Result) (float64, bool) {
			q := from(r)
			if q == nil {
				return 0, false
			}
			return value(q), true
		})
	}
	return []Metric{
		metric("min", func(q *Quantiles) float64 { return float64(q.Min) }),
		metric("mean", func(q *Quantiles) float64 { return q.Mean }),
		metric("p50", func(q *Quantiles) float64 { return float64(q.P50) }),
		metric("p90", func(q *Quantiles) float64 { return float64(q.P90) }),
		metric("p99", func(q *Quantiles) float64 { return float64(q.P99) }),
		metric("p99.9", func(q *Quantiles) float64 { return float64(q.P999) }),
		metric("max", func(q *Quantiles) float64 { return float64(q.Max) }),
	}
}

func load(name string, unit Unit, help string, get func(*Result) (float64, bool)) Metric {
	return Metric{Name: name, Unit: unit, OfLoad: true, Help: help, get: get}
}

func count(name, help string, of func(*Messages) int64) Metric {
	return Metric{Name: name, Help: help, get: func(r *Result) (float64, bool) {
		// Of nothing, nothing is lost: that must not pass for a measurement.
		if r.Messages == nil || r.Messages.Sent == 0 {
			return 0, false
		}
		return float64(of(r.Messages)), true
	}}
}

func server(name string, unit Unit, help string, get func(*ServerReport) (float64, bool)) Metric {
	return Metric{Name: name, Unit: unit, Help: help, get: func(r *Result) (float64, bool) {
		if r.Server == nil {
			return 0, false
		}
		return get(r.Server)
	}}
}

func cost(of func(*ServerReport) *float64) func(*ServerReport) (float64, bool) {
	return func(s *ServerReport) (float64, bool) {
		us := of(s)
		if us == nil {
			return 0, false
		}
		return *us, true
	}
}

func messageLatency(r *Result) *Quantiles {
	if r.Messages == nil {
		return nil
	}
	return r.Messages.Latency
}

func fanOut(r *Result) *Quantiles {
	if r.Messages == nil {
		return nil
	}
	return r.Messages.FanOut
}

func handshakes(r *Result) *Quantiles {
	if r.Churn != nil {
		return r.Churn.Handshake
	}
	return r.Opening.Handshake
}

func rateOf(r *Result) (float64, bool) {
	switch {
	case r.Churn != nil:
		return r.Churn.PerSecond, r.Churn.Handshakes > 0
	case r.Messages != nil:
		return r.Messages.PerSecond, r.Messages.Received > 0
	}
	return 0, false
}

func opened(r *Result) (float64, bool) {
	if r.Churn != nil {
		return float64(r.Churn.Handshakes), true
	}
	return float64(r.Opening.Opened), r.Opening.Wanted > 0
}

func failedAttempts(r *Result) (float64, bool) {
	if r.Churn != nil {
		return float64(r.Churn.Failed), true
	}
	return float64(r.Opening.Failed), r.Opening.Wanted > 0
}

func closedByServer(r *Result) (float64, bool) {
	var n int64
	for _, c := range r.Closes {
		n += c.Count
	}
	_, tried := opened(r)
	return float64(n), tried
}
