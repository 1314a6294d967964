package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"

	"roost/bench/selftest"
)

func runSelftest(ctx context.Context, stdout, stderr io.Writer) int {
	server := func() *exec.Cmd { return exec.Command("/proc/self/exe", "selftest-server") }
	if err := selftest.Run(ctx, server, stdout); err != nil {
		fmt.Fprintf(stderr, "roost-bench: %v\n", err)
		return exitLost
	}
	return exitPassed
}
