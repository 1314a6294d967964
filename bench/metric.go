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

	part string // of this part only; empty: of the first that has it
	get  func(*Result, *Part) (float64, bool)
}

// Value is the metric in r; ok is false when r has no data for it.
func (m Metric) Value(r *Result) (value float64, ok bool) {
	for i := range r.Parts {
		if p := &r.Parts[i]; m.part == "" || m.part == p.Name {
			if value, ok = m.get(r, p); ok {
				return value, true
			}
		}
	}
	if len(r.Parts) == 0 && m.part == "" {
		return m.get(r, &Part{})
	}
	return 0, false
}

// Of is the metric of one part of the run, by its name.
func (m Metric) Of(part string) Metric {
	m.part, m.Name = part, part+"."+m.Name
	return m
}

// Metrics lists every metric.
func Metrics() []Metric {
	var list []Metric
	list = append(list, quantileMetrics("", "message latency: delivery, or round trip of an echo", messageLatency)...)
	list = append(list, quantileMetrics("fan_out_", "time until the last connection has a message", fanOut)...)
	list = append(list, quantileMetrics("handshake_", "connect to checked 101 answer", handshakes)...)
	return append(list,
		load("rate", UnitPerSecond, "deliveries or echoes; of churn, handshakes", rateOf),
		load("connect_rate", UnitPerSecond, "connections opened", func(r *Result, _ *Part) (float64, bool) {
			return r.Opening.PerSecond, r.Opening.Opened > 0
		}),

		Metric{Name: "reach", Unit: UnitShare, Help: "received of the expected deliveries", get: func(_ *Result, p *Part) (float64, bool) {
			if p.Messages == nil || p.Messages.Expected == 0 {
				return 0, false
			}
			return p.Messages.Reach(), true
		}},
		count("lost", "deliveries or echoes that did not come", func(m *Messages) int64 { return m.Missing }),
		count("duplicate", "deliveries that came twice", func(m *Messages) int64 { return m.Duplicate }),
		count("out_of_order", "deliveries out of their publisher's order", func(m *Messages) int64 { return m.OutOfOrder }),
		count("corrupt", "messages with other content", func(m *Messages) int64 { return m.Corrupt }),
		count("sent", "messages sent", func(m *Messages) int64 { return m.Sent }),
		count("received", "deliveries or echoes, each counted once", func(m *Messages) int64 { return m.Received }),
		Metric{Name: "opened", Help: "connections opened; of churn, handshakes", get: opened},
		Metric{Name: "failed", Help: "attempts that failed", get: failedAttempts},
		Metric{Name: "closed_by_server", Help: "connections the server ended", get: closedByServer},
		holding("dropped", "of idle: connections that did not last", func(h *Hold) int64 { return h.Dropped }),
		holding("pings_unanswered", "of idle: connections that did not answer the ping in the end", func(h *Hold) int64 { return h.Pinged - h.Ponged }),
		back("back_50", "of a storm: until half of the connections are back", func(s *Storm) float64 { return s.HalfSeconds }),
		back("back_99", "of a storm: until 99 % of the connections are back", func(s *Storm) float64 { return s.MostSeconds }),
		back("back_all", "of a storm: until all connections are back", func(s *Storm) float64 { return s.AllSeconds }),

		server("rss_per_conn", UnitBytes, "growth of the server's resident set per connection", func(s *ServerReport) (float64, bool) {
			return s.RSSPerConn, s.RSSOpenBytes > 0 && s.RSSPerConn != 0
		}),
		server("rss", UnitBytes, "the server's resident set at the end", func(s *ServerReport) (float64, bool) {
			return float64(s.RSSEndBytes), s.RSSEndBytes > 0
		}),
		server("pss", UnitBytes, "the server's resident set with shared pages shared out, all connections open", func(s *ServerReport) (float64, bool) {
			return float64(s.PSSBytes), s.PSSBytes > 0
		}),
		server("anonymous", UnitBytes, "the server's memory without files behind it, all connections open", func(s *ServerReport) (float64, bool) {
			return float64(s.AnonymousBytes), s.AnonymousBytes > 0
		}),
		server("slab_per_conn", UnitBytes, "growth of the kernel's memory for sockets, both ends on one machine", func(s *ServerReport) (float64, bool) {
			return s.SlabPerConn, s.SlabPerConn != 0
		}),
		server("cpu", UnitCores, "the server's processor use in the measured part", func(s *ServerReport) (float64, bool) {
			return s.Cores, s.RSSEndBytes > 0
		}),
		server("cpu_per_delivery", UnitMicros, "the server's processor time", cost(func(s *ServerReport) *float64 { return s.PerDeliveryUS })),
		server("cpu_per_echo", UnitMicros, "the server's processor time", cost(func(s *ServerReport) *float64 { return s.PerEchoUS })),
		server("cpu_per_handshake", UnitMicros, "the server's processor time", cost(func(s *ServerReport) *float64 { return s.PerHandshakeUS })),
		Metric{Name: "tls_resumed", Unit: UnitShare, Help: "TLS handshakes with the session of an earlier one", get: func(r *Result, _ *Part) (float64, bool) {
			var all, resumed int64
			for _, u := range r.TLS {
				all, resumed = all+u.Handshakes, resumed+u.Resumed
			}
			return share(resumed, all)
		}},
		Metric{Name: "compressed", Unit: UnitShare, Help: "messages received that came compressed, of those on connections that agreed", get: func(r *Result, _ *Part) (float64, bool) {
			if r.Compression == nil {
				return 0, false
			}
			return share(r.Compression.In.Compressed, r.Compression.In.Messages)
		}},
		Metric{Name: "wire_share", Unit: UnitShare, Help: "bytes of messages received as they came on the wire, of those connections", get: func(r *Result, _ *Part) (float64, bool) {
			if r.Compression == nil {
				return 0, false
			}
			return share(r.Compression.In.Wire, r.Compression.In.Payload)
		}},
		Metric{Name: "client_cpu", Unit: UnitCores, Help: "the client's processor use", get: func(r *Result, _ *Part) (float64, bool) {
			return r.Client.Cores, r.Client.LoopBusy > 0
		}},
		Metric{Name: "loop_busy", Unit: UnitShare, Help: "time the client's loop did not wait", get: func(r *Result, _ *Part) (float64, bool) {
			return r.Client.LoopBusy, r.Client.LoopBusy > 0
		}},
	)
}

