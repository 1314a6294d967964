package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"roost/bench"
)

// The page decides on colours, by the reader's preference: lines are drawn in
// stand-ins, which restyle replaces by variables of the style sheet.
var (
	inkStandIn   = color.NRGBA{R: 1, A: 255}
	gridStandIn  = color.NRGBA{R: 2, A: 255}
	lineStandIns = []color.Color{color.NRGBA{R: 3, A: 255}, color.NRGBA{R: 4, A: 255}, color.NRGBA{R: 5, A: 255}}
	restyle      = strings.NewReplacer(
		"#010000", "var(--ink)", "#020000", "var(--grid)",
		"#030000", "var(--line-1)", "#040000", "var(--line-2)", "#050000", "var(--line-3)",
	)
	// Lines differ without colour, too.
	dashes = [][]vg.Length{nil, {6, 3}, {2, 2}}
)

// Width and height fit a phone of 360 px at full size; a larger screen scales up.
const plotWidth, plotHeight = 330, 210

// line is one curve with its name in the legend.
type line struct {
	name   string
	points plotter.XYs
}

// axis is how the values of a plot are written.
type axis struct {
	label string
	log   bool // decades
	// between labels 2 and 5 as well where there are few decades.
	between bool
	tick    func(v float64) string
}

var (
	timeAxis    = axis{label: "time (s)", tick: short}
	latencyAxis = axis{label: "latency", log: true, between: true, tick: func(us float64) string { return compact(us, "us", "ms", "s", "ks") }}
)

// figure is one plot of the page.
type figure struct{ ID, Title, SVG string }

