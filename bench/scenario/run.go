package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roost/bench"
)

// work is the measured part of a scenario.
type work interface {
	bench.Handler
	// run does the work on open connections. When ctx ends it must come to an
	// orderly end by itself and soon.
	run(ctx context.Context, s *session) error
	// fill adds the scenario's own part to the result.
	fill(s *session)
	// units is how much was done, for the server's cost per unit.
	units() int64
}

// session is one run: the client, what was sampled on the way, the result.
type session struct {
	cl   *bench.Client
	cfg  bench.Config
	opt  Options
	res  *bench.Result
	load bench.Load // the client's effort in the measured part

	before, open, begin, end bench.ProcessUsage // of the server, with cfg.PID
	sampleErr                error
}

// Run plays one scenario and returns what it found. It ends early, in order,
// when ctx ends. The error is about the run as such: wrong values, limits of
// the machine; what the server did wrong is in the result's Problems.
func Run(ctx context.Context, name string, cfg bench.Config, opt Options) (*bench.Result, error) {
	if err := errors.Join(cfg.Validate(), opt.Validate(name, cfg.Conns)); err != nil {
		return nil, err
	}
	plan, err := bench.NewPlan(cfg)
	if err != nil {
		return nil, err
	}
	s := &session{cfg: cfg, opt: opt, res: &bench.Result{Scenario: name, URL: cfg.URL, Plan: plan, Started: time.Now()}}
	if err := s.sample(&s.before); err != nil {
		return nil, err // a wrong pid is worth knowing before the run
	}
	var w work
	switch name {
	case Idle:
		w = &idle{}
	case Broadcast:
		w = newBroadcast(s)
	case Echo:
		w = newEcho(s)
	case Churn:
		w = &churn{s: s}
	}
	s.cl, err = bench.NewClient(cfg, plan, w)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.cl.Release() }() // the result is complete by then
	if err := s.play(ctx, w); err != nil {
		return nil, err
	}
	s.conclude(w)
	return s.res, nil
}

// play goes through the stages. An end of ctx skips to the closing.
func (s *session) play(ctx context.Context, w work) error {
	_, isChurn := w.(*churn)
	if !isChurn {
		if err := s.interruptible(ctx, s.cl.Open(ctx)); err != nil {
			return err
		}
	}
	if s.sampleLater(&s.open); ctx.Err() == nil && (isChurn || s.cl.OpenCount() > 0) {
		if err := s.measure(ctx, w); err != nil {
			return err
		}
	}
	s.res.Interrupted = ctx.Err() != nil
	// An interrupt has been obeyed by coming here; the closing is bounded anyway.
	return s.cl.CloseAll(context.WithoutCancel(ctx))
}

// measure settles and does the work between two samples.
func (s *session) measure(ctx context.Context, w work) error {
	if _, isChurn := w.(*churn); !isChurn {
		if err := s.interruptible(ctx, s.settle(ctx)); err != nil || ctx.Err() != nil {
			return err
		}
	}
	s.sampleLater(&s.begin)
	mark := s.cl.Mark()
	err := s.interruptible(ctx, w.run(ctx, s))
	s.load = s.cl.Since(mark)
	s.sampleLater(&s.end)
	return err
}

// settle gives the server time to finish what a handshake leaves behind.
func (s *session) settle(ctx context.Context) error {
	start := s.cl.Now()
	until := start + s.opt.Settle
	s.cl.SetPhase("settle", func() (int64, int64, string) {
		return (s.cl.Now() - start).Milliseconds(), s.opt.Settle.Milliseconds(), "milliseconds"
	})
	return s.cl.Drive(ctx, func(now time.Duration) (time.Duration, bool) {
		return until - now, now >= until || s.cl.OpenCount() == 0
	})
}

// interruptible hides the error that only says that ctx has ended.
func (s *session) interruptible(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// sample reads the server's usage, if there is a pid.
func (s *session) sample(into *bench.ProcessUsage) (err error) {
	if s.cfg.PID != 0 {
		*into, err = bench.ReadProcess(s.cfg.PID)
	}
	return err
}

// sampleLater keeps the first error: a server that ends in the run is a
// finding, not the end of the run.
func (s *session) sampleLater(into *bench.ProcessUsage) {
	if err := s.sample(into); err != nil && s.sampleErr == nil {
		s.sampleErr = err
	}
}

// conclude fills the result and judges it.
func (s *session) conclude(w work) {
	s.cl.Fill(s.res)
	if _, isChurn := w.(*churn); !isChurn {
		s.res.Opening = s.cl.Opening()
	}
	s.res.Client = clientReport(s.load)
	w.fill(s)
	s.res.Server = s.serverReport(w)
	s.judge()
}

// idleTimeout tells when a phase in which nothing moves is over.
type idleTimeout struct {
	limit time.Duration
	seen  int64
	since time.Duration
}

// expired is called with a number that grows whenever something moves. left is
// the time until the phase would be over.
func (t *idleTimeout) expired(now time.Duration, progress int64) (left time.Duration, over bool) {
	if progress != t.seen || t.since == 0 {
		t.seen, t.since = progress, now
	}
	left = t.since + t.limit - now
	return left, left <= 0
}

func timeout(cfg bench.Config) time.Duration {
	if cfg.Timeout == 0 {
		return bench.DefaultTimeout
	}
	return cfg.Timeout
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
