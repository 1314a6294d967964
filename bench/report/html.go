package report

import (
	_ "embed"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"

	"roost/bench"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// section is one recording on the page.
type section struct {
	Name, Scenario, URL, Started string
	Verdict                      string
	Passed                       bool
	Notes                        []string // problems, then warnings
	Tool, Machine                string
	Metrics                      []row
	Flags                        []row
	Figures                      []drawn
}

type row struct{ Name, Value, Help string }

// drawn is a figure whose SVG comes from our own drawing and needs no escape.
type drawn struct {
	ID, Title string
	SVG       template.HTML
}

// html writes one page that needs nothing else: no script, no font, no network.
func html(w io.Writer, files []File) error {
	var sections []section
	for _, f := range files {
		s, err := newSection(f)
		if err != nil {
			return err
		}
		sections = append(sections, s)
	}
	return pageTemplate.Execute(w, sections)
}

func newSection(f File) (section, error) {
	rec := f.Recording
	r := rec.Result
	s := section{
		Name: f.Name, Scenario: r.Scenario, URL: r.URL, Started: r.Started.UTC().Format("2006-01-02 15:04:05 UTC"),
		Verdict: verdict(r), Passed: r.Passed() && !r.Client.Bottleneck,
		Notes: append(slices.Clone(r.Problems), r.Warnings...),
		Tool:  tool(rec.Tool), Machine: machine(rec.Machine),
	}
	for _, m := range bench.Metrics() {
		if v, ok := m.Value(r); ok {
			s.Metrics = append(s.Metrics, row{strings.ReplaceAll(m.Name, "_", " "), m.Unit.Format(v), m.Help})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rec.Flags)) {
		s.Flags = append(s.Flags, row{Name: "--" + name, Value: rec.Flags[name]})
	}
	list, err := figures(rec)
	for _, figure := range list {
		s.Figures = append(s.Figures, drawn{figure.ID, figure.Title, template.HTML(figure.SVG)})
	}
	return s, err
}
