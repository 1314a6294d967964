package report

import (
	"bytes"
	"fmt"
	markup "html"
	"image/color"
	"io"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes of the picture, in its own units: a README shows about 830 pixels.
const (
	panelWidth  = 400
	panelsWide  = 2
	panelMargin = 8
	panelHead   = 50 // title and axis
	barPitch    = 15
	barHeight   = 9
	footLine    = 12
	footSize    = 8.5
	// logFrom is how many times as large as the least value the greatest must be
	// for a logarithmic axis: below, the shortest bar can still be seen.
	logFrom = 25
)

// svg draws a panel of bars for every figure, and below them what the table says
// in its notes.
func (m *matrix) svg(w io.Writer) error {
	foot := m.foot()
	down := (len(m.columns) + panelsWide - 1) / panelsWide
	panel := vg.Length(panelHead + barPitch*len(m.rows))
	width, height := vg.Length(panelWidth*panelsWide), panel*vg.Length(down)+vg.Length(footLine*(len(foot)+1))
	canvas := vgsvg.New(width, height)
	all := draw.New(canvas)
	for i, c := range m.columns {
		left, top := vg.Length(i%panelsWide)*panelWidth, height-panel*vg.Length(i/panelsWide)
		m.panel(i, c).Draw(draw.Canvas{Canvas: all.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: left + panelMargin, Y: top - panel}, Max: vg.Point{X: left + panelWidth - panelMargin, Y: top - panelMargin},
		}})
	}
	for i, line := range foot {
		all.FillText(footStyle(), vg.Point{X: panelMargin, Y: vg.Length(footLine * (len(foot) - i))}, line)
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	_, err := io.WriteString(w, standalone(b.String(), width, height, m.title(), m.alternative()))
	return err
}

// panel is the plot of one figure, the first side on top.
func (m *matrix) panel(column int, c matrixColumn) *plot.Plot {
	b := bars{column: c}
	var names []string
	for _, row := range slices.Backward(m.rows) {
		b.cells = append(b.cells, row.cells[column])
		names = append(names, clip(plain(row.name), 14))
	}
	low, high := b.reach()
	x := axis{tick: short, log: low > 0 && high/low >= logFrom}
	p := (&chart{x: x}).frame()
	p.Title.Text = fmt.Sprintf("%s: %s (%s), %s is better", c.Scenario, c.Title, c.Unit, c.better())
	if x.log {
		p.Title.Text += ", log"
	}
	p.Title.TextStyle.Color, p.Title.TextStyle.Font = inkStandIn, sans(10)
	p.Title.Padding = 4
	p.Add(b)
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.5, float64(len(names))-0.5
	p.X.Min, p.X.Max = low/1.5, high // so that the shortest bar has a length
	x.apply(&p.X)
	return p
}

// bars are the cells of a column, from the bottom up. It is a plot.Plotter.
type bars struct {
	column matrixColumn
	cells  []matrixCell
}

var _ interface {
	plot.Plotter
	plot.GlyphBoxer
} = bars{}

// reach is the range of all values above 0; 0 and 1 when there are none.
func (b bars) reach() (low, high float64) {
	low = math.Inf(1)
	for _, cell := range b.cells {
		for _, v := range cell.values {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if high == 0 {
		return 0, 1
	}
	return low, high
}

// Plot draws a bar to the median, the range of the runs as a line across its end,
// and the number behind it.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i := range b.cells {
		cell, middle := &b.cells[i], y(float64(i))
		end := c.Min.X
		if cell.has() && cell.median > p.X.Min {
			end = x(cell.median)
			var path vg.Path
			addBox(&path, c.Min.X, middle-barHeight/2., end, middle+barHeight/2.)
			c.SetColor(b.colour(i))
			c.Fill(path)
		}
		if n := len(cell.values); n > 1 && cell.values[0] > p.X.Min {
			from, to := x(cell.values[0]), x(cell.values[n-1])
			c.StrokeLine2(draw.LineStyle{Color: inkStandIn, Width: 1}, from, middle, to, middle)
			end = max(end, to)
		}
		c.FillText(labelStyle(), vg.Point{X: end + 4, Y: middle}, b.label(cell))
	}
}

// colour sets the first side, which the others are measured by, apart.
func (b bars) colour(i int) color.Color {
	if i == len(b.cells)-1 {
		return faintStandIn
	}
	return lineStandIn(0)
}

