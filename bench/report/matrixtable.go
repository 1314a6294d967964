package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const ratioInWords = "ratio to "

// text writes a table for each scenario: all figures side by side would not fit
// a terminal.
func (m *matrix) text(w io.Writer) error {
	var p page
	for i, name := range scenariosOf(m.columns) {
		if i > 0 {
			p.WriteString("\n")
		}
		p.scenarioTable(m, name)
	}
	fmt.Fprintf(&p, "\nEach figure: median ± half the range of its runs, %s%s.\n-: no data.\n", ratioInWords, plain(m.rows[0].name))
	for i, note := range m.notes {
		p.row(raised(i+1), "%s", note)
	}
	for i, condition := range m.conditions {
		label := ""
		if i == 0 {
			label = "conditions"
		}
		p.row(label, "%s", condition)
	}
	_, err := p.WriteTo(w)
	return err
}

const (
	sideWidth   = 18
	figureWidth = 30
)

func (p *page) scenarioTable(m *matrix, scenario string) {
	head, units := padded(scenario, sideWidth), padded("", sideWidth)
	for _, c := range m.columns {
		if c.Scenario == scenario {
			head += padded(c.Title, figureWidth)
			units += padded(c.Unit+", "+c.better()+" is better", figureWidth)
		}
	}
	p.tableLine(head)
	p.tableLine(units)
	for _, row := range m.rows {
		line := padded(clip(plain(row.name), sideWidth-1), sideWidth)
		for i, c := range m.columns {
			if c.Scenario == scenario {
				line += padded(c.inWords(&row.cells[i]), figureWidth)
			}
		}
		p.tableLine(line)
	}
}

func (p *page) tableLine(line string) { p.WriteString(strings.TrimRight(line, " ") + "\n") }

func padded(text string, width int) string {
	return text + strings.Repeat(" ", max(1, width-utf8.RuneCountInString(text)))
}

// inWords aligns number, spread, ratio and signs.
func (c matrixColumn) inWords(cell *matrixCell) string {
	if !cell.has() {
		return "- " + cell.signs()
	}
	text := padded(c.number(cell.median), 7) + padded(strings.ReplaceAll(cell.spreadInWords(), joint, " "), 9)
	return strings.TrimRight(text+padded(cell.factor(), 7)+cell.signs(), " ")
}

// markdown writes one table. A cell has its number and the ratio in the first
// line, and the spread in the second, so that a README has room for all columns.
func (m *matrix) markdown(w io.Writer) error {
	var p page
	p.WriteString("| server |")
	for _, c := range m.columns {
		fmt.Fprintf(&p, " **%s**<br>%s<br>(%s) |", c.Scenario, c.Title, c.Unit)
	}
	p.WriteString("\n| --- |" + strings.Repeat(" --: |", len(m.columns)) + "\n")
	for _, row := range m.rows {
		fmt.Fprintf(&p, "| %s |", inMarkdown(row.name))
		for i, c := range m.columns {
			fmt.Fprintf(&p, " %s |", c.markdownCell(&row.cells[i]))
		}
		p.WriteString("\n")
	}
	fmt.Fprintf(&p, "\nMedian ± half the range of the runs; in parentheses the %s%s. -: no data.\n", ratioInWords, inMarkdown(m.rows[0].name))
	for i, note := range m.notes {
		fmt.Fprintf(&p, "%s %s.\n", raised(i+1), inMarkdown(note))
	}
	fmt.Fprintf(&p, "\n%s.\n", inMarkdown(strings.Join(m.conditions, "; ")))
	_, err := p.WriteTo(w)
	return err
}

func (c matrixColumn) markdownCell(cell *matrixCell) string {
	if !cell.has() {
		return "-" + cell.signs()
	}
	text := c.number(cell.median)
	if factor := cell.factor(); factor != "" {
		text += joint + "(" + factor + ")"
	}
	return text + cell.signs() + "<br>" + strings.ReplaceAll(cell.spreadInWords(), " ", joint)
}

// inMarkdown keeps names and reasons from being taken for marks.
var markdownEscapes = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`, "`", "\\`", "\n", " ")

func inMarkdown(text string) string {
	return markdownEscapes.Replace(strings.ReplaceAll(plain(strings.ReplaceAll(text, joint, " ")), "\u00a0", " "))
}
