//go:build linux

// Command roost keeps very many WebSocket connections open and reaches all of
// them at once. Run it without flags for a chat server with its page on :8000;
// -h lists the commands and flags. Each command has a file of its name.
package main

//go:generate go test . -run ^(TestREADME|TestExampleConfig)$ -update

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // of serve: could not start, or could not go on, or stopped before every client was told; of publish: refused
	exitUsage   = 2

	exitTooSmall = 1 // of doctor: a setting of this machine is too small
)

func main() {
	signals := make(chan os.Signal, 16) // many a SIGHUP must not crowd out a SIGTERM
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, signals))
}

// run is main without the process. Serving and measuring end with a signal; SIGHUP
// makes a server read its configuration again.
func run(args []string, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	line, err := parse(args, stdout)
	if errors.Is(err, errHelp) {
		return exitOK
	}
	if err != nil {
		for fault := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(stderr, "roost:", fault)
		}
		fmt.Fprintln(stderr, "roost:", whereToRead(args))
		return exitUsage
	}
	switch line.command {
	case "plan":
		return runPlan(&line.Plan, thisHost(), stdout, stderr, signals)
	case "doctor":
		return runDoctor(&line.Doctor, thisHost(), stdout, stderr)
	case "config":
		return runConfig(line, stdout, stderr)
	case "publish":
		return runPublish(&line.Publish, os.Stdin, stdout, stderr, signals)
	case "health":
		return runHealth(&line.Health, stdout, stderr)
	case "completion":
		return runCompletion(&line.Completion, line.model, stdout, stderr)
	case "version":
		return runVersion(&line.Build, stdout, stderr)
	}
	return serve(line, stderr, signals)
}
