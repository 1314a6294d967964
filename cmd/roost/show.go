//go:build linux

package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// configFlags are those of the config command: all that serve has.
type configFlags struct {
	flags
}

// Help is shown by 'roost config -h'.
func (configFlags) Help() string {
	return "The settings are checked as serve does it, without listening: exit code 2 and every fault when there are any. " +
		"Secrets are not printed, only where they are from."
}

// runConfig is the config command: what it prints is a config file.
func runConfig(line *commandLine, stdout, stderr io.Writer) int {
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	group := ""
	for _, s := range line.settings {
		if s.Group == nil || s.Name == "config" { // --help, --version
			continue
		}
		if s.Group.Title != group {
			if group != "" {
				fmt.Fprintln(table)
			}
			group = s.Group.Title
			fmt.Fprintf(table, "# %s\n", group)
		}
		switch {
		case !s.given():
			fmt.Fprintf(table, "# %s:\t# not set\n", s.Name)
		case s.secret():
			fmt.Fprintf(table, "# %s:\t# set, not shown; %s\n", s.Name, s.source)
		default:
			fmt.Fprintf(table, "%s: %s\t# %s\n", s.Name, s.text(), s.source)
		}
	}
	if err := table.Flush(); err != nil {
		fmt.Fprintln(stderr, "roost:", err)
		return exitFailure
	}
	return exitOK
}
