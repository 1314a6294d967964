//go:build linux

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "write what is made from the flags: the tables of both README.md and scripts/roost.yaml")

// same compares a file with what is made from the flags, or writes it.
func same(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	if string(got) == want {
		return
	}
	if !*update {
		t.Errorf("%s does not agree with the flags: run 'go generate ./cmd/roost'", path)
		return
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a document
		t.Fatal(err)
	}
}

// between replaces what stands between the marks around what is made from the flags.
func between(t *testing.T, path, made string) {
	t.Helper()
	const begin, end = "<!-- flags: made by go generate ./cmd/roost -->\n", "<!-- end of flags -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the marks around what is made from the flags", path)
	}
	same(t, path, before+begin+made+end+after)
}

// TestREADME holds both READMEs to the flags: the program's has a table of each with its
// meaning, the module's their names.
func TestREADME(t *testing.T) {
	line, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var all, names strings.Builder
	names.WriteString("| about | flags |\n| --- | --- |\n")
	group := ""
	escape := strings.NewReplacer("|", `\|`, "*", `\*`, "<", `\<`, "_", `\_`)
	for _, f := range line.model.DefaultCmd.Flags {
		sep := ", "
		if f.Group.Title != group {
			if group != "" {
				names.WriteString(" |\n")
			}
			group, sep = f.Group.Title, ""
			fmt.Fprintf(&all, "\n## %s\n\n| flag | default | a change takes | meaning |\n| --- | --- | --- | --- |\n", group)
			fmt.Fprintf(&names, "| %s | ", group)
		}
		takes, mark := "restart", ""
		if f.Tag.Has("reload") {
			takes, mark = "SIGHUP", `\*`
		}
		name := "--" + f.Name
		if !f.IsBool() {
			name += " " + strings.ReplaceAll(f.FormatPlaceHolder(), "|", `\|`)
		}
		byDefault := ""
		if f.HasDefault {
			byDefault = "`" + f.Default + "`"
		}
		fmt.Fprintf(&all, "| `%s` | %s | %s | %s |\n", name, byDefault, takes, escape.Replace(f.Help))
		fmt.Fprintf(&names, "%s`--%s`%s", sep, f.Name, mark)
	}
	names.WriteString(" |\n")
	between(t, "README.md", strings.TrimPrefix(all.String(), "\n"))
	between(t, "../../README.md", names.String())
}

// TestExampleConfig holds scripts/roost.yaml to the flags, and shows that it has no
// effect but to say what is the default.
func TestExampleConfig(t *testing.T) {
	const path = "../../scripts/roost.yaml"
	line, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# All settings of roost, each with its default: remove the # in front of those to change.\n" +
		"# 'roost config --config FILE' shows what is in force and why, and finds faults.\n" +
		"# [reload] marks what SIGHUP changes without a restart (systemctl reload roost).\n" +
		"# Made by go generate ./cmd/roost.\n")
	group := ""
	for _, f := range inFile(line.model) {
		if f.Group.Title != group {
			group = f.Group.Title
			fmt.Fprintf(&b, "\n### %s\n", group)
		}
		help := f.Help
		if f.Tag.Has("reload") {
			help = "[reload] " + help
		}
		fmt.Fprintf(&b, "\n%s%s\n", wrapped(help), exampleLine(f))
	}
	same(t, path, b.String())
	if *update {
		return
	}
	// As it is, and with the # removed from everything that has a default.
	var all []string
	for _, f := range inFile(line.model) {
		if f.HasDefault {
			all = append(all, strings.TrimPrefix(exampleLine(f), "#"))
		}
	}
	for _, file := range []string{path, writeConfig(t, all...)} {
		example, err := parse([]string{"--config", file}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		example.settings = slices.DeleteFunc(example.settings, func(s setting) bool { return s.Name == "config" })
		defaults := slices.DeleteFunc(slices.Clone(line.settings), func(s setting) bool { return s.Name == "config" })
		if changes, err := changesBetween(defaults, example.settings); len(changes) > 0 || err != nil {
			t.Errorf("%s changes defaults: %+v, %v", file, changes, err)
		}
	}
}

// exampleLine is a setting at its default, in force only for the first: a file of
// nothing but comments is refused as empty.
func exampleLine(f *kong.Flag) string {
	value := f.Default
	switch {
	case f.IsSlice() && f.HasDefault:
		value = "[" + inYAML(value) + "]"
	case f.IsSlice():
		value = "[]"
	case f.HasDefault:
		value = inYAML(value)
	}
	text := strings.TrimSpace(f.Name + ": " + value)
	if f.Name != "listen" {
		text = "#" + text
	}
	return text
}

// wrapped is a text as comment lines.
func wrapped(text string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		if column == 0 || column+1+len(word) > 98 {
			if column > 0 {
				b.WriteByte('\n')
			}
			b.WriteString("#")
			column = 1
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	return b.String() + "\n"
}
