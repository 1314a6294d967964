package report

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"

	"roost/bench"
)

// Names of the formats of Matrix.
const (
	MatrixText     = "matrix"   // for a terminal, 80 columns
	MatrixMarkdown = "markdown" // one table, for a README
	MatrixJSON     = "json"     // every cell with its runs, units in the names
	MatrixSVG      = "svg"      // one picture, light or dark as the reader has it
)

// ErrMatrix is returned when no recording is of a scenario the matrix has a column for.
var ErrMatrix = errors.New("nothing to put into a matrix")

// Matrix writes one table of several sides and several scenarios: a row for every
// side, a column for every figure of the scenarios that somebody has run. A cell is
// the median of the side's runs, their spread, and the ratio to the first side.
// Runs that failed do not count, and runs of which the client was the limit do; a
// numbered note tells of either.
func Matrix(w io.Writer, format string, sides []Side) error {
	m, err := newMatrix(sides)
	if err != nil {
		return err
	}
	switch format {
	case MatrixText:
		return m.text(w)
	case MatrixMarkdown:
		return m.markdown(w)
	case MatrixJSON:
		return m.json(w)
	case MatrixSVG:
		return m.svg(w)
	}
	return fmt.Errorf("%w %q", ErrFormat, format)
}

// matrix is the table before it is written.
type matrix struct {
	columns    []matrixColumn
	rows       []matrixRow
	notes      []string // a cell refers to them by number, from 1
	conditions []string
}

type matrixRow struct {
	name  string
	cells []matrixCell // one for each column
}

// matrixCell is one figure of one side.
type matrixCell struct {
	values   []float64 // of the runs that count, in the column's unit, ascending; none: no data
	median   float64
	ratio    float64 // to the first side; 0: there is none
	recorded int     // runs of the scenario
	failed   int     // of them, which do not count
	limited  int     // of those that count: the client was the bottleneck, and that bears on the figure
	notes    []int
}

func newMatrix(sides []Side) (*matrix, error) {
	if len(sides) == 0 {
		return nil, fmt.Errorf("%w: want a side or more", ErrSides)
	}
	m := &matrix{}
	for _, c := range matrixColumns() {
		if slices.ContainsFunc(sides, func(s Side) bool { return len(s.of(c.Scenario)) > 0 }) {
			m.columns = append(m.columns, c)
		}
	}
	if len(m.columns) == 0 {
		return nil, fmt.Errorf("%w: want recordings of %s", ErrMatrix, strings.Join(scenariosOf(matrixColumns()), ", "))
	}
	for _, s := range sides {
		row := matrixRow{name: s.Name}
		if len(s.Files) == 0 {
			m.note(plain(s.Name) + " has no recording")
		}
		for i, c := range m.columns {
			cell := m.cell(s, c, sides)
			if len(m.rows) > 0 && c.over == "" { // else it is a ratio already
				cell.compareTo(m.rows[0].cells[i])
			}
			row.cells = append(row.cells, cell)
		}
		m.rows = append(m.rows, row)
	}
	m.leftOut(sides)
	m.conditions = matrixConditions(sides, scenariosOf(m.columns))
	return m, nil
}

// of is the side's recordings of a scenario.
func (s Side) of(scenario string) (list []*bench.Recording) {
	for _, f := range s.Files {
		if f.Recording.Result.Scenario == scenario {
			list = append(list, f.Recording)
		}
	}
	return list
}

