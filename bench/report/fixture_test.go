package report_test

import (
	"math"
	"math/rand/v2"
	"time"

	"roost/bench"
)

// recording is a run of so many seconds with a room, echoing connections and
// new users who come and go, and a stall of the server in the middle. The same
// arguments make the same recording.
func recording(seconds int, seed uint64) *bench.Recording {
	random := rand.New(rand.NewPCG(seed, 1))
	// Log-normal, with a long tail.
	latency := func(median float64) time.Duration {
		us := median * math.Exp(0.45*random.NormFloat64())
		if random.IntN(500) == 0 {
			us *= 8
		}
		return time.Duration(us) * time.Microsecond
	}
	delivery, fanOut, handshake, echo, joins := bench.NewRecorder(), bench.NewRecorder(), bench.NewRecorder(), bench.NewRecorder(), bench.NewRecorder()
	r := &bench.Result{
		Scenario: "mix", URLs: []string{"ws://127.0.0.1:8000/ws", "ws://127.0.0.1:8001/ws"}, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Histograms: map[string]*bench.Recorder{bench.MessageLatency: delivery, bench.FanOutLatency: fanOut, bench.HandshakeLatency: handshake, "ask.latency": echo, "visitors.handshake_latency": joins},
	}
	open := max(1, seconds/5)
	length := float64(seconds)
	r.Phases = []bench.Phase{
		{Name: "open", Length: float64(open)}, {Name: "warm-up", Start: float64(open), Length: 0.1 * length},
		{Name: "measure", Start: float64(open) + 0.1*length, Length: length - float64(open) - 0.1*length - 0.6}, {Name: "close", Start: length - 0.6, Length: 0.6},
	}
	// Cutting takes long: a long run repeats the 200 seconds before.
	distinct := max(400, open+200)
	for i := range seconds {
		s := bench.Second{
			Start: float64(i), Length: 1, Phase: "measure", Open: 40_000 * min(i+1, open) / open,
			ClientCores: 0.4, ClientLoopBusy: 0.3 + 0.1*math.Sin(float64(i)),
			Server:  &bench.ServerSecond{RSSBytes: 6e6 + 12e6*int64(min(i+1, open))/int64(open), CPUCores: 0.75, UserCores: 0.25, SystemCores: 0.5, Threads: 9, Descriptors: 12 + 40_000*min(i+1, open)/open, ContextSwitches: 1500 + 100*math.Cos(float64(i))},
			Metrics: map[string]float64{"roost_frames_sent_total": 1e4 * float64(i)},
		}
		switch {
		case i >= distinct:
			before := &r.Seconds[i-200]
			s.Sent, s.Received, s.Deliveries, s.Opened, s.Closed = before.Sent, before.Received, before.Deliveries, before.Opened, before.Closed
			s.Latency, s.LatencySpread, s.Handshake, s.HandshakeSpread = before.Latency, before.LatencySpread, before.Handshake, before.HandshakeSpread
			r.Seconds = append(r.Seconds, s)
			continue
		case i < open:
			s.Phase, s.Opened = "open", int64(40_000/open)
			for range 300 {
				handshake.Record(latency(400))
			}
		default:
			s.Sent, s.Received, s.Deliveries, s.Opened, s.Closed = 50, 50_000+int64(random.IntN(2000)), 50_000, 200, 200
			stalled := i == (open+min(seconds, distinct))/2
			for n := range 600 {
				d := latency(900 + 300*math.Sin(float64(i)/5))
				if stalled {
					d += time.Duration(n) * 400 * time.Microsecond
				}
				delivery.Record(d)
				fanOut.Record(6 * d)
				echo.Record(latency(250))
			}
			for range 50 {
				joins.Record(latency(600))
			}
		}
		s.Latency, s.LatencySpread = delivery.Cut()
		s.Handshake, s.HandshakeSpread = handshake.Cut()
		r.Seconds = append(r.Seconds, s)
	}
	last := &r.Seconds[len(r.Seconds)-1]
	last.Server = nil // the server was gone by then
	fill(r)
	return &bench.Recording{
		Result: r, Seconds: r.Seconds, Histograms: r.Histograms,
		Tool:    bench.Tool{Version: "v1.2.3", Commit: "0123456789abcdef", Modified: true},
		Machine: bench.Machine{Kernel: "6.1.0 x86_64", CPUModel: "Example CPU", Cores: 2, MemoryBytes: 8e9, LocalPorts: 28232, GoVersion: "go1.26"},
		Flags:   map[string]string{"conns": "40000", "scenario": "mix", "header": `X: <script>alert("no")</script>`},
	}
}

