package fleet

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"roost/bench"
	"roost/bench/scenario"
)

// Order says what to play, and beside which server.
type Order struct {
	Config bench.Config // Conns is taken from Spec
	Spec   scenario.Spec
	// Processes is the number of client processes; 0: as many as the limit of
	// descriptors makes necessary.
	Processes int
	// Worker makes the command that calls Serve. Nil: only one process is possible.
	Worker func() *exec.Cmd

	// PID of the server, whose memory and processor time are read from /proc; 0
	// reads none.
	PID int
	// Exec is a shell command that starts the server, which is stopped in the end.
	Exec string
	// Metrics are scraped once a second; nil: none.
	Metrics *bench.Scrape
}

// Plan checks the order and says what the run will use of the machine.
func (o *Order) Plan() (bench.Plan, error) {
	o.Config.Conns = o.Spec.Conns()
	err := o.Spec.Validate()
	if o.PID < 0 {
		err = errors.Join(err, fmt.Errorf("pid: %d, want a process id or 0", o.PID))
	}
	if o.PID != 0 && o.Exec != "" {
		err = errors.Join(err, errors.New("a pid and a command that starts the server: want one of them"))
	}
	if err := errors.Join(o.Config.Validate(), err); err != nil {
		return bench.Plan{}, err
	}
	plan, err := bench.NewPlan(o.Config, o.Processes)
	switch {
	case err != nil:
		return plan, err
	case plan.Processes > 1 && o.Worker == nil:
		return plan, fmt.Errorf("%d processes are needed, and there is no command to start them", plan.Processes)
	case plan.Processes > 1 && o.Spec.Unstamped():
		return plan, fmt.Errorf("messages without {{stamp}} are matched by order, which takes one process, not %d: "+
			"put {{stamp}} into the template, or use fewer connections", plan.Processes)
	}
	return plan, nil
}

// Run plays the order by its plan and returns what was found. It ends early, in
// order, when ctx ends. The error is about the run as such: wrong values, limits
// of the machine, a worker that failed; what the server did wrong is in the
// result's Problems.
func Run(ctx context.Context, o Order) (*bench.Result, error) {
	plan, err := o.Plan()
	if err != nil {
		return nil, err
	}
	run := scenario.Run{Config: o.Config, Spec: o.Spec, Plan: plan, Started: time.Now()}
	if o.Exec != "" {
		server, err := startServer(ctx, o.Exec, plan.TargetAddresses[0])
		if err != nil {
			return nil, err
		}
		defer server.stop()
		o.PID, run.Server.Command = server.pid(), o.Exec
	}
	m, err := newMonitor(&o) // a wrong pid or URL is worth knowing before the run
	if err != nil {
		return nil, err
	}
	o.Config.Epoch = bench.Monotonic()
	watch := bench.StartWatch(o.PID, o.Metrics, o.Config.Epoch)
	defer watch.Stop(nil)
	sum, err := o.play(ctx, plan, newHall(plan.Processes, o.Config.Epoch, m.met))
	if err != nil {
		return nil, err
	}
	watch.Stop(sum.Seconds)
	command := run.Server.Command
	run.Server = m.result()
	run.Server.Command = command
	return scenario.Conclude(run, sum), nil
}

// play has every agent play its share and adds up their reports.
func (o *Order) play(ctx context.Context, plan bench.Plan, h *hall) (*scenario.Report, error) {
	var random [4]byte
	rand.Read(random[:])
	o.Spec.Run = binary.LittleEndian.Uint32(random[:])
	var jobs []job
	for i, share := range o.Spec.Split(plan.Processes) {
		cfg := o.Config
		cfg.Conns, cfg.Sources = share.Conns(), plan.SourcesOf(i)
		jobs = append(jobs, job{Config: cfg, Spec: share})
	}
	if len(jobs) == 1 {
		return scenario.Play(ctx, jobs[0].Config, jobs[0].Spec, h.seat(0))
	}
	reports, err := o.playApart(ctx, jobs, h)
	if err != nil {
		return nil, err
	}
	for _, r := range reports[1:] {
		reports[0].Add(r)
	}
	return reports[0], nil
}
