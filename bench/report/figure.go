package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"gonum.org/v1/plot/plotter"

	"roost/bench"
)

// figure is one plot of the page. Its legend is text of the page, which breaks
// lines and grows with the reader's font.
type figure struct {
	ID, Title string
	SVG       template.HTML // of our own drawing: needs no escape
	Key       []key
	Heat      []shade // the legend of a heat map
}

// key explains a line.
type key struct {
	Name, Colour, Dashes string
}

// shade explains a colour of the heat map.
type shade struct {
	Name    string
	Opacity float64
}

// figures collects the plots of one recording, or of several.
type figures struct {
	list    []figure
	err     error
	phases  marks
	seconds []bench.Second
	time    axis
}

// draw adds a plot unless there is nothing to draw.
func (f *figures) draw(id string, c chart) {
	kept := c.lines[:0]
	for _, l := range c.lines {
		if len(l.points) > 0 {
			kept = append(kept, l)
		}
	}
	c.lines = kept
	if len(kept) == 0 && c.heat == nil || f.err != nil {
		return
	}
	fig := figure{ID: id, Title: c.title, Key: keys(c.lines), Heat: shades(c.heat)}
	var svg string
	svg, f.err = c.svg()
	fig.SVG = template.HTML(svg)
	f.list = append(f.list, fig)
}

// over draws lines over time.
func (f *figures) over(id, title string, y axis, lines ...line) {
	for i := range lines {
		lines[i].points = thinned(lines[i].points)
	}
	f.draw(id, chart{title: title, x: f.time, y: y, lines: lines, marks: f.phases})
}

// keys explains lines that have names.
func keys(lines []line) (list []key) {
	for i, l := range lines {
		if l.name == "" {
			continue
		}
		var pattern []string
		for _, length := range dashes[i%len(dashes)] {
			pattern = append(pattern, fmt.Sprint(length.Points()))
		}
		list = append(list, key{l.name, fmt.Sprintf("var(--line-%d)", i%len(dashes)+1), strings.Join(pattern, " ")})
	}
	return list
}

func shades(h *heatMap) (list []shade) {
	if h == nil {
		return nil
	}
	of := "of a second's latencies"
	if h.width > 1 {
		of = fmt.Sprintf("of the latencies of %g s", h.width)
	}
	for i, level := range heatLevels {
		name := fmt.Sprintf("more, %s", of)
		if i+1 < len(heatLevels) {
			name = fmt.Sprintf("to %g %%", 100*heatLevels[i+1].above)
		}
		list = append(list, shade{name, level.opacity})
	}
	return list
}

// recordingFigures draws everything the recording has data for.
func recordingFigures(rec *bench.Recording) ([]figure, error) {
	r := rec.Result
	f := figures{phases: r.Phases, seconds: rec.Seconds, time: axis{label: "time (s)", tick: func(v float64) string { return fmt.Sprintf("%.5g", v) }}}
	for _, s := range rec.Seconds {
		f.time.end = max(f.time.end, s.Start+s.Length)
	}
	f.percentiles("percentiles", "Message latency by percentile", r, bench.MessageLatency)
	if kind, _ := mainLatency(r); kind == bench.HandshakeLatency || len(r.Histograms) == 0 {
		f.latency("handshake latency", func(s *bench.Second) (*bench.Quantiles, *bench.Spread) { return s.Handshake, s.HandshakeSpread })
	} else {
		f.latency("message latency", func(s *bench.Second) (*bench.Quantiles, *bench.Spread) { return s.Latency, s.LatencySpread })
	}
	f.percentiles("handshakes", "Handshake latency by percentile", r, bench.HandshakeLatency)
	f.traffic()
	f.usage()
	return f.list, f.err
}

// percentiles draws a curve for every part.
func (f *figures) percentiles(id, title string, r *bench.Result, kind string) {
	c := chart{title: title, x: percentileAxis, y: latencyAxis}
	all := histograms(r, kind)
	for _, h := range all {
		name := ""
		switch {
		case h.part != nil && len(r.Parts) > 1:
			name = h.part.Name
		case len(all) > 1:
			name = "opening"
		}
		c.lines = append(c.lines, line{name, byPercentile(h.h)})
	}
	if kind == bench.MessageLatency && len(r.Parts) == 1 {
		if h := r.Histograms[bench.FanOutLatency]; h != nil {
			c.lines[0].name = "delivery"
			c.lines = append(c.lines, line{"fan-out: to the last connection", byPercentile(h)})
		}
	}
	f.draw(id, c)
}

