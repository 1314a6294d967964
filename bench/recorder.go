package bench

import (
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLatency is the longest latency that is told apart; longer ones count as this.
const maxLatency = time.Hour

// Recorder keeps latencies in HDR histograms: three significant digits, unit
// one microsecond, about 200 kB each. It belongs to one goroutine.
//
// A latency is counted once, in fresh; Cut adds that to what came before, so
// that numbers per second cost the hot path nothing.
type Recorder struct{ total, fresh *hdrhistogram.Histogram }

// NewRecorder makes an empty one.
func NewRecorder() *Recorder {
	empty := func() *hdrhistogram.Histogram {
		return hdrhistogram.New(1, int64(maxLatency/time.Microsecond), 3)
	}
	return &Recorder{total: empty(), fresh: empty()}
}

// Record adds one latency. Values below 0 count as 0.
func (r *Recorder) Record(d time.Duration) {
	us := int64(d) / int64(time.Microsecond)
	// The range is enforced here, and it is the only way for RecordValue to fail.
	_ = r.fresh.RecordValue(min(max(us, 0), int64(maxLatency/time.Microsecond)))
}

// Count is the number of latencies recorded.
func (r *Recorder) Count() int64 { return r.total.TotalCount() + r.fresh.TotalCount() }

// Cut returns the percentiles and the distribution since the last Cut, or nil
// when nothing was recorded.
func (r *Recorder) Cut() (*Quantiles, *Spread) {
	if r.fresh.TotalCount() == 0 {
		return nil, nil
	}
	q, s := quantiles(r.fresh), newSpread(r.fresh)
	r.settle()
	return q, s
}

// settle moves what is fresh to the total.
func (r *Recorder) settle() {
	if r.fresh.TotalCount() > 0 {
		r.total.Merge(r.fresh) // drops nothing: both have the same range
		r.fresh.Reset()
	}
}

// Quantiles returns the percentiles so far, or nil when nothing was recorded.
func (r *Recorder) Quantiles() *Quantiles {
	r.settle()
	if r.Count() == 0 {
		return nil
	}
	return quantiles(r.total)
}

// Merge adds what other has recorded.
func (r *Recorder) Merge(other *Recorder) {
	r.fresh.Merge(other.total)
	r.fresh.Merge(other.fresh)
}

// Bar is one step of a distribution: Count latencies are at most US
// microseconds, which is the given percentile.
type Bar struct {
	US         int64
	Percentile float64 // 0 to 100
	Count      int64
}

// Distribution lists the percentiles in ever finer steps up to the longest
// latency, five for each halving of what is left.
func (r *Recorder) Distribution() []Bar {
	r.settle()
	var bars []Bar
	for _, b := range r.total.CumulativeDistributionWithTicks(5) {
		bars = append(bars, Bar{US: b.ValueAt, Percentile: b.Quantile, Count: b.Count})
	}
	return bars
}

// WritePercentiles writes the distribution in milliseconds as the text that the
// plotter of HdrHistogram reads.
func (r *Recorder) WritePercentiles(w io.Writer) error {
	r.settle()
	_, err := r.total.PercentilesPrint(w, 5, 1000)
	return err
}

// MarshalText writes the histogram in HdrHistogram's V2 encoding: compressed,
// then base64. Any implementation of HdrHistogram reads it and can merge it.
func (r *Recorder) MarshalText() ([]byte, error) {
	r.settle()
	return r.total.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// UnmarshalText reads what MarshalText wrote.
func (r *Recorder) UnmarshalText(text []byte) error {
	decoded, err := hdrhistogram.Decode(text)
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	*r = *NewRecorder()
	if dropped := r.total.Merge(decoded); dropped > 0 {
		return fmt.Errorf("histogram: %d values are above %v", dropped, maxLatency)
	}
	return nil
}

// Quantiles are percentiles of latencies in microseconds.
type Quantiles struct {
	Count int64   `json:"count"`
	Min   int64   `json:"min_us"`
	Mean  float64 `json:"mean_us"`
	P50   int64   `json:"p50_us"`
	P90   int64   `json:"p90_us"`
	P99   int64   `json:"p99_us"`
	P999  int64   `json:"p99_9_us"`
	Max   int64   `json:"max_us"`
}

func quantiles(h *hdrhistogram.Histogram) *Quantiles {
	return &Quantiles{
		Count: h.TotalCount(),
		Min:   h.Min(),
		Mean:  h.Mean(),
		P50:   h.ValueAtQuantile(50),
		P90:   h.ValueAtQuantile(90),
		P99:   h.ValueAtQuantile(99),
		P999:  h.ValueAtQuantile(99.9),
		Max:   h.Max(),
	}
}

// At is the latency that a share of all, 0 to 100 percent, do not exceed.
func (r *Recorder) At(percent float64) time.Duration {
	r.settle()
	return time.Duration(r.total.ValueAtQuantile(percent)) * time.Microsecond
}
