package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"roost/bench"
	"roost/bench/fleet"
	"roost/bench/report"
	"roost/bench/scenario"
)

func runScenario(ctx context.Context, f *runFlags, recorded map[string]string, stdout, stderr io.Writer) int {
	order, err := f.order()
	demands, err2 := newDemands(f.Assert, f.Strict)
	var plan bench.Plan
	err3 := order.Config.Validate() // of a load that is none no plan can be made
	if len(order.Spec.Groups) > 0 {
		plan, err3 = order.Plan()
	}
	if err := errors.Join(err3, err, err2); err != nil {
		return usage(stderr, err)
	}
	if !f.JSON {
		if err := report.Plan(stdout, order.Spec.Name, f.URL, plan); err != nil {
			return failed(stderr, err)
		}
	}
	progress := newProgress(stderr, f.Quiet)
	order.Config.Progress = progress.show
	result, err := fleet.Run(ctx, order)
	progress.close()
	if err != nil {
		return usage(stderr, err)
	}
	recording, recordErr := keep(f.Out, result, recorded) // before a report that may not be written

	write, notes := report.Text, stdout
	if f.JSON {
		write, notes = report.JSON, stderr
	}
	if err := write(stdout, result); err != nil {
		return failed(stderr, err)
	}
	if recordErr != nil {
		return failed(stderr, recordErr)
	}
	code, err := demands.judge(notes, result)
	if err == nil && recording != "" && !f.JSON {
		_, err = fmt.Fprintf(stdout, "%-14s%s\n", "recording", recording)
	}
	if err != nil {
		return failed(stderr, err)
	}
	return code
}

// order is what the flags ask for. What is wrong with it beyond the error is
// found by its Plan.
func (f *runFlags) order() (fleet.Order, error) {
	spec, err := f.spec()
	o := fleet.Order{
		Config: f.config(), Spec: spec, Processes: int(f.Procs), Worker: worker, PID: f.PID, Exec: f.Exec,
	}
	if f.Metrics != "" {
		var err2 error
		o.Metrics, err2 = bench.NewScrape(f.Metrics, f.MetricsMatch)
		err = errors.Join(err, err2)
	}
	return o, err
}

// worker is this program as a part of a run.
func worker() *exec.Cmd { return exec.Command("/proc/self/exe", "worker") }

// keep writes the recording and returns its path, empty for none.
func keep(out string, result *bench.Result, recorded map[string]string) (path string, err error) {
	switch out {
	case "", "none":
		return "", nil
	case "auto":
		// Milliseconds, since a short run may follow another within a second.
		out = filepath.Join("results", result.Scenario+"-"+result.Started.UTC().Format("20060102T150405.000Z")+".json")
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return "", err
	}
	file, err := os.Create(out)
	if err != nil {
		return "", err
	}
	return out, errors.Join(bench.NewRecording(result, recorded).Write(file), file.Close())
}

// demands are what the user asks of a result beside that nothing is lost.
type demands struct {
	asserts []bench.Assertion
	// clean: a result of which the client was the limit is not good enough.
	clean bool
}

func newDemands(texts []string, strict bool) (demands, error) {
	d := demands{clean: strict}
	var faults []error
	for _, text := range texts {
		a, err := bench.ParseAssertion(text)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		d.asserts = append(d.asserts, a)
		d.clean = d.clean || a.Metric.OfLoad
	}
	return d, errors.Join(faults...)
}

// judge writes what became of the assertions and returns the exit code. What
// the client's own limit cannot have caused comes first; an assertion that it
// makes unsure is neither passed nor failed.
func (d demands) judge(w io.Writer, r *bench.Result) (code int, err error) {
	lost, broken := !r.Passed(), false
	var checks []bench.Check
	for _, a := range d.asserts {
		c := a.Check(r)
		broken = broken || (!c.Holds && !c.Unsure)
		checks = append(checks, c)
	}
	err = report.Checks(w, checks)
	switch {
	case lost:
		return exitLost, err
	case broken:
		if err == nil {
			_, err = fmt.Fprintf(w, "%-14s%s\n", "exit code 1", "the run passed, but an assertion failed")
		}
		return exitLost, err
	case d.clean && r.Client.Bottleneck:
		if err == nil {
			_, err = fmt.Fprintf(w, "%-14s%s\n", "exit code 3", "no clean measurement: roost-bench itself was the bottleneck")
		}
		return exitBottleneck, err
	}
	return exitPassed, err
}

func listScenarios(stdout, stderr io.Writer) int {
	for _, s := range scenario.Presets() {
		if _, err := fmt.Fprintf(stdout, "%-10s measures  %s\n%-10s needs     %s\n", s.Name, s.Measures, "", s.Server); err != nil {
			return failed(stderr, err)
		}
	}
	return exitPassed
}
