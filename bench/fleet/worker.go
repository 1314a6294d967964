package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"roost/bench"
	"roost/bench/scenario"
)

// Serve is the life of a worker process: it reads a job and commands from in,
// plays, and tells what happens to out. When in ends early, so has the process
// that commands, and the worker gives up at once.
func Serve(in io.Reader, out io.Writer) error {
	w := &worker{in: json.NewDecoder(in), out: json.NewEncoder(out)}
	var first command
	if err := w.in.Decode(&first); err != nil || first.Job == nil {
		return errors.Join(errors.New("worker: no job on standard input; this command is for roost-bench itself"), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go w.listen(cancel)
	cfg := first.Job.Config
	cfg.Progress = w.progress()
	report, err := scenario.Play(ctx, cfg, first.Job.Spec, w)
	if err != nil {
		return w.tell(news{Error: err.Error()})
	}
	return w.tell(news{Report: report})
}

// worker is the other side of a process.
type worker struct {
	in *json.Decoder // owned by listen after the job

	mu      sync.Mutex
	out     *json.Encoder
	release func(scenario.Meeting) // nil: waits nowhere
}

func (w *worker) tell(n news) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Encode(n)
}

// listen obeys commands until there are no more.
func (w *worker) listen(stop context.CancelFunc) {
	for {
		var c command
		if err := w.in.Decode(&c); err != nil {
			os.Exit(1) // nobody is left to tell
		}
		if c.Stop {
			stop()
		}
		if c.Release != nil {
			w.mu.Lock()
			release := w.release
			w.mu.Unlock()
			release(*c.Release)
		}
	}
}

// Meet implements scenario.Seat.
func (w *worker) Meet(stage scenario.Stage, share scenario.Share, release func(scenario.Meeting)) {
	w.mu.Lock()
	w.release = release
	w.mu.Unlock()
	_ = w.tell(news{Stage: stage, Share: &share}) // a broken pipe ends listen, too
}

// progress tells every snapshot, and each second once.
func (w *worker) progress() func(bench.Snapshot) {
	told := -1.0
	return func(s bench.Snapshot) {
		if s.Last != nil && s.Last.Start == told {
			s.Last = nil
		} else if s.Last != nil {
			told = s.Last.Start
		}
		_ = w.tell(news{Snapshot: &s})
	}
}

// process is a worker process that has been started.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder

	mu      sync.Mutex
	encoder *json.Encoder // to in
}

// start starts a worker and gives it its job. A terminal's Ctrl-C does not reach
// it: it is told to stop.
func start(cmd *exec.Cmd, j job) (*process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("worker process: %w", err)
	}
	p := &process{cmd: cmd, in: in, out: json.NewDecoder(out), encoder: json.NewEncoder(in)}
	p.command(command{Job: &j})
	return p, nil
}

// command tells the worker. That it has ended is seen where its news are read.
func (p *process) command(c command) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.encoder.Encode(c)
}

// attend reads the worker's news until its report.
func (p *process) attend(s scenario.Seat, progress func(bench.Snapshot)) (*scenario.Report, error) {
	for {
		var n news
		if err := p.out.Decode(&n); err != nil {
			return nil, fmt.Errorf("worker process %d ended before its report: %w", p.cmd.Process.Pid, err)
		}
		switch {
		case n.Error != "":
			return nil, errors.New(n.Error)
		case n.Report != nil:
			return n.Report, nil
		case n.Snapshot != nil:
			progress(*n.Snapshot)
		case n.Share != nil:
			s.Meet(n.Stage, *n.Share, func(m scenario.Meeting) { p.command(command{Release: &m}) })
		}
	}
}

// end closes the pipe, which ends a worker that has not ended, and waits for it.
func (p *process) end() {
	_ = p.in.Close()
	_ = p.cmd.Wait() // the report is complete, or the failure known
}

// playApart has every job played by a process of its own.
func (o *Order) playApart(ctx context.Context, jobs []job, h *hall) ([]*scenario.Report, error) {
	var processes []*process
	defer func() {
		for _, p := range processes {
			p.end()
		}
	}()
	for _, j := range jobs {
		p, err := start(o.Worker(), j)
		if err != nil {
			return nil, err
		}
		processes = append(processes, p)
	}
	stop := context.AfterFunc(ctx, func() {
		for _, p := range processes {
			p.command(command{Stop: true})
		}
	})
	defer stop()

	reports := make([]*scenario.Report, len(jobs))
	board := newBoard(len(jobs), o.Config.Progress)
	failures := make(chan error, len(jobs))
	for i, p := range processes {
		go func() {
			var err error
			reports[i], err = p.attend(h.seat(i), func(s bench.Snapshot) { board.show(i, s) })
			failures <- err
		}()
	}
	var first error
	for range processes {
		if err := <-failures; err != nil && first == nil {
			first = err
			for _, p := range processes {
				_ = p.in.Close() // one is missing at the next meeting: the others would wait for ever
			}
		}
	}
	return reports, first
}
