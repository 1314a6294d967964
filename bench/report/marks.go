package report

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"roost/bench"
)

// marks draws where the phases of a run begin, and above the plot the names of
// those that are long enough to have room. It is a plot.Plotter.
type marks []bench.Phase

const markHeight = 11 // of the row of names

var _ interface {
	plot.Plotter
	plot.GlyphBoxer
} = marks{}

// Plot draws the marks into c, and the names above it.
func (m marks) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	style := text.Style{Color: faintStandIn, Font: sans(8), Handler: plot.DefaultTextHandler, XAlign: draw.XCenter, YAlign: draw.YBottom}
	edge := draw.LineStyle{Color: faintStandIn, Width: 0.6, Dashes: []vg.Length{1, 2}}
	for _, phase := range m {
		from, to := max(phase.Start, p.X.Min), min(phase.Start+phase.Length, p.X.Max)
		if from >= p.X.Max || to <= p.X.Min {
			continue
		}
		left, right := x(from), x(to)
		if from > p.X.Min {
			c.StrokeLine2(edge, left, c.Min.Y, left, c.Max.Y+markHeight)
		}
		// A reader's font may be wider.
		if style.Width(phase.Name)*1.1 < right-left {
			c.FillText(style, vg.Point{X: (left + right) / 2, Y: c.Max.Y + 2}, phase.Name)
		}
	}
}

// GlyphBoxes reserves the row of names.
func (m marks) GlyphBoxes(*plot.Plot) []plot.GlyphBox {
	if len(m) == 0 {
		return nil
	}
	return []plot.GlyphBox{{Y: 1, Rectangle: vg.Rectangle{Max: vg.Point{X: 1, Y: markHeight}}}}
}