// latency draws how latencies were spread over time, and their percentiles.
func (f *figures) latency(what string, at func(*bench.Second) (*bench.Quantiles, *bench.Spread)) {
	title := strings.ToUpper(what[:1]) + what[1:]
	heat := newHeatMap(f.seconds, func(s *bench.Second) *bench.Spread {
		_, spread := at(s)
		return spread
	})
	if heat != nil {
		f.draw("heat", chart{title: title + " over time: how it is spread", x: f.time, y: latencyAxis, heat: heat, marks: f.phases})
	}
	of := func(value func(*bench.Quantiles) int64) plotter.XYs {
		return f.each(func(s *bench.Second) (float64, bool) {
			q, _ := at(s)
			if q == nil {
				return 0, false
			}
			return float64(value(q)), true
		})
	}
	f.over("latency", title+" over time: percentiles of each second", latencyAxis,
		line{"max", of(func(q *bench.Quantiles) int64 { return q.Max })},
		line{"p99.9", of(func(q *bench.Quantiles) int64 { return q.P999 })},
		line{"p99", of(func(q *bench.Quantiles) int64 { return q.P99 })},
		line{"p50", of(func(q *bench.Quantiles) int64 { return q.P50 })})
}

// traffic draws connections and rates.
func (f *figures) traffic() {
	f.over("connections", "Open connections", axis{label: "connections", tick: short},
		line{"", f.each(func(s *bench.Second) (float64, bool) { return float64(s.Open), true })})
	rate := func(name string, of func(*bench.Second) int64) line {
		points := f.each(func(s *bench.Second) (float64, bool) { return float64(of(s)) / s.Length, s.Length > 0 })
		if !anyAbove0(points) {
			points = nil // nothing of the kind happened
		}
		return line{name, points}
	}
	f.over("rates", "Messages", axis{label: "per second", tick: short},
		rate("received", func(s *bench.Second) int64 { return s.Received }),
		rate("sent", func(s *bench.Second) int64 { return s.Sent }))
	f.over("connects", "Connections made and ended", axis{label: "per second", tick: short},
		rate("opened", func(s *bench.Second) int64 { return s.Opened }),
		rate("closed", func(s *bench.Second) int64 { return s.Closed }),
		rate("failed attempts", func(s *bench.Second) int64 { return s.Failed }))
}

func anyAbove0(points plotter.XYs) bool {
	for _, p := range points {
		if p.Y > 0 {
			return true
		}
	}
	return false
}

// usage draws what server and client used.
func (f *figures) usage() {
	server := func(value func(*bench.ServerSecond) float64) plotter.XYs {
		return f.each(func(s *bench.Second) (float64, bool) {
			if s.Server == nil {
				return 0, false
			}
			return value(s.Server), true
		})
	}
	f.over("memory", "Server memory (RSS)", axis{label: "MB", tick: short},
		line{"", server(func(s *bench.ServerSecond) float64 { return float64(s.RSSBytes) / 1e6 })})
	f.over("cpu", "Processor use", axis{label: "cores", tick: short},
		line{"server, user", server(func(s *bench.ServerSecond) float64 { return s.UserCores })},
		line{"server, system", server(func(s *bench.ServerSecond) float64 { return s.SystemCores })},
		line{"client", f.each(func(s *bench.Second) (float64, bool) { return s.ClientCores, true })})
	f.over("loop", "Client's event loop: share of time it did not wait", axis{label: "busy (%)", tick: short, end: 100},
		line{"", f.each(func(s *bench.Second) (float64, bool) { return min(100, 100*s.ClientLoopBusy), true })})
	f.over("switches", "Server's context switches", axis{label: "per second", tick: short},
		line{"", server(func(s *bench.ServerSecond) float64 { return s.ContextSwitches })})
}

// comparisonFigures draws a curve for every recording that has the latency which
// the first one is about.
func comparisonFigures(files []File) ([]figure, error) {
	if len(files) < 2 {
		return nil, nil
	}
	var f figures
	kind, _ := mainLatency(files[0].Recording.Result)
	c := chart{title: "Message latency by percentile, all recordings", x: percentileAxis, y: latencyAxis}
	if kind == bench.HandshakeLatency {
		c.title = "Handshake latency by percentile, all recordings"
	}
	for _, file := range files {
		if k, h := mainLatency(file.Recording.Result); h != nil && k == kind {
			c.lines = append(c.lines, line{file.Name, byPercentile(h)})
		}
	}
	if len(c.lines) > 1 {
		f.draw("comparison", c)
	}
	return f.list, f.err
}

// leastLength of a second that is drawn: a shorter rest says nothing about rates.
const leastLength = 0.2

// each puts each value at the end of its second.
func (f *figures) each(value func(*bench.Second) (float64, bool)) (points plotter.XYs) {
	for i := range f.seconds {
		s := &f.seconds[i]
		if v, ok := value(s); ok && (s.Length >= leastLength || len(f.seconds) == 1) {
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
		points = append(points, plotter.XY{X: math.Max(1, x), Y: math.Max(1, float64(b.US))})
	}
	return points
}