// GlyphBoxes reserves room for the numbers.
func (b bars) GlyphBoxes(p *plot.Plot) (boxes []plot.GlyphBox) {
	for i := range b.cells {
		cell, at := &b.cells[i], 0.0
		if n := len(cell.values); n > 0 && cell.values[n-1] > p.X.Min {
			at = p.X.Norm(cell.values[n-1])
		}
		// A reader's font may be wider.
		width := 4 + 1.1*labelStyle().Width(b.label(cell))
		boxes = append(boxes, plot.GlyphBox{X: at, Y: p.Y.Norm(float64(i)), Rectangle: vg.Rectangle{Max: vg.Point{X: width}}})
	}
	return boxes
}

func (b bars) label(cell *matrixCell) string {
	if !cell.has() {
		return "-" + cell.signs()
	}
	label := b.column.number(cell.median)
	if factor := cell.factor(); factor != "" {
		label += " (" + factor + ")"
	}
	return label + cell.signs()
}

func labelStyle() text.Style {
	return text.Style{Color: inkStandIn, Font: sans(9), Handler: plot.DefaultTextHandler, XAlign: draw.XLeft, YAlign: draw.YCenter}
}

func footStyle() text.Style {
	return text.Style{Color: faintStandIn, Font: sans(footSize), Handler: plot.DefaultTextHandler, XAlign: draw.XLeft, YAlign: draw.YBottom}
}

// foot is what stands below the panels, in lines.
func (m *matrix) foot() (lines []string) {
	paragraphs := []string{fmt.Sprintf("Bar: median of the runs; line: their range; in parentheses: %s%s; -: no data.", ratioInWords, plain(m.rows[0].name))}
	for i, note := range m.notes {
		paragraphs = append(paragraphs, raised(i+1)+" "+note)
	}
	paragraphs = append(paragraphs, strings.Join(m.conditions, "; "))
	for _, paragraph := range paragraphs {
		lines = append(lines, wrapped(paragraph, panelWidth*panelsWide-2*panelMargin)...)
	}
	return lines
}

func wrapped(paragraph string, width vg.Length) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(strings.ReplaceAll(paragraph, joint, " ")) {
		longer := strings.TrimLeft(line+" "+word, " ")
		if line != "" && 1.2*footStyle().Width(longer) > width {
			lines = append(lines, line)
			longer = word
		}
		line = longer
	}
	return append(lines, line)
}

func (m *matrix) title() string {
	var names []string
	for _, row := range m.rows {
		names = append(names, plain(row.name))
	}
	return "Comparison of " + strings.Join(names, ", ")
}

// alternative is the whole picture in words.
func (m *matrix) alternative() string {
	var b strings.Builder
	for i, c := range m.columns {
		fmt.Fprintf(&b, "%s, %s, %s, %s is better:", c.Scenario, c.Title, c.Unit, c.better())
		for j, row := range m.rows {
			if j > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " %s %s", plain(row.name), bars{column: c}.label(&row.cells[i]))
		}
		b.WriteString(".\n")
	}
	return b.String()
}

// palette is that of the HTML report. The background is drawn, too: a page that
// shows the picture may be dark when the reader's preference is not.
const palette = `<style>
:root { --paper: #fff; --ink: #1c2330; --grid: #d5dae1; --faint: #5b6573; --line-1: #0b62c4 }
@media (prefers-color-scheme: dark) {
:root { --paper: #12161c; --ink: #e3e7ed; --grid: #39424f; --faint: #9aa5b4; --line-1: #6cb0ff }
}
</style>`

// standalone makes the drawing a file of its own.
func standalone(svg string, width, height vg.Length, title, description string) string {
	_, svg, _ = strings.Cut(svg, "<svg")
	_, body, _ := strings.Cut(svg, ">")
	w, h := width.Points(), height.Points()
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %g %g" role="img" aria-labelledby="title description">`, w, h, w, h) +
		"\n<title id=\"title\">" + markup.EscapeString(title) + "</title>\n<desc id=\"description\">" + markup.EscapeString(description) + "</desc>\n" +
		palette + "\n" + `<rect width="100%" height="100%" style="fill:var(--paper)"/>`
	return head + restyled(body)
}
