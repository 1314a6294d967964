package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"roost/bench"
	"roost/bench/report"
	"roost/bench/scenario"
)

// Exit codes.
const (
	exitPassed = 0
	exitLost   = 1
	exitUsage  = 2
)

func main() {
	// The first signal ends the run in order; after that the default is back, so
	// that a second one ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole command: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags, code, done := parse(args, stdout, stderr)
	if done {
		return code
	}
	cfg, opt := flags.Run.config(), flags.Run.options()
	if err := errors.Join(cfg.Validate(), opt.Validate(flags.Run.Scenario, cfg.Conns)); err != nil {
		return usage(stderr, err)
	}
	plan, err := bench.NewPlan(cfg)
	if err != nil {
		return usage(stderr, err)
	}
	if !flags.Run.JSON {
		if err := report.Plan(stdout, flags.Run.Scenario, cfg.URL, plan); err != nil {
			return failed(stderr, err)
		}
	}
	progress := newProgress(stderr, flags.Run.Quiet)
	cfg.Progress = progress.show
	result, err := scenario.Run(ctx, flags.Run.Scenario, cfg, opt)
	progress.close()
	if err != nil {
		return usage(stderr, err)
	}
	write := report.Text
	if flags.Run.JSON {
		write = report.JSON
	}
	if err := write(stdout, result); err != nil {
		return failed(stderr, err)
	}
	if !result.Passed() {
		return exitLost
	}
	return exitPassed
}

func usage(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "roost-bench: %v\n", err)
	return exitUsage
}

// failed reports that the report could not be written: its numbers are lost.
func failed(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "roost-bench: writing the report: %v\n", err)
	return exitLost
}