// figures draws everything the recording has data for.
func figures(rec *bench.Recording) ([]figure, error) {
	var list []figure
	var err error
	add := func(id, title string, x, y axis, lines ...line) {
		kept := lines[:0]
		for _, l := range lines {
			if len(l.points) > 0 {
				kept = append(kept, l)
			}
		}
		if len(kept) == 0 || err != nil {
			return
		}
		var svg string
		if svg, err = drawing(title, x, y, kept); err == nil {
			list = append(list, figure{id, title, svg})
		}
	}
	kind, h := mainLatency(rec.Result)
	label, latency := "message latency", func(s *bench.Second) *bench.Quantiles { return s.Latency }
	if kind == bench.HandshakeLatency {
		label, latency = "handshake latency", func(s *bench.Second) *bench.Quantiles { return s.Handshake }
	}
	if h != nil {
		add("percentiles", capital(label)+" by percentile", axis{label: "percentile (%)", log: true, tick: nines}, latencyAxis, line{"", byPercentile(h)})
	}
	over := func(value func(*bench.Second) (float64, bool)) plotter.XYs { return overTime(rec.Seconds, value) }
	of := func(value func(*bench.Quantiles) int64) plotter.XYs {
		return over(func(s *bench.Second) (float64, bool) {
			q := latency(s)
			if q == nil {
				return 0, false
			}
			return float64(value(q)), true
		})
	}
	add("latency", capital(label)+" over time", timeAxis, latencyAxis,
		line{"max", of(func(q *bench.Quantiles) int64 { return q.Max })},
		line{"p99", of(func(q *bench.Quantiles) int64 { return q.P99 })},
		line{"p50", of(func(q *bench.Quantiles) int64 { return q.P50 })})
	add("connections", "Open connections", timeAxis, axis{label: "connections", tick: short},
		line{"", over(func(s *bench.Second) (float64, bool) { return float64(s.Open), true })})
	perSecond := func(n func(*bench.Second) int64) plotter.XYs {
		return over(func(s *bench.Second) (float64, bool) { return float64(n(s)) / s.Length, s.Length > 0 })
	}
	add("rates", "Rates", timeAxis, axis{label: "per second", tick: short},
		line{"messages received", perSecond(func(s *bench.Second) int64 { return s.Received })},
		line{"messages sent", perSecond(func(s *bench.Second) int64 { return s.Sent })},
		line{"connects", perSecond(func(s *bench.Second) int64 { return s.Opened })})
	server := func(value func(*bench.ServerSecond) float64) plotter.XYs {
		return over(func(s *bench.Second) (float64, bool) {
			if s.Server == nil {
				return 0, false
			}
			return value(s.Server), true
		})
	}
	add("memory", "Server memory (RSS)", timeAxis, axis{label: "MB", tick: short},
		line{"", server(func(s *bench.ServerSecond) float64 { return float64(s.RSSBytes) / 1e6 })})
	add("cpu", "Processor use", timeAxis, axis{label: "cores", tick: short},
		line{"server", server(func(s *bench.ServerSecond) float64 { return s.CPUCores })},
		line{"client", over(func(s *bench.Second) (float64, bool) { return s.ClientCores, true })},
		line{"client loop busy", over(func(s *bench.Second) (float64, bool) { return s.ClientLoopBusy, true })})
	return list, err
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// leastLength of a second that is drawn: a shorter rest says nothing about rates.
const leastLength = 0.2

// overTime puts each value at the end of its second.
func overTime(seconds []bench.Second, value func(*bench.Second) (float64, bool)) (points plotter.XYs) {
	for i := range seconds {
		s := &seconds[i]
		if v, ok := value(s); ok && (s.Length >= leastLength || len(seconds) == 1) {
			points = append(points, plotter.XY{X: s.Start + s.Length, Y: v})
		}
	}
	return points
}

// byPercentile has 1/(1-q) on its x axis, so that every nine takes the same
// room; the 100th percentile would be endless, and stands where one latency is left.
func byPercentile(h *bench.Recorder) (points plotter.XYs) {
	for _, b := range h.Distribution() {
		x := float64(h.Count())
		if b.Percentile < 100 {
			x = min(x, 1/(1-b.Percentile/100))
		}
		points = append(points, plotter.XY{X: max(1, x), Y: max(1, float64(b.US))})
	}
	return points
}

func drawing(title string, x, y axis, lines []line) (string, error) {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.X.Label.Text, p.Y.Label.Text = x.label, y.label
	for _, style := range []*draw.TextStyle{&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Color = inkStandIn
		style.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 10}
	}
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.LineStyle.Color, a.Tick.Color = gridStandIn, gridStandIn
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = gridStandIn, gridStandIn
	p.Add(grid)
	for i, l := range lines {
		if y.log {
			for j := range l.points {
				l.points[j].Y = max(1, l.points[j].Y)
			}
		}
		curve, dots, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return "", fmt.Errorf("plot %q: %w", title, err)
		}
		curve.Color, curve.Width, curve.Dashes = lineStandIns[i], 1.5, dashes[i]
		dots.Color, dots.Radius, dots.Shape = lineStandIns[i], 1.5, draw.CircleGlyph{}
		p.Add(curve)
		if len(l.points) < 30 {
			p.Add(dots)
		}
		if l.name != "" {
			p.Legend.Add(l.name+"    ", curve) // room for a reader's wider font
		}
	}
	p.Legend.Top, p.Legend.Padding = true, 3
	x.apply(&p.X)
	y.apply(&p.Y)
	if !y.log {
		p.Y.Max *= 1.1
		if len(lines) > 1 {
			p.Y.Max *= 1.3 // room for the legend
		}
	}
	canvas := vgsvg.New(plotWidth, plotHeight)
	p.Draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", err
	}
	return inline(b.String(), title), nil
}

// apply sets scale, range and ticks. Linear axes start at 0; logarithmic ones
// begin and end at whole decades.
func (a axis) apply(to *plot.Axis) {
	if !a.log {
		to.Min = 0
		if to.Max <= 0 {
			to.Max = 1
		}
		to.Tick.Marker = plot.TickerFunc(func(low, high float64) []plot.Tick {
			ticks := plot.DefaultTicks{}.Ticks(low, high)
			for i := range ticks {
				if ticks[i].Label != "" {
					ticks[i].Label = a.tick(ticks[i].Value)
				}
			}
			return ticks
		})
		return
	}
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

// inline makes the drawing a part of the page: no prolog, no size of its own,
// the page's font and colours, and a name for those who do not see it.
func inline(svg, title string) string {
	_, svg, _ = strings.Cut(svg, "<svg")
	_, body, _ := strings.Cut(svg, ">")
	head := fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label=%q>`, plotWidth, plotHeight, title)
	// The layout was made with the widths of Liberation Sans, which are Arial's.
	body = strings.ReplaceAll(body, "font-family:Liberation Sans", "font-family:Liberation Sans,Arial,Helvetica,sans-serif")
	return head + restyle.Replace(body)
}
