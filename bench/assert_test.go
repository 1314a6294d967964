package bench

import (
	"math"
	"strings"
	"testing"
)

func TestParseAssertion(t *testing.T) {
	r := &Result{
		Parts: []Part{{Name: "room", Messages: &Messages{
			Sent: 10, Missing: 2, Expected: 10, Received: 8, PerSecond: 1000, Latency: &Quantiles{P99: 20_000, Mean: 1.5},
		}}},
		Server: &ServerReport{PID: 1, RSSPerConn: 2048, RSSOpenBytes: 1, RSSEndBytes: 5},
		Client: ClientReport{LoopBusy: 0.5},
	}
	for text, want := range map[string]bool{
		"p99<20ms": false, "p99 <= 20ms": true, "p99==20000us": true, "p99!=20ms": false, "p99>=0.02s": true, "p99>19.9ms": true,
		"lost==2": true, "lost<1": false, "received>7": true, "rate>=1000": true, "rate>1e3": false,
		"rss_per_conn<=2KiB": true, "rss_per_conn<2kB": false, "rss_per_conn==2048 B": true, "rss_per_conn<1GB": true,
		"loop_busy<51%": true, "loop_busy>0.5": false, "mean==1500ns": true, "reach==80%": true, "reach>0.9": false,
	} {
		a, err := ParseAssertion(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if c := a.Check(r); !c.HasData || c.Holds != want {
			t.Errorf("%s: %+v, want %v", text, c, want)
		}
	}
	for _, text := range []string{"fan_out_p50<1s", "handshake_max<1s", "cpu_per_echo<1ms", "dropped==0", "connect_rate>0", "back_99<1s", "pss<1GB", "hold.lost==0", "hold.p99<1s", "room.dropped==0"} {
		a, err := ParseAssertion(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if c := a.Check(r); c.HasData || c.Holds {
			t.Errorf("%s: %+v, want no data, and so not to hold", text, c)
		}
	}
	for text, want := range map[string]string{
		"p98<20ms": "there are, with PART. before them for one part of a run: min, mean, p50", "<20ms": "unknown metric", "p99": "METRIC OPERATOR VALUE", "": "METRIC OPERATOR VALUE",
		"p99=20ms": "METRIC OPERATOR VALUE", "p99!20ms": "METRIC OPERATOR VALUE", "p99<20": "write 500us", "p99<": "write 500us", "p99<-1s": "write 500us",
		"lost==none": "no number", "lost==NaN": "no number", "lost<Inf": "no number", "rss<-1": "no number", "rss<1TB": "no number", "lost===0": "no number",
		".p99<1s": "unknown metric", "room.<1s": "unknown metric", "room.p98<1s": "unknown metric", "a.b.p99<1s": "unknown metric",
	} {
		if _, err := ParseAssertion(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
	}
}

// TestNothingIsKnownOfAnEmptyRun: no metric may pass for measured in a result without data.
func TestNothingIsKnownOfAnEmptyRun(t *testing.T) {
	for _, m := range Metrics() {
		for name, r := range map[string]*Result{
			"empty": {}, "nothing sent": {Parts: []Part{{Name: "room", Messages: &Messages{}}}, Server: &ServerReport{}},
			"no value": {Parts: []Part{{Name: "room", Messages: &Messages{}}}, Server: &ServerReport{PID: 1}},
		} {
			if v, ok := m.Value(r); ok {
				t.Errorf("%s of the %s run is %v", m.Name, name, v)
			}
		}
	}
}

func TestBottleneckMakesLoadUnsure(t *testing.T) {
	r := &Result{Parts: []Part{{Messages: &Messages{Sent: 1, Latency: &Quantiles{P99: 1}}}}, Client: ClientReport{Bottleneck: true}}
	for text, unsure := range map[string]bool{"p99<1s": true, "lost==0": false, "p50>1s": true} {
		a, err := ParseAssertion(text)
		if err != nil {
			t.Fatal(err)
		}
		if c := a.Check(r); c.Unsure != unsure {
			t.Errorf("%s: %+v, want unsure %v", text, c, unsure)
		}
	}
}

// FuzzParseAssertion wants whatever is accepted to have a limit that exists,
// and to mean the same with spaces around.
func FuzzParseAssertion(f *testing.F) {
	for _, text := range []string{"p99<20ms", "lost==0", "rss_per_conn<=4.5 kB", "loop_busy<95%", "p99.9!=1s", "rate>1e3", "room.p99<1s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAssertion(text)
		if err != nil {
			return
		}
		if math.IsNaN(a.limit) || math.IsInf(a.limit, 0) || a.limit < 0 {
			t.Fatalf("%q has the limit %v", text, a.limit)
		}
		b, err := ParseAssertion(" " + strings.Replace(text, a.op, " "+a.op+" ", 1) + " ")
		if err != nil || b.limit != a.limit || b.op != a.op || b.Metric.Name != a.Metric.Name {
			t.Fatalf("%q means %+v, with spaces %+v, error %v", text, a, b, err)
		}
	})
}

// TestMetricsOfParts looks at a run of three kinds of traffic: without a part's
// name a metric is of the first that has it.
func TestMetricsOfParts(t *testing.T) {
	r := &Result{
		Opening: Opening{Wanted: 30, Opened: 30, Failed: 1, Handshake: &Quantiles{P50: 100}},
		Parts: []Part{
			{Name: "idle", Role: "hold", Hold: &Hold{Dropped: 3, Pinged: 10, Ponged: 8}},
			{Name: "news", Role: "room", Messages: &Messages{Sent: 5, Missing: 1, Expected: 50, Received: 49, PerSecond: 10, Latency: &Quantiles{P99: 1000}, FanOut: &Quantiles{Max: 7}}},
			{Name: "p99.9", Role: "echo", Messages: &Messages{Sent: 9, Missing: 2, Expected: 9, Received: 7, PerSecond: 20, Latency: &Quantiles{P99: 5000, P999: 6000}}},
			{Name: "storm", Role: "storm", Storm: &Storm{Failed: 4, HalfSeconds: 0.5, Handshake: &Quantiles{P50: 900}}},
			{Name: "visits", Role: "churn", Churn: &Churn{Handshakes: 70, Failed: 6, PerSecond: 35, Handshake: &Quantiles{P50: 300}}},
		},
	}
	for text, want := range map[string]float64{
		"lost": 1, "news.lost": 1, "p99.9.lost": -1, "p99": 1000, "news.p99": 1000, "dropped": 3, "idle.dropped": 3, "pings_unanswered": 2,
		"news.p99.9": 0, "rate": 10, "visits.rate": 35, "storm.back_50": 500_000, "back_50": 500_000, "handshake_p50": 100,
		"storm.handshake_p50": 900, "visits.handshake_p50": 300, "failed": 1, "storm.failed": 5, "visits.failed": 6, "visits.opened": 70,
		"news.fan_out_max": 7, "news.reach": 0.98,
	} {
		m, known := findMetric(text)
		if want < 0 { // a part whose name has a dot is not to be had
			if known {
				t.Errorf("%s is %s of the part %q", text, m.Name, m.part)
			}
			continue
		}
		if got, ok := m.Value(r); !known || !ok || got != want || m.Name != text {
			t.Errorf("%s: %v, %v under the name %s; want %v", text, got, ok, m.Name, want)
		}
	}
	for _, text := range []string{"idle.p99", "none.lost", "news.back_50", "storm.back_99", "idle.rate", "lost.lost"} {
		m, known := findMetric(text)
		if got, ok := m.Value(r); !known || ok {
			t.Errorf("%s is %v, want a metric without data", text, got)
		}
	}
	a, err := ParseAssertion("news.p99 <= 1ms")
	if c := a.Check(r); err != nil || !c.Holds || c.Value != 1000 || !a.Metric.OfLoad {
		t.Errorf("check %+v, error %v; want it to hold", c, err)
	}
}
