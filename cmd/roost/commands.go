//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// commandLine is the whole command line, one field per command.
type commandLine struct {
	Serve  flags       `cmd:"" default:"withargs" help:"Serve connections. This is what happens without a command; its flags are below."`
	Plan   planFlags   `cmd:"" help:"Say what N connections take on this machine, and how long a broadcast to them."`
	Doctor doctorFlags `cmd:"" help:"Check whether this machine's settings allow N connections, and say how to change those that do not."`

	Config     configFlags     `cmd:"" help:"Print the settings that serve would have with the same flags, and where each is from; they can be used as a config file."`
	Publish    publishFlags    `cmd:"" help:"Publish a message, or many, through the admin listener of a server."`
	Health     healthFlags     `cmd:"" help:"Ask a server on this machine whether it is alive, or ready."`
	Completion completionFlags `cmd:"" help:"Print a script that completes commands and flags in a shell."`
	Build      versionFlags    `cmd:"" name:"version" help:"Print version, commit and Go version."`

	Version versionFlag `env:"-" help:"Print the version."`

	args     []string // what was parsed
	command  string   // the one chosen
	settings []setting
	model    *kong.Application
}

const description = `Keeps very many WebSocket connections open and reaches all of them at once.

Without command and flags it serves a chat page at http://localhost:8000/ and WebSockets at /ws; every message goes to every client in the same topics. Back ends publish through the admin listener, as 'roost publish' does.

Sizes take KiB, MiB and GiB, times take ms, s, m and h. Every flag can be set by an environment variable, --max-conns by ROOST_MAX_CONNS, and those of serve in a file, 'max-conns: 100000', that --config names. The command line wins over the environment, and that over the file.`

// errHelp is returned when help, or the version, was asked for and printed.
var errHelp = errors.New("help printed")

// newParser makes the parser that fills line. Help and version go to stdout, and set done.
func newParser(line *commandLine, stdout io.Writer, done *bool) (*kong.Kong, error) {
	return kong.New(line,
		kong.Name("roost"), kong.Description(description),
		kong.DefaultEnvars("ROOST"),
		kong.Writers(stdout, stdout),
		kong.Exit(func(int) { *done = true }),
		kong.Help(printHelp),
		kong.ValueFormatter(func(v *kong.Value) string {
			help := v.Help
			if v.HasDefault {
				help += " Default " + v.Default + "."
			}
			if v.Tag.Has("reload") {
				help += " SIGHUP can change it."
			}
			if len(v.Tag.Envs) > 0 {
				help += " [" + strings.Join(v.Tag.Envs, ", ") + "]"
			}
			return help
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
	)
}

// parse reads the command line, the environment and the config file. An error names
// every fault.
func parse(args []string, stdout io.Writer) (*commandLine, error) {
	line := commandLine{args: args}
	done := false
	parser, err := newParser(&line, stdout, &done)
	if err != nil {
		return nil, err
	}
	ctx, err := parser.Parse(args)
	if done {
		return nil, errHelp
	}
	if err != nil {
		return nil, unparsed(parser.Model, args, err)
	}
	line.command, line.model = ctx.Selected().Name, ctx.Model
	var faults []error
	line.settings, faults = settle(ctx)
	for _, s := range line.settings {
		if s.Name == "admin" {
			line.Serve.asked = s.source != fromDefault
		}
		if v, ok := s.Target.Addr().Interface().(interface{ fault() error }); ok {
			if err := v.fault(); err != nil {
				faults = append(faults, fmt.Errorf("--%s: %w", s.Name, err))
			}
		}
	}
	if v, ok := ctx.Selected().Target.Addr().Interface().(interface{ faults() []error }); ok {
		faults = append(faults, v.faults()...)
	}
	return &line, located(line.settings, faults)
}

// unparsed says what is wrong with a command line that kong does not take.
func unparsed(model *kong.Application, args []string, err error) error {
	if name := args[0]; !strings.HasPrefix(name, "-") && !isCommand(model, name) {
		near := slices.MinFunc(model.Children, func(a, b *kong.Node) int { return edits(name, a.Name) - edits(name, b.Name) })
		return fmt.Errorf("%q is no command; the nearest is %s", name, near.Name)
	}
	// Nothing at all, or what kong takes for a flag, as it does a number below 0.
	text := noValue.ReplaceAllString(err.Error(), "want a value, got ")
	return errors.New(strings.NewReplacer(`"EOL" (<EOL>)`, "none", " (short flag)", "", " (long flag)", "").Replace(text))
}

var noValue = regexp.MustCompile(`expected \w+ value but got `)

func isCommand(model *kong.Application, name string) bool {
	return slices.ContainsFunc(model.Children, func(n *kong.Node) bool { return n.Name == name })
}

// whereToRead says where the flags of a command line are explained.
func whereToRead(args []string) string {
	if parser, err := newParser(new(commandLine), io.Discard, new(bool)); err == nil && len(args) > 0 && args[0] != "serve" && isCommand(parser.Model, args[0]) {
		return fmt.Sprintf("run 'roost %s -h' for its flags", args[0])
	}
	return "run 'roost -h' for all commands and flags"
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
