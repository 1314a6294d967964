package report

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"roost/bench"
)

// metricGroup is metrics that belong together: of a run of one part, of a part of
// several, or of what such parts have in common.
type metricGroup struct {
	Part    string // empty: not of a part
	Metrics []bench.Metric

	common bool // the parts are left out
}

// metricGroups sorts the metrics by what they are of. In runs of several parts
// a part has what its own traffic decides, and the rest is common.
func metricGroups(results ...*bench.Result) []metricGroup {
	several := slices.ContainsFunc(results, func(r *bench.Result) bool { return len(r.Parts) > 1 })
	groups := []metricGroup{{Metrics: bench.Metrics(), common: several}}
	known := map[string]bool{}
	for _, r := range results {
		for _, part := range r.Parts {
			if !several || known[part.Name] {
				continue
			}
			known[part.Name] = true
			group := metricGroup{Part: part.Name}
			for _, m := range bench.Metrics() {
				if slices.ContainsFunc(results, func(r *bench.Result) bool { return ofPart(m, r, part.Name) }) {
					group.Metrics = append(group.Metrics, m.Of(part.Name))
				}
			}
			groups = append(groups, group)
		}
	}
	return groups
}

// ofPart tells whether the part has data for the metric by itself.
func ofPart(m bench.Metric, r *bench.Result, name string) bool {
	if m.Name == "closed_by_server" {
		return false // nobody counts the closes by part
	}
	for _, p := range r.Parts {
		_, ok := m.Value(&bench.Result{Parts: []bench.Part{p}})
		if p.Name == name && ok {
			return true
		}
	}
	return false
}

// value is that of one of the group's metrics.
func (g metricGroup) value(m bench.Metric, r *bench.Result) (float64, bool) {
	if g.common {
		common := *r
		common.Parts = nil
		r = &common
	}
	return m.Value(r)
}

// metricRow is a metric with its value in words.
type metricRow struct{ Name, Value, Help string }

// values lists the metrics of a group that the result has data for.
func (g metricGroup) values(r *bench.Result) (rows []metricRow) {
	for _, m := range g.Metrics {
		if v, ok := g.value(m, r); ok {
			name := strings.TrimPrefix(m.Name, g.Part+".")
			text := m.Unit.Format(v)
			if m.Unit == bench.UnitShare {
				text = percent(v)
			}
			rows = append(rows, metricRow{strings.ReplaceAll(name, "_", " "), text, m.Help})
		}
	}
	return rows
}

// serverMetric is a series of the server's own metrics in words.
type serverMetric struct {
	Name, Before, After, Change string

	change bench.MetricChange
}

// scrapedMetrics lists all series by name.
func scrapedMetrics(metrics map[string]bench.MetricChange) (list []serverMetric) {
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		list = append(list, inWords(name, metrics[name]))
	}
	return list
}

// changedMetrics lists the series that changed, the most telling first: what
// went wrong, then what the server says of its own work, then what its runtime
// says; the greater change first.
func changedMetrics(metrics map[string]bench.MetricChange) []serverMetric {
	var list []serverMetric
	for _, m := range scrapedMetrics(metrics) {
		if m.change.Before != m.change.After {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b serverMetric) int {
		return cmp.Or(cmp.Compare(a.kind(), b.kind()), -cmp.Compare(a.growth(), b.growth()))
	})
	return list
}

func (m serverMetric) kind() int {
	contains := func(word string) bool { return strings.Contains(m.Name, word) }
	begins := func(word string) bool { return strings.HasPrefix(m.Name, word) }
	switch {
	case slices.ContainsFunc([]string{"go_", "process_", "promhttp_", "scrape_"}, begins):
		return 2
	case slices.ContainsFunc([]string{"error", "fail", "drop", "refus", "reject", "overflow", "timeout", "evict", "lost"}, contains):
		return 0
	}
	return 1
}

// growth is how many times as large a value has become, whether up or down.
func (m serverMetric) growth() float64 {
	low, high := math.Abs(m.change.Before), math.Abs(m.change.After)
	return (max(low, high) + 1) / (min(low, high) + 1)
}

// inWords adds the unit that the name ends with, as the Prometheus conventions
// have it.
func inWords(name string, change bench.MetricChange) serverMetric {
	base, _, _ := strings.Cut(name, "{")
	base = strings.TrimSuffix(strings.TrimSuffix(base, "_total"), "_sum")
	write := number
	switch {
	case strings.HasSuffix(base, "_bytes"):
		write = size
	case strings.HasSuffix(base, "_seconds"):
		write = func(v float64) string { return number(v) + joint + "s" }
	}
	difference := write(change.After - change.Before)
	if change.After > change.Before {
		difference = "+" + difference
	}
	return serverMetric{name, write(change.Before), write(change.After), difference, change}
}

// trimmed writes up to so many decimal places.
func trimmed(v float64, places int) string {
	scale := math.Pow10(places)
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64)
}

// number writes whole numbers in full and others with three decimal places or
// three digits, whichever says more.
func number(v float64) string {
	switch {
	case v == math.Trunc(v) && math.Abs(v) < 1e15:
		return grouped(int64(v))
	case math.Abs(v) >= 1 && math.Abs(v) < 1e6:
		return trimmed(v, 3)
	}
	return short(v)
}
