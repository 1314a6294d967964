package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"roost/bench/fleet"
	"roost/bench/selftest"
)

// Exit codes.
const (
	exitPassed     = 0
	exitLost       = 1
	exitUsage      = 2
	exitBottleneck = 3
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
	switch flags.command {
	case "report":
		return runReport(&flags.Report, stdout, stderr)
	case "compare":
		return runCompare(&flags.Compare, stdout, stderr)
	case "worker":
		if err := fleet.Serve(os.Stdin, stdout); err != nil {
			return usage(stderr, err)
		}
		return exitPassed
	case "selftest-server":
		if err := selftest.Serve(os.Stdin, stdout); err != nil {
			return usage(stderr, err)
		}
		return exitPassed
	case "selftest":
		return runSelftest(ctx, stdout, stderr)
	case "ls-scenarios":
		return listScenarios(stdout, stderr)
	}
	return runScenario(ctx, &flags.Run, flags.recorded, stdout, stderr)
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
