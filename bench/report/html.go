package report

import (
	_ "embed"
	"fmt"
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

// document is the whole page.
type document struct {
	Comparison []figure
	Sections   []section
}

// section is one recording on the page.
type section struct {
	Name, Scenario, URLs, Started string
	Verdict                       string
	Passed                        bool
	Notes                         []string // problems, then warnings
	Phases                        string
	Parts                         []partWords
	Figures                       []figure
	Groups                        []metricTable
	Scraped                       []serverMetric
	Conditions                    []row // how it was measured
	Flags                         []row
}

// partWords says how a part's messages were sent.
type partWords struct{ Name, Text string }

// metricTable is the metrics of a part, or of the run.
type metricTable struct {
	Title string
	Rows  []metricRow
}

type row struct{ Name, Value string }

// html writes one page that needs nothing else: no script, no font, no network.
func html(w io.Writer, files []File) error {
	var doc document
	var err error
	if doc.Comparison, err = comparisonFigures(files); err != nil {
		return err
	}
	for _, f := range files {
		s, err := newSection(f)
		if err != nil {
			return err
		}
		doc.Sections = append(doc.Sections, s)
	}
	return pageTemplate.Execute(w, doc)
}

func newSection(f File) (section, error) {
	rec := f.Recording
	r := rec.Result
	s := section{
		Name: f.Name, Scenario: r.Scenario, URLs: some(r.URLs), Started: started(r),
		Verdict: verdict(r), Passed: r.Passed() && !r.Client.Bottleneck,
		Notes:  append(slices.Clone(r.Problems), r.Warnings...),
		Phases: phasesInWords(r.Phases), Parts: parts(r),
		Conditions: conditionRows(rec),
	}
	for _, g := range metricGroups(r) {
		if rows := g.values(r); len(rows) > 0 {
			s.Groups = append(s.Groups, metricTable{g.title(), rows})
		}
	}
	if r.Server != nil {
		s.Scraped = scrapedMetrics(r.Server.Metrics)
	}
	for _, name := range slices.Sorted(maps.Keys(rec.Flags)) {
		s.Flags = append(s.Flags, row{"--" + name, rec.Flags[name]})
	}
	var err error
	s.Figures, err = recordingFigures(rec)
	return s, err
}

func phasesInWords(phases []bench.Phase) string {
	var each []string
	for _, p := range phases {
		each = append(each, fmt.Sprintf("%s %s to %s"+joint+"s", p.Name, trimmed(p.Start, 1), trimmed(p.Start+p.Length, 1)))
	}
	return strings.Join(each, ", ")
}

// parts says of each part what it did.
func parts(r *bench.Result) (list []partWords) {
	for i := range r.Parts {
		part := &r.Parts[i]
		text := fmt.Sprintf("%s, %s", part.Role, plural(part.Conns, "connection"))
		if m := part.Messages; m != nil {
			for _, more := range []string{m.Payload, m.Load, loopInWords(m)} {
				if more != "" {
					text += "; " + more
				}
			}
		}
		list = append(list, partWords{part.Name, text})
	}
	return list
}

func (g metricGroup) title() string {
	switch {
	case g.Part != "":
		return "Part " + g.Part
	case g.common:
		return "Whole run"
	}
	return "Numbers"
}

// conditionRows is how the run was made, beside its flags.
func conditionRows(rec *bench.Recording) []row {
	rows := []row{{"machine", machine(rec.Machine)}, {"roost-bench", tool(rec.Tool)}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, row{name, value})
		}
	}
	r := rec.Result
	if r.Plan.Conns > 0 {
		add("connections", planInWords(r.Plan))
		add("targets", some(r.Plan.TargetAddresses))
	}
	if len(r.TLS) > 0 {
		add("TLS", tlsInWords(rec))
	}
	if r.Compression != nil {
		add("compression", compressionInWords(rec))
	}
	if r.Client.Processes > 0 {
		add("client", plural(r.Client.Processes, "process"))
	}
	if r.Server != nil {
		add("server", r.Server.Command)
	}
	return rows
}
