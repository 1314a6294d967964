package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Spread is the distribution of the latencies of one second: a histogram of two
// significant digits, which takes 15 kB at most and little in a file.
type Spread struct{ histogram *hdrhistogram.Histogram }

func emptySpread() *Spread {
	return &Spread{hdrhistogram.New(1, int64(maxLatency/time.Microsecond), 2)}
}

func newSpread(from *hdrhistogram.Histogram) *Spread {
	s := emptySpread()
	s.histogram.Merge(from) // drops nothing: both have the same range
	return s
}

// Each calls yield for every span of latencies that has any, shortest first.
// from and to are microseconds, to included.
func (s *Spread) Each(yield func(from, to, count int64)) {
	if s == nil {
		return
	}
	for _, bar := range s.histogram.Distribution() {
		if bar.Count > 0 {
			yield(bar.From, bar.To, bar.Count)
		}
	}
}

func (s *Spread) clone() *Spread {
	if s == nil {
		return nil
	}
	return newSpread(s.histogram)
}

// merge adds other and returns the sum with its percentiles. Either may be nil.
func (s *Spread) merge(other *Spread) (*Spread, *Quantiles) {
	switch {
	case s == nil && other == nil:
		return nil, nil
	case s == nil:
		s = other.clone()
	case other != nil:
		s.histogram.Merge(other.histogram)
	}
	return s, quantiles(s.histogram)
}

// MarshalText writes the histogram in HdrHistogram's V2 encoding: compressed,
// then base64.
func (s *Spread) MarshalText() ([]byte, error) {
	return s.histogram.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// UnmarshalText reads what MarshalText wrote.
func (s *Spread) UnmarshalText(text []byte) error {
	decoded, err := hdrhistogram.Decode(text)
	if err != nil {
		return fmt.Errorf("distribution: %w", err)
	}
	*s = *emptySpread()
	if dropped := s.histogram.Merge(decoded); dropped > 0 {
		return fmt.Errorf("distribution: %d values are above %v", dropped, maxLatency)
	}
	return nil
}
