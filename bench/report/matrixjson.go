package report

import (
	"encoding/json"
	"io"
)

// Of a document for programs; the values of a figure are in its unit.
type (
	matrixDocument struct {
		Figures    []figureDocument `json:"figures"`
		Sides      []sideDocument   `json:"sides"` // the first is the base of the ratios
		Notes      []string         `json:"notes"`
		Conditions []string         `json:"conditions"`
	}
	figureDocument struct {
		Scenario string `json:"scenario"`
		Metric   string `json:"metric"` // as in --assert
		Title    string `json:"title"`
		Unit     string `json:"unit"`
		Better   string `json:"better"` // higher or lower
	}
	sideDocument struct {
		Name  string         `json:"name"`
		Cells []cellDocument `json:"cells"` // in the order of the figures
	}
	cellDocument struct {
		Median     *float64  `json:"median"` // null: no data
		Ratio      *float64  `json:"ratio"`  // to the first side; null: there is none
		Values     []float64 `json:"values"` // of the runs that count, ascending
		Recorded   int       `json:"runs_recorded"`
		Failed     int       `json:"runs_failed"`     // they do not count
		Bottleneck int       `json:"runs_bottleneck"` // the client's own limit; they count
		Notes      []int     `json:"notes"`           // numbers, from 1
	}
)

func (m *matrix) json(w io.Writer) error {
	doc := matrixDocument{Notes: append([]string{}, m.notes...), Conditions: m.conditions} // [] where there are none
	for _, c := range m.columns {
		doc.Figures = append(doc.Figures, figureDocument{c.Scenario, c.metric.Name, c.Title, c.Unit, c.better()})
	}
	for _, row := range m.rows {
		side := sideDocument{Name: row.name}
		for i := range row.cells {
			side.Cells = append(side.Cells, row.cells[i].document())
		}
		doc.Sides = append(doc.Sides, side)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

func (c *matrixCell) document() cellDocument {
	doc := cellDocument{
		Values: append([]float64{}, c.values...), Notes: append([]int{}, c.notes...),
		Recorded: c.recorded, Failed: c.failed, Bottleneck: c.limited,
	}
	if c.has() {
		doc.Median = &c.median
	}
	if c.ratio != 0 {
		doc.Ratio = &c.ratio
	}
	return doc
}