// share has no data of nothing.
func share(part, whole int64) (float64, bool) {
	if whole == 0 {
		return 0, false
	}
	return float64(part) / float64(whole), true
}

func quantileMetrics(prefix, help string, from func(*Result, *Part) *Quantiles) []Metric {
	metric := func(name string, value func(*Quantiles) float64) Metric {
		return load(prefix+name, UnitMicros, help, func(r *Result, p *Part) (float64, bool) {
			q := from(r, p)
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

func load(name string, unit Unit, help string, get func(*Result, *Part) (float64, bool)) Metric {
	return Metric{Name: name, Unit: unit, OfLoad: true, Help: help, get: get}
}

func count(name, help string, of func(*Messages) int64) Metric {
	return Metric{Name: name, Help: help, get: func(_ *Result, p *Part) (float64, bool) {
		// Of nothing, nothing is lost: that must not pass for a measurement.
		if p.Messages == nil || p.Messages.Sent == 0 {
			return 0, false
		}
		return float64(of(p.Messages)), true
	}}
}

func holding(name, help string, of func(*Hold) int64) Metric {
	return Metric{Name: name, Help: help, get: func(_ *Result, p *Part) (float64, bool) {
		if p.Hold == nil {
			return 0, false
		}
		return float64(of(p.Hold)), true
	}}
}

// back has no data for a share that never came back.
func back(name, help string, of func(*Storm) float64) Metric {
	return load(name, UnitMicros, help, func(_ *Result, p *Part) (float64, bool) {
		if p.Storm == nil || of(p.Storm) == 0 {
			return 0, false
		}
		return of(p.Storm) * 1e6, true
	})
}

func server(name string, unit Unit, help string, get func(*ServerReport) (float64, bool)) Metric {
	return Metric{Name: name, Unit: unit, Help: help, get: func(r *Result, _ *Part) (float64, bool) {
		if r.Server == nil || r.Server.PID == 0 {
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

func messageLatency(_ *Result, p *Part) *Quantiles {
	if p.Messages == nil {
		return nil
	}
	return p.Messages.Latency
}

func fanOut(_ *Result, p *Part) *Quantiles {
	if p.Messages == nil {
		return nil
	}
	return p.Messages.FanOut
}

func handshakes(r *Result, p *Part) *Quantiles {
	switch {
	case p.Churn != nil:
		return p.Churn.Handshake
	case p.Storm != nil:
		return p.Storm.Handshake
	}
	return r.Opening.Handshake
}

func rateOf(_ *Result, p *Part) (float64, bool) {
	switch {
	case p.Churn != nil:
		return p.Churn.PerSecond, p.Churn.Handshakes > 0
	case p.Messages != nil:
		return p.Messages.PerSecond, p.Messages.Received > 0
	}
	return 0, false
}

func opened(r *Result, p *Part) (float64, bool) {
	if p.Churn != nil {
		return float64(p.Churn.Handshakes), true
	}
	return float64(r.Opening.Opened), r.Opening.Wanted > 0
}

func failedAttempts(r *Result, p *Part) (float64, bool) {
	switch {
	case p.Churn != nil:
		return float64(p.Churn.Failed), true
	case p.Storm != nil:
		return float64(r.Opening.Failed + p.Storm.Failed), true
	}
	return float64(r.Opening.Failed), r.Opening.Wanted > 0
}

func closedByServer(r *Result, p *Part) (float64, bool) {
	var n int64
	for _, c := range r.Closes {
		n += c.Count
	}
	_, tried := opened(r, p)
	return float64(n), tried
}
