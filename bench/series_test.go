package bench

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestSeriesAddsUp advances a series by hand and wants its parts to make the whole.
func TestSeriesAddsUp(t *testing.T) {
	w := newWired(t)
	var c Counts
	latency := NewRecorder()
	w.Count(func() Counts {
		c.Latency, c.Spread = latency.Cut()
		return c
	})
	for i := range 3 {
		c.Sent, c.Received = c.Sent+10, c.Received+20
		latency.Record(time.Duration(i+1) * time.Millisecond)
		w.dialer.latency.Record(time.Millisecond)
		w.series.start.at -= 2 * time.Second // the second is over
		if wait := w.series.advance(w.Now()); wait <= 0 || wait > time.Second {
			t.Errorf("waits %v for the next second", wait)
		}
	}
	seconds := w.Seconds()
	if len(seconds) != 4 {
		t.Fatalf("%d seconds, want 3 and the rest", len(seconds))
	}
	for i, s := range seconds[:3] {
		if s.Sent != 10 || s.Deliveries != 20 || s.Latency == nil || s.Latency.Count != 1 || s.Open != w.OpenCount() || s.Length < 2 {
			t.Errorf("second %d: %+v", i, s)
		}
		if s.LatencySpread.histogram.TotalCount() != 1 || s.Handshake.Count != 1 || s.HandshakeSpread.histogram.TotalCount() != 1 {
			t.Errorf("second %d: distributions %+v", i, s)
		}
	}
	if s := seconds[3]; s.Sent != 0 || s.Deliveries != 0 || s.Latency != nil || s.LatencySpread != nil || s.Handshake != nil {
		t.Errorf("the rest: %+v, want nothing", s)
	}
}

// TestSecondsEndOnTheClock: those of clients with a common epoch can be added up.
func TestSecondsEndOnTheClock(t *testing.T) {
	epoch := Monotonic() - 90_500*time.Millisecond
	for range 2 {
		before := Monotonic()
		cl, err := NewClient(Config{URLs: []string{"ws://127.0.0.1:1/"}, Conns: 1, Epoch: epoch}, new(probe))
		if err != nil {
			t.Fatal(err)
		}
		// Two clocks are read one after the other: the error is no more than that takes.
		margin := Monotonic() - before
		now := cl.Now()
		if passed := Monotonic() - epoch; now < 90_500*time.Millisecond || now > passed+margin {
			t.Errorf("the clock shows %v, %v after the epoch", now, passed)
		}
		if wait := cl.series.advance(now); wait != now.Truncate(time.Second)+time.Second-now {
			t.Errorf("at %v the second has %v left", now, wait)
		}
		cl.Release()
	}
}

// second makes one of a client that has recorded these latencies.
func second(start float64, open int, latencies ...time.Duration) Second {
	s := Second{
		Start: start, Length: 1, Phase: "measure", Open: open, Opened: 1, Failed: 2, Closed: 3, Sent: 4, Received: 5, Deliveries: 6,
		ClientCores: 0.5, ClientLoopBusy: float64(open) / 100,
	}
	r := NewRecorder()
	for _, l := range latencies {
		r.Record(l)
	}
	s.Latency, s.LatencySpread = r.Cut()
	return s
}

func spreadOf(s *Spread) map[int64]int64 {
	counts := map[int64]int64{}
	s.Each(func(from, _, count int64) { counts[from] += count })
	return counts
}

// TestMergeSeconds adds up two clients, of which one has a gap and the other
// began later.
func TestMergeSeconds(t *testing.T) {
	const ms = time.Millisecond
	a := []Second{second(0.25, 10, ms), second(1, 20, 2*ms, 3*ms), second(3, 30), second(4, 40, 5*ms)}
	b := []Second{second(1.001, 1, 100*ms), second(2, 2, 4*ms), second(3.5, 3), second(4, 4)}
	b[3].Length = 0.2
	want, kept := spreadOf(a[1].LatencySpread), *a[1].Latency
	got := MergeSeconds(a, nil, b)
	if len(got) != 5 {
		t.Fatalf("%d seconds %+v, want 5", len(got), got)
	}
	for i, open := range []int{10, 21, 2, 33, 44} {
		s := got[i]
		if int(s.Start) != i || s.Open != open || s.Phase != "measure" {
			t.Errorf("second %d: %+v, want %d open", i, s, open)
		}
		clients := int64(1)
		if i == 1 || i >= 3 {
			clients = 2
		}
		if s.Opened != clients || s.Failed != 2*clients || s.Closed != 3*clients || s.Sent != 4*clients || s.Received != 5*clients || s.Deliveries != 6*clients {
			t.Errorf("second %d: %+v, want the counts of %d clients", i, s, clients)
		}
		if s.Length != 1 || s.ClientCores != 0.5*float64(clients) {
			t.Errorf("second %d: length %v, cores %v", i, s.Length, s.ClientCores)
		}
	}
	if s := got[1]; s.Start != 1 || s.ClientLoopBusy != 0.2 || s.Latency.Count != 3 || s.Latency.Min < 1900 || s.Latency.Min > 2000 || s.Latency.Max < 100_000 {
		t.Errorf("the common second: %+v with %+v, want all three latencies and the busiest loop", s, s.Latency)
	}
	if got := spreadOf(got[1].LatencySpread); len(got) != 3 {
		t.Errorf("distribution %v, want three values", got)
	}
	if s := got[2]; s.Latency.Count != 1 || s.LatencySpread == b[1].LatencySpread {
		t.Errorf("a second of one client: %+v, want it whole and copied", s)
	}
	if s := got[3]; s.Latency != nil || s.LatencySpread != nil {
		t.Errorf("a second without latencies: %+v", s)
	}
	if s := got[4]; s.Latency.Count != 1 || s.LatencySpread == a[3].LatencySpread {
		t.Errorf("a second with latencies of one of two: %+v", s)
	}
	// What went in is as it was, so that it can be added up again.
	if !maps.Equal(spreadOf(a[1].LatencySpread), want) || *a[1].Latency != kept || a[1].Open != 20 {
		t.Errorf("the input has changed: %+v", a[1])
	}
	if again := MergeSeconds(b, a); len(again) != 5 || again[1].Latency.Count != 3 || !maps.Equal(spreadOf(again[1].LatencySpread), spreadOf(got[1].LatencySpread)) {
		t.Errorf("the other way round: %+v", again)
	}
	if none := MergeSeconds(); len(none) != 0 {
		t.Errorf("of nothing: %+v", none)
	}
}