// fill adds the summary to the histograms.
func fill(r *bench.Result) {
	cost := 9.75
	r.Plan = bench.Plan{
		Conns: 40_000, Processes: 3, TargetAddresses: []string{"127.0.0.1:8000", "127.0.0.1:8001"},
		SourceAddresses:   []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"},
		DescriptorsNeeded: 13_366, DescriptorLimit: 20_000, PortsPerSource: 28_232,
	}
	of := func(name string) *bench.Quantiles { return r.Histograms[name].Quantiles() }
	r.Opening = bench.Opening{Wanted: 40_000, Opened: 40_000, Failed: 7, Seconds: 3.98, PerSecond: 10_050.2, Handshake: of(bench.HandshakeLatency)}
	r.Parts = []bench.Part{
		{Name: "news", Role: "room", Conns: 1000, Messages: &bench.Messages{
			Payload: "64 to 512 bytes, text", Load: "open loop: 50/s from 5 publishers, random gaps", OpenLoop: true,
			Planned: 800, Sent: 800, WarmUp: 100, Refused: 1, Expected: 790_000, Received: 789_999, Missing: 1,
			ConnsIncomplete: 1, DistinctOrders: 1, Seconds: 14.0, PerSecond: 49_321.4, Latency: of(bench.MessageLatency), FanOut: of(bench.FanOutLatency), SendLagUS: 830,
			Slow: &bench.SlowReaders{Conns: 10, BytesPerSecond: 1000, Received: 321, Closed: 9},
		}},
		{Name: "ask", Role: "echo", Conns: 2000, Messages: &bench.Messages{
			Payload: "128 bytes, binary", Load: "closed loop: 1 message in flight on each connection",
			Sent: 120_000, WarmUp: 10_000, Expected: 120_000, Received: 120_000, Seconds: 14.0, PerSecond: 7_850.7, Latency: of("ask.latency"), InTime: true,
		}},
		{Name: "crowd", Role: "hold", Conns: 37_000, Hold: &bench.Hold{Seconds: 14.0, Open: 36_999, Dropped: 1, Messages: 0, Pinged: 36_999, Ponged: 36_998}},
		{Name: "visitors", Role: "churn", Conns: 100, Churn: &bench.Churn{Handshakes: 2800, Failed: 2, Seconds: 14.0, PerSecond: 200, Handshake: of("visitors.handshake_latency")}},
		{Name: "outage", Role: "storm", Conns: 5000, Storm: &bench.Storm{Dropped: 5000, Back: 4999, Failed: 12, HalfSeconds: 0.8123, MostSeconds: 2.5, Handshake: of("visitors.handshake_latency")}},
	}
	r.Closes = []bench.CloseCount{{Code: 1001, Count: 2}, {Code: bench.CloseAbnormal, Count: 1}}
	r.Closing = bench.Closing{Answered: 39_990, Unanswered: 7}
	r.Failures = []bench.Failure{{Reason: "ECONNREFUSED: connection refused", Count: 7, Remedy: "start the server"}}
	r.Pings = 2
	r.Server = &bench.ServerReport{
		PID: 4711, Command: "bin/roost --addr 127.0.0.1:8000", RSSBeforeBytes: 6e6, RSSOpenBytes: 18e6, RSSEndBytes: 18.4e6, RSSPerConn: 300,
		PSSBytes: 17.2e6, AnonymousBytes: 12.1e6, SlabPerConn: 8123, UserSeconds: 3.5, SystemSeconds: 7, Cores: 0.75, PerDeliveryUS: &cost,
		Metrics: map[string]bench.MetricChange{
			"roost_frames_sent_total": {Before: 1000, After: 791_000}, "roost_connections": {Before: 40_000, After: 39_999},
			`roost_closed_total{reason="slow & <late>"}`: {Before: 0, After: 9}, "roost_dropped_frames_total": {Before: 0, After: 12},
			"process_cpu_seconds_total": {Before: 1.25, After: 11.75}, "process_resident_memory_bytes": {Before: 18e6, After: 18.4e6},
			"go_goroutines": {Before: 21, After: 22}, "roost_workers": {Before: 2, After: 2}, "roost_send_seconds_sum": {Before: 0.5, After: 3.0625},
		},
	}
	r.Client = bench.ClientReport{Processes: 3, CPUSeconds: 5.6, Cores: 0.4, LoopBusy: 0.45, RSSPerConn: 812}
	r.Problems = []string{"1 of 790000 deliveries is missing (news)"}
	r.Warnings = []string{"the processor's clock changed during the run"}
}

// room is a recording of one part, all well.
func room() *bench.Recording {
	rec := recording(20, 1)
	r := rec.Result
	r.Scenario, r.URLs, r.Parts = "broadcast", r.URLs[:1], r.Parts[:1]
	r.Plan = bench.Plan{Conns: 1000, Processes: 1, TargetAddresses: []string{"127.0.0.1:8000"}, SourceAddresses: []string{"127.0.0.1"}, DescriptorsNeeded: 1031, DescriptorLimit: 20_000, PortsPerSource: 28_232}
	m := r.Parts[0].Messages
	m.Refused, m.Received, m.Missing, m.ConnsIncomplete, m.Slow, m.InTime = 0, m.Expected, 0, 0, nil, true
	r.Closes, r.Failures, r.Problems, r.Warnings = nil, nil, nil, nil
	r.Opening.Wanted, r.Opening.Opened, r.Opening.Failed, r.Closing = 1000, 1000, 0, bench.Closing{Answered: 1000}
	r.Client.Processes, r.Server.Metrics = 1, nil
	delete(r.Histograms, "ask.latency")
	delete(r.Histograms, "visitors.handshake_latency")
	rec.Flags = map[string]string{"conns": "1000", "scenario": "broadcast"}
	return rec
}

// nothing is what a run leaves that could not begin.
func nothing() *bench.Recording {
	return &bench.Recording{Result: &bench.Result{Problems: []string{"nothing was measured"}}}
}
