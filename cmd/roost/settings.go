//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// setting is one flag of the command that was chosen, with where its value is from.
type setting struct {
	*kong.Flag
	source string // "command line", "environment NAME", "FILE:LINE" or "default"
}

const (
	fromLine    = "command line"
	fromDefault = "default"
)

// settle takes from the config file what neither command line nor environment say.
// kong's own resolvers would override the environment, and stop at the first fault.
//
// A command reads its own flags from the file and passes over the others of serve. A
// tag config:"NAME" says that a flag is called NAME there.
func settle(ctx *kong.Context) (settings []setting, faults []error) {
	var path string
	for _, flag := range ctx.Flags() {
		if flag.Name == "config" {
			path = flag.Target.String()
		}
		settings = append(settings, setting{flag, sourceOf(ctx, flag)})
	}
	if path == "" {
		return settings, nil
	}
	entries, faults := readConfig(path, inFile(ctx.Model))
	for _, e := range entries {
		for i, s := range settings {
			if s.fileKey() != e.key || s.source != fromDefault {
				continue
			}
			settings[i].source = e.source
			if err := s.take(e.value); err != nil {
				faults = append(faults, err)
			}
		}
	}
	return settings, faults
}

// inFile are the flags that a config file may set: those of serve.
func inFile(model *kong.Application) []*kong.Flag {
	var known []*kong.Flag
	for _, flag := range model.DefaultCmd.Flags {
		if flag.Name != "config" {
			known = append(known, flag)
		}
	}
	return known
}

// sourceOf tells where kong has the value of a flag from.
func sourceOf(ctx *kong.Context, flag *kong.Flag) string {
	for _, p := range ctx.Path {
		if p.Flag == flag {
			return fromLine
		}
	}
	for _, name := range flag.Tag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return "environment " + name
		}
	}
	return fromDefault
}

func (s setting) fileKey() string {
	if key := s.Tag.Get("config"); key != "" {
		return key
	}
	return s.Name
}

// take sets the flag to a value of the config file.
func (s setting) take(value any) error {
	target := reflect.New(s.Target.Type()).Elem() // lists would grow
	if err := s.Parse(kong.Scan().PushTyped(value, kong.FlagValueToken), target); err != nil {
		return err
	}
	s.Apply(target)
	return nil
}

// located says of each fault in a flag where the bad value is from, unless that is
// the command line.
func located(settings []setting, faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	var all []error
	for fault := range strings.SplitSeq(errors.Join(faults...).Error(), "\n") {
		for _, s := range settings {
			if s.source != fromLine && s.source != fromDefault && strings.HasPrefix(fault, "--"+s.Name+": ") {
				fault += " (" + s.source + ")"
			}
		}
		all = append(all, errors.New(fault))
	}
	return errors.Join(all...)
}

// secret flags are never printed.
func (s setting) secret() bool { return s.Tag.Has("secret") }

// given reports whether there is a value: a flag may have no default.
func (s setting) given() bool { return s.source != fromDefault || s.HasDefault }

// text is the value as it would stand in a config file.
func (s setting) text() string {
	if !s.IsSlice() {
		return inYAML(fmt.Sprint(s.Target.Interface()))
	}
	all := make([]string, s.Target.Len())
	for i := range all {
		all[i] = inYAML(fmt.Sprint(s.Target.Index(i).Interface()))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// plain is text that YAML takes for itself without quotes.
var plain = regexp.MustCompile(`^[0-9A-Za-z/][0-9A-Za-z/._+-]*$`)

// inYAML is text as YAML, whose strings in double quotes are written like Go's as far
// as strconv.Quote goes.
func inYAML(text string) string {
	if plain.MatchString(text) && !strings.EqualFold(text, "null") {
		return text
	}
	return strconv.Quote(text)
}
