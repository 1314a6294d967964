package main

import (
	"math"
	"strings"

	"roost/bench"
)

// sparkline is a distribution of latencies that can be drawn at any width.
type sparkline struct{ spans []span }

// span counts the latencies between two numbers of microseconds, both included.
type span struct{ from, to, count int64 }

// maxColumns keeps the picture in proportion to the figures above it.
const maxColumns = 60

// newSparkline copies the spread, which may be nil.
func newSparkline(s *bench.Spread) sparkline {
	var line sparkline
	s.Each(func(from, to, count int64) { line.spans = append(line.spans, span{from, to, count}) })
	return line
}

// draw writes the range at both ends of the bars. It is empty when there is
// nothing to draw, or no room.
func (s sparkline) draw(width int) string {
	if len(s.spans) == 0 {
		return ""
	}
	low, high := latency(s.spans[0].from), latency(s.spans[len(s.spans)-1].to)
	columns := min(width-len(low)-len(high)-2, maxColumns)
	if columns < 1 {
		return ""
	}
	return low + " " + blocks(s.columns(columns)) + " " + high
}

// columns shares the latencies out to n columns of equal width on a
// logarithmic scale. One that spans several adds to each what lies in it.
func (s sparkline) columns(n int) []float64 {
	start := math.Log2(s.spans[0].low())
	scale := float64(n) / (math.Log2(s.spans[len(s.spans)-1].high()) - start)
	columns := make([]float64, n)
	for _, span := range s.spans {
		from, to := (math.Log2(span.low())-start)*scale, (math.Log2(span.high())-start)*scale
		for i := int(from); i < n && float64(i) < to; i++ {
			inside := min(to, float64(i+1)) - max(from, float64(i))
			columns[i] += float64(span.count) * inside / (to - from)
		}
	}
	return columns
}

// low and high are the ends of the span on a scale that has no 0.
func (s span) low() float64  { return float64(max(s.from, 1)) }
func (s span) high() float64 { return float64(max(s.to, 1) + 1) }

// blocks draws columns in eighths of the highest. What is not 0 can be seen.
func blocks(columns []float64) string {
	steps := []rune("▁▂▃▄▅▆▇█")
	highest := 0.0
	for _, c := range columns {
		highest = max(highest, c)
	}
	var line strings.Builder
	for _, c := range columns {
		if c <= 0 {
			line.WriteByte(' ')
			continue
		}
		line.WriteRune(steps[min(len(steps)-1, int(c/highest*float64(len(steps))))])
	}
	return line.String()
}
