package report

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"roost/bench"
)

// heatMap shows how latencies were spread at every time: a column is a second,
// or a few of a long run, a row a span of latencies, and the colour is the share
// of the column's messages. It is a plot.Plotter on a logarithmic y axis.
type heatMap struct {
	width   float64 // of a column, seconds
	end     float64 // of the last one
	columns map[int]map[int]float64
	total   map[int]float64 // latencies of a column
}

const (
	mostColumns   = 120
	rowsPerDecade = 12
)

// heatLevels are the steps of the colour: shares above the first and up to the
// next number, drawn with this opacity. They are the same in all reports, so that
// two can be laid side by side.
var heatLevels = []struct{ above, opacity float64 }{
	{0, 0.1}, {0.001, 0.22}, {0.01, 0.4}, {0.05, 0.6}, {0.2, 0.8}, {0.5, 1},
}

// newHeatMap adds up the distributions of a run's seconds, or returns nil when
// there are none.
func newHeatMap(seconds []bench.Second, of func(*bench.Second) *bench.Spread) *heatMap {
	h := &heatMap{columns: map[int]map[int]float64{}, total: map[int]float64{}}
	for i := range seconds {
		h.end = max(h.end, seconds[i].Start+seconds[i].Length)
	}
	h.width = columnWidth(h.end)
	for i := range seconds {
		of(&seconds[i]).Each(func(from, to, count int64) {
			h.add(int(seconds[i].Start/h.width), float64(max(from, 1)), float64(max(to, from, 1)+1), float64(count))
		})
	}
	if len(h.columns) == 0 {
		return nil
	}
	return h
}

// columnWidth is a round number of seconds that makes no more than mostColumns.
func columnWidth(end float64) float64 {
	for _, width := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800} {
		if end/width <= mostColumns {
			return width
		}
	}
	return math.Ceil(end/mostColumns/3600) * 3600
}

// add shares latencies from low up to but not including high, microseconds, out
// among the rows that they lie in.
func (h *heatMap) add(column int, low, high, count float64) {
	cells := h.columns[column]
	if cells == nil {
		cells = map[int]float64{}
		h.columns[column] = cells
	}
	h.total[column] += count
	from, to := math.Log10(low)*rowsPerDecade, math.Log10(high)*rowsPerDecade
	for row := int(from); float64(row) < to; row++ {
		inside := min(to, float64(row+1)) - max(from, float64(row))
		cells[row] += count * inside / (to - from)
	}
}

// rows is the range of rows that are not empty.
func (h *heatMap) rows() (low, high int) {
	low, high = math.MaxInt, 0
	for _, cells := range h.columns {
		for row := range cells {
			low, high = min(low, row), max(high, row)
		}
	}
	return low, high
}

func rowEdge(row int) float64 { return math.Pow(10, float64(row)/rowsPerDecade) }

// DataRange is the range of the cells.
func (h *heatMap) DataRange() (xmin, xmax, ymin, ymax float64) {
	low, high := h.rows()
	return 0, h.end, rowEdge(low), rowEdge(high + 1)
}

// Plot draws every level as one path.
func (h *heatMap) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	low, high := h.rows()
	paths := make([]vg.Path, len(heatLevels))
	for column := range int(h.end/h.width) + 1 {
		left, right := x(float64(column)*h.width), x(min(float64(column+1)*h.width, h.end))
		for row := low; row <= high; {
			level, from := h.level(column, row), row
			for row <= high && h.level(column, row) == level {
				row++
			}
			if level >= 0 {
				addBox(&paths[level], left, y(rowEdge(from)), right, y(rowEdge(row)))
			}
		}
	}
	for level, path := range paths {
		if len(path) > 0 {
			// Black is left out of the drawing, so that the style sheet decides.
			c.SetColor(color.NRGBA{A: uint8(math.Round(255 * heatLevels[level].opacity))})
			c.Fill(path)
		}
	}
}

// level of a cell; -1: it is empty.
func (h *heatMap) level(column, row int) int {
	count := h.columns[column][row]
	if count == 0 {
		return -1
	}
	level := 0
	for level+1 < len(heatLevels) && count/h.total[column] > heatLevels[level+1].above {
		level++
	}
	return level
}

func addBox(path *vg.Path, left, bottom, right, top vg.Length) {
	path.Move(vg.Point{X: left, Y: bottom})
	path.Line(vg.Point{X: right, Y: bottom})
	path.Line(vg.Point{X: right, Y: top})
	path.Line(vg.Point{X: left, Y: top})
	path.Close()
}
