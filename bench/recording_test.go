package bench

import (
	"bytes"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRecordingRoundTrip(t *testing.T) {
	r := NewRecorder()
	for i := range 1000 {
		r.Record(time.Duration(i) * time.Millisecond)
	}
	rec := NewRecording(&Result{
		Scenario: "echo", Started: time.Unix(1e9, 0).UTC(), Problems: []string{}, Warnings: []string{},
		Seconds:    []Second{{Length: 1, Phase: "echo", Deliveries: 7, Latency: &Quantiles{Count: 7}, Server: &ServerSecond{Threads: 3}}},
		Histograms: map[string]*Recorder{MessageLatency: r},
	}, map[string]string{"conns": "5"})
	var file bytes.Buffer
	if err := rec.Write(&file); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRecording(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	h := got.Result.Histograms[MessageLatency]
	if want := r.Quantiles(); !reflect.DeepEqual(h.Quantiles(), want) {
		t.Errorf("histogram read as %+v, written as %+v", h.Quantiles(), want)
	}
	if !reflect.DeepEqual(got.Result.Seconds, rec.Seconds) || !reflect.DeepEqual(got.Machine, rec.Machine) ||
		!reflect.DeepEqual(got.Tool, rec.Tool) || got.Flags["conns"] != "5" || got.Result.Started != rec.Result.Started {
		t.Errorf("read %+v, written %+v", got, rec)
	}
	var again bytes.Buffer
	if err := got.Write(&again); err != nil || !bytes.Equal(again.Bytes(), file.Bytes()) {
		t.Errorf("error %v; writing what was read gives another file", err)
	}
	if m := rec.Machine; m.Kernel == "" || m.Cores < 1 || m.MemoryBytes < 1 || m.LocalPorts < 1 || m.GoVersion == "" {
		t.Errorf("machine %+v has gaps", m)
	}
}

func TestReadRecordingRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want error
	}{
		"newer version":  {`{"format": "roost-bench recording", "version": 2, "result": 7}`, ErrRecordingVersion},
		"no version":     {`{"format": "roost-bench recording"}`, ErrRecordingVersion},
		"another file":   {`{"version": 1}`, ErrNotRecording},
		"no JSON":        {"plan  idle", ErrNotRecording},
		"cut":            {`{"format": "roost-bench rec`, ErrNotRecording},
		"no result":      {`{"format": "roost-bench recording", "version": 1}`, ErrNotRecording},
		"null histogram": {`{"format": "roost-bench recording", "version": 1, "result": {}, "histograms": {"latency": null}}`, ErrNotRecording},
	} {
		if _, err := ReadRecording(strings.NewReader(test.text)); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
	if _, err := ReadRecording(strings.NewReader(`{"format": "roost-bench recording", "version": 1, "result": {}, "histograms": {"latency": "HIST"}}`)); err == nil {
		t.Error("no error for a broken histogram")
	}
}

// TestRecorderCuts wants every latency once in a cut and once in the whole.
func TestRecorderCuts(t *testing.T) {
	r, other := NewRecorder(), NewRecorder()
	for second := range 3 {
		for i := range 100 {
			r.Record(time.Duration(second*100+i+1) * time.Millisecond)
		}
		if q := r.Cut(); q == nil || q.Count != 100 || q.Min < int64(second)*100_000 {
			t.Errorf("second %d: %+v, want its own 100", second, q)
		}
	}
	if q := r.Cut(); q != nil {
		t.Errorf("a cut of nothing: %+v", q)
	}
	r.Record(time.Second)
	other.Record(2 * time.Second)
	other.Merge(r)
	if a, b := r.Quantiles().Count, other.Quantiles().Count; a != 301 || b != 302 {
		t.Errorf("%d and %d in all, want 301 and 302", a, b)
	}
	if bars := r.Distribution(); bars[len(bars)-1].Count != 301 || bars[len(bars)-1].Percentile != 100 {
		t.Errorf("the distribution ends with %+v", bars[len(bars)-1])
	}
}

func TestWatchCountsThisProcess(t *testing.T) {
	var w watch
	w.start(os.Getpid())
	w.take(0)
	w.stop()
	w.stop()
	s, ok := w.samples[0]
	if !ok || s.Threads < 1 || s.Descriptors < 3 || s.RSSBytes < 1<<20 || s.CPUCores < 0 {
		t.Errorf("sample %+v, %v; want this process", s, ok)
	}
	var none watch
	none.start(0)
	none.take(0)
	none.stop()
	if len(none.samples) != 0 {
		t.Error("a sample without a process")
	}
}

// TestSeriesAddsUp advances a series by hand and wants its parts to make the whole.
func TestSeriesAddsUp(t *testing.T) {
	w := newWired(t)
	c := Counts{Latency: NewRecorder()}
	w.Count(func() Counts { return c })
	for i := range 3 {
		c.Sent, c.Received = c.Sent+10, c.Received+20
		c.Latency.Record(time.Duration(i+1) * time.Millisecond)
		w.series.start.at -= 2 * time.Second // the second is over
		if wait := w.series.advance(w.Now()); wait <= 0 || wait > 2*time.Second {
			t.Errorf("waits %v for the next second", wait)
		}
	}
	seconds := w.series.finish(w.Now())
	if len(seconds) != 4 {
		t.Fatalf("%d seconds, want 3 and the rest", len(seconds))
	}
	for i, s := range seconds[:3] {
		if s.Sent != 10 || s.Deliveries != 20 || s.Latency == nil || s.Latency.Count != 1 || s.Open != w.OpenCount() || s.Length < 2 {
			t.Errorf("second %d: %+v", i, s)
		}
	}
	if s := seconds[3]; s.Sent != 0 || s.Deliveries != 0 || s.Latency != nil {
		t.Errorf("the rest: %+v, want nothing", s)
	}
}

func TestParseAssertion(t *testing.T) {
	r := &Result{
		Messages: &Messages{Sent: 10, Missing: 2, Received: 8, PerSecond: 1000, Latency: &Quantiles{P99: 20_000, Mean: 1.5}},
		Server:   &ServerReport{RSSPerConn: 2048, RSSOpenBytes: 1, RSSEndBytes: 5},
		Client:   ClientReport{LoopBusy: 0.5},
	}
	for text, want := range map[string]bool{
		"p99<20ms": false, "p99 <= 20ms": true, "p99==20000us": true, "p99!=20ms": false, "p99>=0.02s": true, "p99>19.9ms": true,
		"lost==2": true, "lost<1": false, "received>7": true, "rate>=1000": true, "rate>1e3": false,
		"rss_per_conn<=2KiB": true, "rss_per_conn<2kB": false, "rss_per_conn==2048 B": true, "rss_per_conn<1GB": true,
		"loop_busy<51%": true, "loop_busy>0.5": false, "mean==1500ns": true,
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
	for _, text := range []string{"fan_out_p50<1s", "handshake_max<1s", "cpu_per_echo<1ms", "dropped==0", "connect_rate>0"} {
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
		"p98<20ms": "there are: min, mean, p50", "<20ms": "unknown metric", "p99": "METRIC OPERATOR VALUE", "": "METRIC OPERATOR VALUE",
		"p99=20ms": "METRIC OPERATOR VALUE", "p99!20ms": "METRIC OPERATOR VALUE", "p99<20": "write 500us", "p99<": "write 500us", "p99<-1s": "write 500us",
		"lost==none": "no number", "lost==NaN": "no number", "lost<Inf": "no number", "rss<-1": "no number", "rss<1TB": "no number", "lost===0": "no number",
	} {
		if _, err := ParseAssertion(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
	}
}

// TestNothingIsKnownOfAnEmptyRun: no metric may pass for measured in a result without data.
func TestNothingIsKnownOfAnEmptyRun(t *testing.T) {
	for _, m := range Metrics() {
		for name, r := range map[string]*Result{"empty": {}, "nothing sent": {Messages: &Messages{}, Server: &ServerReport{}}} {
			if v, ok := m.Value(r); ok {
				t.Errorf("%s of the %s run is %v", m.Name, name, v)
			}
		}
	}
}

func TestBottleneckMakesLoadUnsure(t *testing.T) {
	r := &Result{Messages: &Messages{Sent: 1, Latency: &Quantiles{P99: 1}}, Client: ClientReport{Bottleneck: true}}
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
	for _, text := range []string{"p99<20ms", "lost==0", "rss_per_conn<=4.5 kB", "loop_busy<95%", "p99.9!=1s", "rate>1e3"} {
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
