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
)

// The page decides on colours, by the reader's preference: everything is drawn
// in stand-ins, which restyle replaces by variables of the style sheet.
var (
	inkStandIn   = color.NRGBA{R: 1, A: 255}
	gridStandIn  = color.NRGBA{R: 2, A: 255}
	faintStandIn = color.NRGBA{R: 3, A: 255}
	restyle      = strings.NewReplacer(
		"#010000", "var(--ink)", "#020000", "var(--grid)", "#030000", "var(--faint)",
		"#110000", "var(--line-1)", "#120000", "var(--line-2)", "#130000", "var(--line-3)",
		"#140000", "var(--line-4)", "#150000", "var(--line-5)", "#160000", "var(--line-6)",
	)
	// Lines differ without colour, too.
	dashes = [][]vg.Length{nil, {6, 3}, {2, 2}, {8, 2, 2, 2}, {4, 1}, {1, 3}}
)

// lineStandIn is the colour of the i-th line; after six they start over.
func lineStandIn(i int) color.NRGBA { return color.NRGBA{R: 0x11 + uint8(i%len(dashes)), A: 255} }

// Width and height fit a phone of 360 px at full size; a larger screen scales up.
const plotWidth, plotHeight = 330, 210

// fontSlack is left free at both sides: labels are laid out with the widths of
// Liberation Sans, and a reader's font may be a fifth wider.
const fontSlack = 8

// line is one curve with its name in the legend.
type line struct {
	name   string
	points plotter.XYs
}

// chart is everything that one drawing shows.
type chart struct {
	title string // for those who do not see it
	x, y  axis
	lines []line
	heat  *heatMap // nil: none
	marks marks
}

// svg draws the chart for the page.
func (c *chart) svg() (string, error) {
	p := c.frame()
	if c.heat != nil {
		p.Add(c.heat)
	}
	for i, l := range c.lines {
		if c.y.log {
			for j := range l.points {
				l.points[j].Y = max(1, l.points[j].Y)
			}
		}
		curve, dots, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return "", fmt.Errorf("plot %q: %w", c.title, err)
		}
		curve.Color, curve.Width, curve.Dashes = lineStandIn(i), 1.5, dashes[i%len(dashes)]
		dots.Color, dots.Radius, dots.Shape = lineStandIn(i), 1.5, draw.CircleGlyph{}
		p.Add(curve)
		if len(l.points) < 30 {
			p.Add(dots)
		}
	}
	p.Add(c.marks)
	c.x.apply(&p.X)
	c.y.apply(&p.Y)
	if !c.y.log && c.y.end == 0 {
		p.Y.Max *= 1.1
	}
	canvas := vgsvg.New(plotWidth, plotHeight)
	p.Draw(draw.Crop(draw.New(canvas), fontSlack, -fontSlack, 0, 0))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", err
	}
	return inline(b.String(), c.title), nil
}

// frame is an empty plot in the page's style.
func (c *chart) frame() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.X.Label.Text, p.Y.Label.Text = c.x.label, c.y.label
	for _, style := range []*draw.TextStyle{&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Color = inkStandIn
		style.Font = sans(10)
	}
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.LineStyle.Color, a.Tick.Color = gridStandIn, gridStandIn
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = gridStandIn, gridStandIn
	p.Add(grid)
	return p
}

func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// inline makes the drawing a part of the page: no prolog, no size of its own,
// the page's font and colours, and a name for those who do not see it.
func inline(svg, title string) string {
	_, svg, _ = strings.Cut(svg, "<svg")
	_, body, _ := strings.Cut(svg, ">")
	head := fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label=%q>`, plotWidth, plotHeight, title)
	return head + restyled(body)
}

// restyled gives a drawing the page's font and colours.
func restyled(body string) string {
	// The layout was made with the widths of Liberation Sans, which are Arial's.
	body = strings.ReplaceAll(body, "font-family:Liberation Sans", "font-family:Liberation Sans,Arial,Helvetica,sans-serif")
	return restyle.Replace(body)
}

// mostPoints of a line are drawn: about one for each of the plot's points of width.
const mostPoints = 400

// thinned keeps of every span of time the lowest and the highest point, so that
// a long run looks the same with fewer points.
func thinned(points plotter.XYs) plotter.XYs {
	if len(points) <= mostPoints {
		return points
	}
	span := int(math.Ceil(2 * float64(len(points)) / mostPoints))
	var kept plotter.XYs
	for from := 0; from < len(points); from += span {
		low, high := from, from
		for i := from; i < min(from+span, len(points)); i++ {
			if points[i].Y < points[low].Y {
				low = i
			}
			if points[i].Y > points[high].Y {
				high = i
			}
		}
		kept = append(kept, points[min(low, high)])
		if low != high {
			kept = append(kept, points[max(low, high)])
		}
	}
	return kept
}