func TestSpread(t *testing.T) {
	r := NewRecorder()
	for _, us := range []int{0, 1, 1, 99, 150, 1000, 1003, 3_600_000_000} {
		r.Record(time.Duration(us) * time.Microsecond)
	}
	_, s := r.Cut()
	var spans [][3]int64
	var sum int64
	s.Each(func(from, to, count int64) {
		spans = append(spans, [3]int64{from, to, count})
		sum += count
	})
	for i, span := range spans {
		if span[1] < span[0] || (i > 0 && span[0] <= spans[i-1][1]) || float64(span[1]-span[0]) > max(1, 0.02*float64(span[0])) {
			t.Errorf("span %v of %v: want them apart, in order, and to two digits", span, spans)
		}
	}
	if sum != 8 || len(spans) != 6 || spans[0] != [3]int64{0, 0, 1} || spans[1] != [3]int64{1, 1, 2} {
		t.Errorf("spans %v, want eight latencies at six places", spans)
	}
	text, err := s.MarshalText()
	var read Spread
	if err == nil {
		err = read.UnmarshalText(text)
	}
	if err != nil || !maps.Equal(spreadOf(&read), spreadOf(s)) {
		t.Errorf("%d bytes read as %v, written as %v, error %v", len(text), spreadOf(&read), spreadOf(s), err)
	}
	for _, wrong := range []string{"", "HIST", string(text[:len(text)/2])} {
		if err := read.UnmarshalText([]byte(wrong)); err == nil || !strings.HasPrefix(err.Error(), "distribution: ") {
			t.Errorf("%q: error %v", wrong, err)
		}
	}
	var none *Spread
	none.Each(func(_, _, count int64) { t.Errorf("%d latencies in none", count) })
	if sum, q := none.merge(nil); sum != nil || q != nil || none.clone() != nil {
		t.Errorf("the sum of none and none is %v, %v", sum, q)
	}
}

// TestSecondsThroughJSON keeps distributions, and leaves out those there are not.
func TestSecondsThroughJSON(t *testing.T) {
	seconds := []Second{second(0, 1, time.Millisecond, time.Second), second(1, 2)}
	text, err := json.Marshal(seconds)
	var read []Second
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if err != nil || len(read) != 2 || !maps.Equal(spreadOf(read[0].LatencySpread), spreadOf(seconds[0].LatencySpread)) || read[1].LatencySpread != nil {
		t.Fatalf("%s read as %+v, error %v", text, read, err)
	}
	if got, want := MergeSeconds(read, read), MergeSeconds(seconds, seconds); !reflect.DeepEqual(got[0].Latency, want[0].Latency) {
		t.Errorf("what was read adds up to %+v, what was written to %+v", got[0].Latency, want[0].Latency)
	}
}

func TestMergeEndings(t *testing.T) {
	e := Ending{Closes: []CloseCount{{1001, 5}, {CloseAbnormal, 1}}, Closing: Closing{1, 2}, Failures: []Failure{{Reason: "a", Count: 1}, {Reason: "b", Count: 2}}, Pings: 3}
	e.Add(Ending{Closes: []CloseCount{{1000, 1}, {1001, 7}}, Closing: Closing{10, 20}, Failures: []Failure{{Reason: "a", Count: 4, Remedy: "r"}}, Pings: 30})
	want := Ending{
		Closes: []CloseCount{{1000, 1}, {1001, 12}, {CloseAbnormal, 1}}, Closing: Closing{11, 22},
		Failures: []Failure{{Reason: "a", Count: 5}, {Reason: "b", Count: 2}}, Pings: 33,
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("%+v, want %+v", e, want)
	}
	d, other := NoneDialled(), Dialled{Wanted: 5, Attempted: 4, Opened: 2, Failed: 2, GaveUp: true, First: 3 * time.Second, Last: 5 * time.Second, Latency: NewRecorder()}
	other.Latency.Record(time.Second)
	if d.Elapsed() != 0 {
		t.Errorf("nothing took %v", d.Elapsed())
	}
	d.Add(other)
	other.First, other.Last = 2*time.Second, 4*time.Second
	d.Add(other)
	d.Add(NoneDialled())
	if o := d.Opening(); o.Wanted != 10 || o.NotAttempted != 2 || o.Opened != 4 || o.Failed != 4 || !o.GaveUp || o.Seconds != 3 || o.Handshake.Count != 2 || o.PerSecond != 4.0/3 {
		t.Errorf("opening %+v", o)
	}
}
