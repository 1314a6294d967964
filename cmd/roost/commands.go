//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// commandLine is the whole command line, one field per command.
type commandLine struct {
	Serve  flags       `cmd:"" default:"withargs" help:"Serve connections. This is what happens without a command; its flags are below."`
	Plan   planFlags   `cmd:"" help:"Say what N connections take on this machine, and how long a broadcast to them."`
	Doctor doctorFlags `cmd:"" help:"Check whether this machine's settings allow N connections, and say how to change those that do not."`

	command string // the one chosen
}

const description = `Keeps very many WebSocket connections open and reaches all of them at once.

Without command and flags it serves a chat page at http://localhost:8000/ and WebSockets at /ws; every message of any client goes to every client.

Sizes take KiB, MiB and GiB, times take ms, s, m and h. Every flag can be set by an environment variable: --max-conns by ROOST_MAX_CONNS.`

// errHelp is returned when help was asked for and printed.
var errHelp = errors.New("help printed")

// parse reads the command line and the environment. An error names every fault.
func parse(args []string, stdout io.Writer) (*commandLine, error) {
	var line commandLine
	helped := false
	parser, err := kong.New(&line,
		kong.Name("roost"), kong.Description(description),
		kong.DefaultEnvars("ROOST"),
		kong.Writers(stdout, stdout),
		kong.Exit(func(int) { helped = true }),
		kong.Help(printHelp),
		kong.ValueFormatter(func(v *kong.Value) string {
			help := v.Help
			if v.HasDefault {
				help += " Default " + v.Default + "."
			}
			if len(v.Tag.Envs) > 0 {
				help += " [" + strings.Join(v.Tag.Envs, ", ") + "]"
			}
			return help
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
	)
	if err != nil {
		return nil, err
	}
	ctx, err := parser.Parse(args)
	if helped {
		return nil, errHelp
	}
	if err != nil {
		return nil, err
	}
	line.command = ctx.Command()
	var errs []error
	for _, flag := range ctx.Flags() {
		if v, ok := flag.Target.Addr().Interface().(interface{ fault() error }); ok {
			if err := v.fault(); err != nil {
				errs = append(errs, fmt.Errorf("--%s: %w", flag.Name, err))
			}
		}
	}
	switch line.command {
	case "serve":
		errs = append(errs, line.Serve.faults()...)
	case "plan":
		errs = append(errs, line.Plan.faults()...)
	case "doctor":
		errs = append(errs, line.Doctor.faults()...)
	}
	return &line, errors.Join(errs...)
}

// printHelp is kong's own help, except that 'roost -h' lists the flags of serve
// below the commands: most people never need another command.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if ctx.Selected() == nil {
		// The process ends after the help, so the model may be changed for it.
		ctx.Model.Flags = append(ctx.Model.Flags, ctx.Model.DefaultCmd.Flags...)
	}
	return kong.DefaultHelpPrinter(options, ctx)
}
