package report

import (
	"math"
	"testing"
	"time"

	"gonum.org/v1/plot/plotter"

	"roost/bench"
)

// overTime is a line of n points at height 0.
func overTime(n int) plotter.XYs {
	points := make(plotter.XYs, n)
	for i := range points {
		points[i].X = float64(i)
	}
	return points
}

// spread is a distribution of n latencies.
func spread(n int, d time.Duration) *bench.Spread {
	r := bench.NewRecorder()
	for range n {
		r.Record(d)
	}
	_, s := r.Cut()
	return s
}

// TestHeatMapMergesColumns: a merged column counts every latency of its seconds
// once, in the row it belongs to.
func TestHeatMapMergesColumns(t *testing.T) {
	spreads := []*bench.Spread{spread(2, 150*time.Microsecond), spread(2, 15*time.Millisecond)} // every second one is slow
	for _, length := range []int{5, 121, 3600} {
		var seconds []bench.Second
		for i := range length {
			seconds = append(seconds, bench.Second{Start: float64(i), Length: 1, LatencySpread: spreads[i%2]})
		}
		h := newHeatMap(seconds, func(s *bench.Second) *bench.Spread { return s.LatencySpread })
		if n := len(h.columns); n > mostColumns || n != int(math.Ceil(float64(length)/h.width)) {
			t.Errorf("%d s: %d columns of %g s", length, n, h.width)
		}
		var total float64
		for column, cells := range h.columns {
			var sum float64
			for row, count := range cells {
				sum += count
				if low := rowEdge(row); count > 0 && (low < 100 || low > 20_000 || low > 200 && low < 10_000) {
					t.Errorf("%d s: %g latencies from %g us", length, count, low)
				}
			}
			if math.Abs(sum-h.total[column]) > 1e-6 {
				t.Errorf("%d s: column %d has %g of %g latencies", length, column, sum, h.total[column])
			}
			total += sum
		}
		if math.Abs(total-float64(2*length)) > 1e-6 {
			t.Errorf("%d s: %g latencies, want %d", length, total, 2*length)
		}
	}
	if h := newHeatMap([]bench.Second{{Length: 1}}, func(s *bench.Second) *bench.Spread { return s.LatencySpread }); h != nil {
		t.Error("a heat map of nothing")
	}
}

// TestThinnedKeepsExtremes: one spike among thousands of points must stay.
func TestThinnedKeepsExtremes(t *testing.T) {
	points := overTime(3600)
	points[1234].Y, points[2345].Y = 99, -99
	kept := thinned(points)
	low, high := 0.0, 0.0
	for i, p := range kept {
		low, high = min(low, p.Y), max(high, p.Y)
		if i > 0 && p.X <= kept[i-1].X {
			t.Fatalf("point %d is not in order", i)
		}
	}
	if len(kept) > mostPoints || low != -99 || high != 99 {
		t.Errorf("%d points from %g to %g", len(kept), low, high)
	}
	if n := len(thinned(overTime(5))); n != 5 {
		t.Errorf("%d of 5 points", n)
	}
}
