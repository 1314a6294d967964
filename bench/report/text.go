package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"roost/bench"
)

// Text writes the result, the verdict last.
func Text(w io.Writer, r *bench.Result) error {
	var p page
	p.phases(r.Phases)
	p.opening(r)
	p.transport(r)
	for i := range r.Parts {
		p.part(&r.Parts[i], len(r.Parts) > 1)
	}
	if len(r.Parts) > 1 {
		p.row("whole run", "")
	}
	p.endings(r)
	p.server(r)
	p.client(&r.Client)
	for _, f := range r.Failures {
		p.row("failure", "%s x %s", grouped(f.Count), f.Reason)
		if f.Remedy != "" {
			p.row("", "%s", f.Remedy)
		}
	}
	for _, warning := range r.Warnings {
		p.row("warning", "%s", warning)
	}
	for _, problem := range r.Problems {
		p.row("problem", "%s", problem)
	}
	p.row("result", "%s", verdict(r))
	_, err := p.WriteTo(w)
	return err
}

func verdict(r *bench.Result) string {
	text := "passed"
	switch {
	case !r.Passed():
		text = "FAILED"
	case r.Client.Bottleneck:
		text = "passed, but NO CLEAN MEASUREMENT: roost-bench itself was the bottleneck"
	}
	if r.Interrupted {
		text += " (interrupted before the end)"
	}
	return text
}

func (p *page) phases(phases []bench.Phase) {
	var each []string
	for _, phase := range phases {
		each = append(each, fmt.Sprintf("%s %.1f"+joint+"s", phase.Name, phase.Length))
	}
	if len(each) > 0 {
		p.row("phases", "%s", strings.Join(each, ", "))
	}
}

func (p *page) opening(r *bench.Result) {
	o := r.Opening
	if o.Wanted == 0 {
		return
	}
	var rest strings.Builder
	if o.Failed > 0 {
		fmt.Fprintf(&rest, ", %s failed", plural(o.Failed, "attempt"))
	}
	if o.NotAttempted > 0 {
		fmt.Fprintf(&rest, ", %s not attempted", grouped(o.NotAttempted))
	}
	if o.GaveUp {
		rest.WriteString(", gave up after too many failures in a row")
	}
	p.row("opened", "%s of %s connections in %.2f"+joint+"s: %s per second%s",
		grouped(o.Opened), grouped(o.Wanted), o.Seconds, perSecond(o.PerSecond), rest.String())
	p.quantiles("handshake", o.Handshake)
}

// endings writes how connections came to their end.
func (p *page) endings(r *bench.Result) {
	if len(r.Closes) > 0 {
		var parts []string
		for _, c := range r.Closes {
			parts = append(parts, c.String())
		}
		p.row("closes", "%s", strings.Join(parts, ", "))
	}
	if c := r.Closing; c.Answered+c.Unanswered > 0 {
		p.row("closing", "%s of %s close frames answered", grouped(c.Answered), grouped(c.Answered+c.Unanswered))
	}
	if r.Pings > 0 {
		p.row("pings", "%s from the server answered", grouped(r.Pings))
	}
}

func (p *page) quantiles(label string, q *bench.Quantiles) {
	if q != nil {
		p.row(label, "p50\u00a0%s  p90\u00a0%s  p99\u00a0%s  p99.9\u00a0%s  max\u00a0%s", micros(q.P50), micros(q.P90), micros(q.P99), micros(q.P999), micros(q.Max))
	}
}

// Recordings writes the text report of each recording, with what it was made of
// and where.
func Recordings(w io.Writer, files []File) error {
	for i, f := range files {
		rec := f.Recording
		var p page
		if i > 0 {
			p.WriteString("\n")
		}
		p.row("file", "%s", f.Name)
		if r := rec.Result; r.Scenario != "" {
			p.row("run", "%s, %s, %s", plain(r.Scenario), some(r.URLs), started(r))
		}
		p.row("roost-bench", "%s", tool(rec.Tool))
		p.row("machine", "%s", machine(rec.Machine))
		if len(rec.Flags) > 0 {
			p.row("flags", "%s", flagLine(rec.Flags))
		}
		if rec.Result.Plan.Conns > 0 {
			p.row("connections", "%s", planInWords(rec.Result.Plan))
		}
		if _, err := p.WriteTo(w); err != nil {
			return err
		}
		if err := Text(w, rec.Result); err != nil {
			return err
		}
	}
	return nil
}

func started(r *bench.Result) string {
	return strings.ReplaceAll(r.Started.UTC().Format("2006-01-02 15:04:05 UTC"), " ", joint)
}

// Checks writes assertions with the measured values.
func Checks(w io.Writer, checks []bench.Check) error {
	var p page
	for _, c := range checks {
		measured := "no data"
		if c.HasData {
			measured = c.Metric.Unit.Format(c.Value)
		}
		outcome := map[bool]string{true: "holds", false: "FAILED"}[c.Holds]
		if c.Unsure {
			outcome += ", but UNSURE: roost-bench itself was the bottleneck"
		}
		p.row("assertion", "%s: %s, %s", c.Text, strings.ReplaceAll(measured, " ", joint), outcome)
	}
	_, err := p.WriteTo(w)
	return err
}

func tool(t bench.Tool) string {
	commit := "commit unknown"
	if t.Commit != "" {
		commit = "commit " + t.Commit
	}
	if t.Modified {
		commit += ", modified"
	}
	return t.Version + ", " + commit
}

func machine(m bench.Machine) string {
	return fmt.Sprintf("%s, %s, %.1f"+joint+"GB, Linux %s, %s, %s local ports",
		cmp.Or(m.CPUModel, "CPU unknown"), plural(m.Cores, "core"), float64(m.MemoryBytes)/1e9, m.Kernel, m.GoVersion, grouped(m.LocalPorts))
}

func flagLine(flags map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		parts = append(parts, "--"+name+"="+flags[name])
	}
	return strings.Join(parts, " ")
}
