package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLatency is the longest latency that is told apart; longer ones count as this.
const maxLatency = time.Hour

// Recorder keeps latencies in an HDR histogram: three significant digits,
// unit one microsecond, about 200 kB. It belongs to one goroutine.
type Recorder struct{ h *hdrhistogram.Histogram }

// NewRecorder makes an empty one.
func NewRecorder() *Recorder {
	return &Recorder{hdrhistogram.New(1, int64(maxLatency/time.Microsecond), 3)}
}

// Record adds one latency. Values below 0 count as 0.
func (r *Recorder) Record(d time.Duration) {
	us := int64(d) / int64(time.Microsecond)
	// The range is enforced here, and it is the only way for RecordValue to fail.
	_ = r.h.RecordValue(min(max(us, 0), int64(maxLatency/time.Microsecond)))
}

// Count is the number of latencies recorded.
func (r *Recorder) Count() int64 { return r.h.TotalCount() }

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

// Quantiles returns the percentiles so far, or nil when nothing was recorded.
func (r *Recorder) Quantiles() *Quantiles {
	if r.Count() == 0 {
		return nil
	}
	return &Quantiles{
		Count: r.Count(),
		Min:   r.h.Min(),
		Mean:  r.h.Mean(),
		P50:   r.h.ValueAtQuantile(50),
		P90:   r.h.ValueAtQuantile(90),
		P99:   r.h.ValueAtQuantile(99),
		P999:  r.h.ValueAtQuantile(99.9),
		Max:   r.h.Max(),
	}
}