// cell works a figure out. all are the sides of the table, which the conditions
// of this one should be those of.
func (m *matrix) cell(s Side, c matrixColumn, all []Side) matrixCell {
	recordings := s.of(c.Scenario)
	cell, why := c.figure(recordings)
	if c.over != "" {
		base, _ := c.figure(s.of(c.over))
		cell.divide(base.median)
	}
	rounds, conns := most(all, c.Scenario)
	name := plain(s.Name) + ", " + c.Scenario + ": "
	note := func(format string, args ...any) {
		cell.notes = append(cell.notes, m.note(fmt.Sprintf(format, args...)))
	}
	if cell.failed > 0 {
		note("%s%d of %s left out as failed: %s", name, cell.failed, plural(cell.recorded, "run"), why)
	}
	if cell.recorded > 0 && cell.recorded < rounds {
		note("%s%d of %d rounds were recorded", name, cell.recorded, rounds)
	}
	if cell.limited > 0 {
		note("roost-bench itself was the bottleneck, in one run or more: the server may do better")
	}
	if n := connections(recordings); cell.recorded > 0 && n < conns {
		note("%s connections in place of %s", grouped(n), grouped(conns))
	}
	slices.Sort(cell.notes)
	return cell
}

// figure is the column's figure of these recordings, and why the last of those
// that failed did.
func (c matrixColumn) figure(recordings []*bench.Recording) (cell matrixCell, why string) {
	cell.recorded = len(recordings)
	for _, rec := range recordings {
		r := rec.Result
		if reason := unusable(r); reason != "" {
			cell.failed++
			why = reason
			continue
		}
		v, ok := c.metric.Value(r)
		if !ok {
			continue
		}
		cell.values = append(cell.values, v/c.scale)
		if c.metric.OfLoad && r.Client.Bottleneck {
			cell.limited++
		}
	}
	if cell.has() {
		sample := benchmath.NewSample(cell.values, &benchmath.Thresholds{CompareAlpha: alpha})
		cell.values, cell.median = sample.Values, median(sample)
	}
	return cell, why
}

// divide makes unit the unit; without one there are no data.
func (c *matrixCell) divide(unit float64) {
	if unit <= 0 {
		c.values, c.median = nil, 0
		return
	}
	for i := range c.values {
		c.values[i] /= unit
	}
	c.median /= unit
}

// unusable is why the numbers of a run do not count; empty: they do.
func unusable(r *bench.Result) string {
	switch {
	case len(r.Problems) > 0:
		return strings.Join(strings.Fields(r.Problems[0]), " ")
	case r.Interrupted:
		return "it was interrupted"
	}
	return ""
}

// most is the greatest number of runs any side has of a scenario, and of connections.
func most(sides []Side, scenario string) (runs, conns int) {
	for _, s := range sides {
		recordings := s.of(scenario)
		runs, conns = max(runs, len(recordings)), max(conns, connections(recordings))
	}
	return runs, conns
}

func connections(recordings []*bench.Recording) (conns int) {
	for _, rec := range recordings {
		conns = max(conns, rec.Result.Plan.Conns)
	}
	return conns
}

// note returns the number of a note; the same text has the same one.
func (m *matrix) note(text string) int {
	i := slices.Index(m.notes, text)
	if i < 0 {
		i = len(m.notes)
		m.notes = append(m.notes, text)
	}
	return i + 1
}

// leftOut notes the recordings there is no column for.
func (m *matrix) leftOut(sides []Side) {
	unknown := map[string]bool{}
	for _, s := range sides {
		for _, f := range s.Files {
			if name := f.Recording.Result.Scenario; !slices.Contains(scenariosOf(m.columns), name) {
				unknown[plain(name)] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		m.note("recordings of " + name + " are left out: the matrix has no column for them")
	}
}

func (c *matrixCell) has() bool { return len(c.values) > 0 }

// compareTo sets the ratio to the cell of the first side.
func (c *matrixCell) compareTo(base matrixCell) {
	if c.has() && base.has() && base.median > 0 && c.median > 0 {
		c.ratio = c.median / base.median
	}
}

// spread is half the range in percent of the median; ok is false for fewer than
// two runs.
func (c *matrixCell) spread() (percent float64, ok bool) {
	if len(c.values) < 2 || c.median <= 0 {
		return 0, false
	}
	return 100 * (c.values[len(c.values)-1] - c.values[0]) / 2 / c.median, true
}
