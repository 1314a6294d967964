package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"roost/bench"
)

// matrixConditions says in phrases how the runs were made: where, with what, how
// often, and how large each scenario was. What differs between runs is listed.
func matrixConditions(sides []Side, scenarios []string) (list []string) {
	var all []*bench.Recording
	for _, s := range sides {
		for _, name := range scenarios {
			all = append(all, s.of(name)...)
		}
	}
	say := func(of func(*bench.Recording) string) {
		if text := values(all, of); text != "" {
			list = append(list, text)
		}
	}
	say(where)
	say(func(rec *bench.Recording) string { return "Linux " + cmp.Or(rec.Machine.Kernel, "unknown") })
	say(func(rec *bench.Recording) string { return cmp.Or(rec.Machine.GoVersion, "Go unknown") })
	say(shortTool)
	say(func(rec *bench.Recording) string {
		if s := rec.Result.Server; s != nil && s.PID != 0 {
			return "server and client on one machine"
		}
		return ""
	})
	list = append(list, transports(all)...)
	list = append(list, rounds(sides, scenarios))
	for _, name := range scenarios {
		var runs []*bench.Recording
		for _, s := range sides {
			runs = append(runs, s.of(name)...)
		}
		list = append(list, name+": "+strings.TrimSuffix(connectionsInWords(runs)+", "+values(runs, load), ", "))
	}
	return list
}

// values joins what of says of the recordings, each once.
func values(all []*bench.Recording, of func(*bench.Recording) string) string {
	seen := map[string]bool{}
	for _, rec := range all {
		seen[of(rec)] = true
	}
	delete(seen, "")
	return strings.Join(slices.Sorted(maps.Keys(seen)), " or ")
}

func where(rec *bench.Recording) string {
	m := rec.Machine
	return fmt.Sprintf("%s, %s, %.1f"+joint+"GB", cmp.Or(m.CPUModel, "CPU unknown"), plural(m.Cores, "core"), float64(m.MemoryBytes)/1e9)
}

// shortTool names the commit with as many digits as git does.
func shortTool(rec *bench.Recording) string {
	t := rec.Tool
	if t.Commit == "" {
		return "commit unknown"
	}
	text := "commit " + t.Commit[:min(12, len(t.Commit))]
	if t.Modified {
		text += " with changes"
	}
	return text
}

// rounds is how many runs the cells have, as a number or a range.
func rounds(sides []Side, scenarios []string) string {
	var counts []int
	for _, s := range sides {
		for _, name := range scenarios {
			if n := len(s.of(name)); n > 0 {
				counts = append(counts, n)
			}
		}
	}
	low, high := slices.Min(counts), slices.Max(counts)
	if low == high {
		return plural(high, "round")
	}
	return fmt.Sprintf("%d to %s", low, plural(high, "round"))
}

func connectionsInWords(runs []*bench.Recording) string {
	counts := map[int]bool{}
	for _, rec := range runs {
		counts[rec.Result.Plan.Conns] = true
	}
	var each []string
	for _, n := range slices.Sorted(maps.Keys(counts)) {
		each = append(each, grouped(n))
	}
	return strings.Join(each, " or ") + joint + "connections"
}

// load is what the connections of a run sent; empty: nothing.
func load(rec *bench.Recording) string {
	var each []string
	parts := rec.Result.Parts
	for i := range parts {
		m := parts[i].Messages
		if m == nil {
			continue
		}
		text := m.Payload
		if len(parts) > 1 {
			text = parts[i].Name + " " + text
		}
		if m.Load != "" {
			text += " (" + m.Load + ")"
		}
		each = append(each, text)
	}
	return strings.Join(each, ", ")
}
