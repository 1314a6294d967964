package report

import (
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/plot"
)

// axis is how the values of a plot are written.
type axis struct {
	label string
	log   bool // decades
	// between labels 2 and 5 as well where there are few decades.
	between bool
	end     float64 // of a linear axis; 0: where the values end
	tick    func(v float64) string
}

var (
	percentileAxis = axis{label: "percentile (%)", log: true, tick: nines}
	latencyAxis    = axis{label: "latency", log: true, between: true, tick: func(us float64) string { return compact(us, "us", "ms", "s", "ks") }}
)

// apply sets scale, range and ticks. Linear axes start at 0; logarithmic ones
// begin and end at whole decades.
func (a axis) apply(to *plot.Axis) {
	if a.log {
		a.applyLog(to)
		return
	}
	to.Min = 0
	if a.end > 0 {
		to.Max = a.end
	}
	if to.Max < leastRange {
		to.Max = 1
	}
	to.Tick.Marker = plot.TickerFunc(func(_, high float64) (ticks []plot.Tick) {
		step := roundStep(high / 6)
		for i := 0; float64(i)*step <= high*(1+1e-9); i++ {
			ticks = append(ticks, plot.Tick{Value: float64(i) * step, Label: a.tick(float64(i) * step)})
		}
		return ticks
	})
}

// leastRange of a linear axis: less is nothing in the unit of any plot.
const leastRange = 1e-6

// roundStep is the least of 1, 2, 5, 10, 20, 50 and so on, or of their fractions,
// that is not below least.
func roundStep(least float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(least)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*decade >= least {
			return factor * decade
		}
	}
	return 10 * decade
}

func (a axis) applyLog(to *plot.Axis) {
	low, high := math.Floor(math.Log10(to.Min)), math.Ceil(math.Log10(to.Max))
	if high <= low {
		high = low + 1
	}
	to.Min, to.Max = math.Pow(10, low), math.Pow(10, high)
	to.Scale = plot.LogScale{}
	to.Tick.Marker = plot.TickerFunc(func(float64, float64) (ticks []plot.Tick) {
		mark := func(v float64) {
			if v <= to.Max {
				ticks = append(ticks, plot.Tick{Value: v, Label: a.tick(v)})
			}
		}
		for exponent := low; exponent <= high; exponent++ {
			v := math.Pow(10, exponent)
			mark(v)
			if high-low <= 2 && a.between {
				mark(2 * v)
				mark(5 * v)
			}
		}
		return ticks
	})
}

// short writes a number in few characters.
func short(v float64) string { return compact(v, "", "k", "M", "G") }

func compact(v float64, units ...string) string {
	i := 0
	for ; i < len(units)-1 && math.Abs(v) >= 1000; i++ {
		v /= 1000
	}
	return strings.TrimSpace(fmt.Sprintf("%.4g %s", v, units[i]))
}

// nines labels 1/(1-q): 1 is the least, 10 is 90 %, 1000 is 99.9 %.
func nines(v float64) string {
	switch {
	case v < 10:
		return "0"
	case v < 1e6:
		return fmt.Sprintf("%.6g", 100-100/v)
	}
	return ""
}
