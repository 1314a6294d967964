package selftest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"roost/bench"
	"roost/bench/fleet"
	"roost/bench/scenario"
)

// load is evenly spaced messages and a freeze, for which the truth follows by
// arithmetic.
type load struct {
	conns    int
	rate     string
	duration time.Duration
	before   time.Duration // of the freeze, in the measured part
	freeze   time.Duration
	// tolerance is what a percentile may differ from the truth, as a share of the
	// freeze: scheduling, and two signals.
	tolerance float64
}

var whole = load{conns: 50, rate: "1000/s", duration: 8 * time.Second, before: 3 * time.Second, freeze: 2 * time.Second, tolerance: 0.05}

// ErrFailed is returned when a check did not hold.
var ErrFailed = errors.New("the self-test failed: this machine, or this build, does not measure right")

// Run performs every check and writes a line for each. server makes the command
// that calls Serve. It takes about 20 s, and returns ErrFailed when a check does
// not hold, or why it could not be made.
func Run(ctx context.Context, server func() *exec.Cmd, w io.Writer) error {
	return run(ctx, whole, server, w)
}

func run(ctx context.Context, l load, server func() *exec.Cmd, w io.Writer) error {
	t := &test{load: l, ctx: ctx, server: server, w: w}
	return errors.Join(t.openLoop(), t.closedLoop(), t.nobodyThere(), t.nothingSent(), t.outcome())
}

type test struct {
	load
	ctx    context.Context
	server func() *exec.Cmd
	w      io.Writer
	failed bool
}

// check writes what was found beside what must be.
func (t *test) check(holds bool, what, found, want string) {
	verdict := "ok"
	if !holds {
		verdict, t.failed = "FAILED", true
	}
	fmt.Fprintf(t.w, "%-6s  %-46s %-12s want %s\n", verdict, what, found, want)
}

func (t *test) outcome() error {
	if t.failed {
		return ErrFailed
	}
	return nil
}

// openLoop: of the messages due while the server was frozen, evenly spaced, the
// first waited for the whole freeze and the last not at all. They are a quarter
// of all, so a tenth of all waited for more than 0.6 of the freeze, and a
// hundredth for more than 0.96.
func (t *test) openLoop() error {
	pace, err := bench.ParsePace(t.rate)
	if err != nil {
		return err
	}
	r, frozen, err := t.frozen(scenario.Options{Conns: t.conns, Rate: pace, Duration: t.duration})
	if err != nil {
		return err
	}
	share := frozen.Seconds() / t.duration.Seconds()
	h := r.Histograms[bench.MessageLatency]
	for _, percent := range []float64{90, 95, 99} {
		truth := frozen.Seconds() * (1 - (1-percent/100)/share)
		found := h.At(percent).Seconds()
		t.check(math.Abs(found-truth) < t.tolerance*frozen.Seconds(), fmt.Sprintf("open loop, server frozen for %v: p%g", t.freeze, percent),
			fmt.Sprintf("%.3f s", found), fmt.Sprintf("%.3f s", truth))
	}
	m := r.Parts[0].Messages
	t.check(r.Passed() && m.Missing == 0, fmt.Sprintf("open loop, server frozen for %v: lost", t.freeze), fmt.Sprint(m.Missing), "0")
	return nil
}

// closedLoop shows the error that the open loop avoids: senders that wait for
// the frozen server send nothing, so the freeze is one message of each.
func (t *test) closedLoop() error {
	r, _, err := t.frozen(scenario.Options{Conns: t.conns, Duration: t.duration})
	if err != nil {
		return err
	}
	p99 := r.Histograms[bench.MessageLatency].At(99)
	t.check(p99 < t.freeze/4, "closed loop, same freeze: p99 does not see it", fmt.Sprintf("%.4f s", p99.Seconds()), "under "+(t.freeze/4).String())
	longest := time.Duration(r.Parts[0].Messages.Latency.Max) * time.Microsecond
	t.check(longest >= t.freeze*9/10, "closed loop, same freeze: max does", fmt.Sprintf("%.3f s", longest.Seconds()), "about "+t.freeze.String())
	return nil
}

// nobodyThere: a run in which no connection opened must not pass.
func (t *test) nobodyThere() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	r, err := t.play(address, scenario.Options{Conns: 1, Messages: 1, Duration: time.Second}, nil)
	if err != nil {
		return err
	}
	t.check(!r.Passed(), "nobody listens: the run fails", verdict(r), "failed")
	return nil
}

// nothingSent: a run in which nothing was measured must not pass either.
func (t *test) nothingSent() error {
	return t.serve(func(address string, _ int) error {
		r, err := t.play(address, scenario.Options{Conns: 1, Messages: 1, WarmUpMessages: 1, Duration: time.Second}, nil)
		if err == nil {
			t.check(!r.Passed(), "nothing but warm-up: the run fails", verdict(r), "failed")
		}
		return err
	})
}

func verdict(r *bench.Result) string {
	if r.Passed() {
		return "passed"
	}
	return "failed"
}

// frozen plays echo against a server that is stopped in the middle, and returns
// for how long it was.
func (t *test) frozen(o scenario.Options) (r *bench.Result, frozen time.Duration, err error) {
	err = t.serve(func(address string, pid int) error {
		var once sync.Once
		var done sync.WaitGroup
		var signals error
		r, err = t.play(address, o, func(s bench.Snapshot) {
			if s.Phase == "measure" {
				once.Do(func() { done.Go(func() { frozen, signals = t.stopFor(pid) }) })
			}
		})
		done.Wait()
		return errors.Join(err, signals)
	})
	return r, frozen, err
}

// stopFor freezes a process and returns for how long it was.
func (t *test) stopFor(pid int) (time.Duration, error) {
	time.Sleep(t.before) // the measured part is to be under way
	start := time.Now()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		return 0, err
	}
	time.Sleep(t.freeze)
	err := unix.Kill(pid, unix.SIGCONT)
	return time.Since(start), err
}

func (t *test) play(address string, o scenario.Options, progress func(bench.Snapshot)) (*bench.Result, error) {
	spec, err := scenario.Preset(scenario.NameEcho, o)
	if err != nil {
		return nil, err
	}
	r, err := fleet.Run(t.ctx, fleet.Order{
		Config: bench.Config{URLs: []string{"ws://" + address + "/"}, Progress: progress},
		Spec:   spec, Processes: 1,
	})
	if err == nil && t.ctx.Err() != nil {
		err = t.ctx.Err()
	}
	return r, err
}

// serve calls use with the address and process of a server of its own.
func (t *test) serve(use func(address string, pid int) error) error {
	cmd := t.server()
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("server process: %w", err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		err = use(strings.TrimSpace(address), cmd.Process.Pid)
	}
	return errors.Join(err, in.Close(), cmd.Wait())
}
