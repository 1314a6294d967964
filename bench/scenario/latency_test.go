package scenario

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"roost/bench"
)

// TestPercentilesAreTheTruth hands over deliveries whose latencies are chosen,
// from 1 us to 100 s, and compares what is reported with the sorted list: by one
// agent, and by three whose reports are added up.
func TestPercentilesAreTheTruth(t *testing.T) {
	const members, messages = 6, 5000
	for _, agents := range []int{1, 3} {
		random := rand.New(rand.NewPCG(1, 2))
		spec := Spec{Groups: []Group{{Role: Listen, Conns: members - 1}, {Role: Publish, Conns: 1}}}
		var truth []time.Duration
		last := make([]time.Duration, messages) // fan-out of each message
		var sum *Report
		for i, share := range spec.Split(agents) {
			share.Run = 7
			s := prepared(t, share)
			w := startRoom(s, messages, share.Groups[1].Conns > 0)
			for n, payload := range published(w, messages) {
				latencies := make([]time.Duration, share.Conns())
				for slot := range latencies {
					latencies[slot] = time.Duration(math.Exp(random.Float64()*math.Log(1e8))) * time.Microsecond
				}
				slices.Sort(latencies) // a clock does not go back
				for slot, latency := range latencies {
					truth = append(truth, latency)
					last[n] = max(last[n], latency)
					s.Message(s.cl.Conn(slot), bench.OpBinary, payload, time.Duration(n)+latency)
				}
			}
			w.drain(&Meeting{Shares: []Share{{Sent: []uint32{messages}}}, Own: i})
			if report := overThePipe(t, s.report()); sum == nil {
				sum = report
			} else {
				sum.Add(report)
			}
		}
		r := Conclude(Run{Spec: spec}, sum)
		m := r.Parts[0].Messages
		if m.Sent != messages || m.Expected != members*messages || m.Received != members*messages || m.Missing != 0 || m.ConnsIncomplete != 0 ||
			m.DistinctOrders != 1 {
			t.Errorf("%d agents: %+v, want everything in one order", agents, m)
		}
		compare(t, m.Latency, truth)
		compare(t, m.FanOut, last)
		for name, list := range map[string][]time.Duration{bench.MessageLatency: truth, bench.FanOutLatency: last} {
			for _, percent := range []float64{1, 25, 50, 75, 95, 99.99} {
				near(t, name, r.Histograms[name].At(percent).Microseconds(), at(list, percent))
			}
		}
	}
}

// overThePipe is what is left of a report that a worker process tells.
func overThePipe(t *testing.T, r *Report) *Report {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	told := new(Report)
	if err := json.Unmarshal(text, told); err != nil {
		t.Fatal(err)
	}
	return told
}

// compare sorts the latencies and holds the percentiles against them.
func compare(t *testing.T, q *bench.Quantiles, truth []time.Duration) {
	t.Helper()
	slices.Sort(truth)
	var sum time.Duration
	for _, d := range truth {
		sum += d
	}
	if q.Count != int64(len(truth)) {
		t.Errorf("%d latencies, want %d", q.Count, len(truth))
	}
	near(t, "min", q.Min, truth[0])
	near(t, "mean", int64(q.Mean), sum/time.Duration(len(truth)))
	near(t, "p50", q.P50, at(truth, 50))
	near(t, "p90", q.P90, at(truth, 90))
	near(t, "p99", q.P99, at(truth, 99))
	near(t, "p99.9", q.P999, at(truth, 99.9))
	near(t, "max", q.Max, truth[len(truth)-1])
}

// at is the percentile of a sorted list.
func at(sorted []time.Duration, percent float64) time.Duration {
	return sorted[int(percent/100*float64(len(sorted))+0.5)-1]
}

// near allows for the three digits of a histogram and a whole microsecond.
func near(t *testing.T, what string, us int64, truth time.Duration) {
	t.Helper()
	if want := truth.Microseconds(); math.Abs(float64(us-want)) > float64(want)/1000+1 {
		t.Errorf("%s is %d us, want %d", what, us, want)
	}
}

// TestStallShows plays ten seconds against a server that answers after one
// millisecond, but not at all in the fifth second, by a clock of its own. A
// tenth of the messages are due in the stall: the open loop must show it in its
// p99. The closed loop sends nothing meanwhile, and shows it in one message.
func TestStallShows(t *testing.T) {
	const (
		length  = 10 * time.Second
		stalled = 4 * time.Second // until a second later
		tick    = time.Millisecond
	)
	due := func(sent time.Duration) time.Duration {
		if at := sent + tick; at <= stalled || at > stalled+time.Second {
			return at
		}
		return stalled + time.Second
	}
	for _, rate := range []string{"1000/s", "0"} {
		synctest.Test(t, func(t *testing.T) {
			limit, err := bench.ParsePace(rate)
			if err != nil {
				t.Fatal(err)
			}
			s := prepared(t, Spec{Groups: []Group{{Role: Echo, Conns: 1, Rate: limit}}})
			w := startEcho(s)
			type answer struct {
				payload []byte
				due     time.Duration
			}
			var underway []answer
			var truth []time.Duration
			accept := func(now time.Duration) { // the message sent last
				underway = append(underway, answer{slices.Clone(w.scratch), due(now)})
				truth = append(truth, due(now)-now)
			}
			for now := time.Duration(0); now < length+2*tick; now += tick {
				if now == length {
					w.stop()
				}
				if sent := w.total; now < length {
					w.step(now)
					if w.total > sent {
						accept(now)
					}
				}
				for len(underway) > 0 && underway[0].due <= now {
					first := underway[0]
					underway = underway[1:]
					sent := w.total
					s.Message(s.cl.Conn(0), bench.OpBinary, first.payload, now)
					if w.total > sent {
						accept(now)
					}
				}
				time.Sleep(tick) // the clock of the bubble
			}
			r := Conclude(Run{Spec: s.spec}, s.report())
			q := r.Parts[0].Messages.Latency
			compare(t, q, truth)
			shown := q.P99 > 800_000
			if open := limit.Limited(); shown != open || q.Max < 999_000 || r.Parts[0].Messages.OpenLoop != open {
				t.Errorf("rate %s: %+v; want the stall of 1 s in the longest latency, and in p99 of the open loop alone", rate, q)
			}
			if open, n := limit.Limited(), len(truth); (open && n != 10_000) || (!open && n > 9002) {
				t.Errorf("rate %s: %d messages", rate, n)
			}
		})
	}
}
