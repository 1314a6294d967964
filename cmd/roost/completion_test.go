//go:build linux

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func completionScript(t *testing.T, shell string) string {
	t.Helper()
	var out, stderr strings.Builder
	if code := run([]string{"completion", shell}, &out, &stderr, nil); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	return out.String()
}

// TestBashCompletes asks a real bash. The last word is the one under the cursor.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash:", err)
	}
	dir := t.TempDir()
	for _, name := range []string{"some file.yaml", "folder/x"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := completionScript(t, "bash") + `
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_roost
printf '%s\n' "${COMPREPLY[@]}"`
	for _, c := range []struct {
		words []string
		want  []string // "..." when there may be more
	}{
		{[]string{""}, []string{"serve", "plan", "doctor", "config", "health", "completion", "version", "--listen", "..."}},
		{[]string{"do"}, []string{"doctor"}},
		{[]string{"--log-l"}, []string{"--log-level"}},
		{[]string{"--log-level", ""}, []string{"debug", "info", "warn", "error"}},
		{[]string{"--log-level", "=", "d"}, []string{"debug"}},
		{[]string{"--log-level", "="}, []string{"debug", "info", "warn", "error"}},
		{[]string{"serve", "--slow-consumer", ""}, []string{"close", "conflate", "drop"}},
		{[]string{"config", "--subp"}, []string{"--subprotocols"}},
		{[]string{"--max-conns", "1", "--pat"}, []string{"--path"}},
		{[]string{"--max-conns", ""}, []string{""}},
		{[]string{"plan", "--co"}, []string{"--config", "--conns"}},
		{[]string{"plan", "--json", "--cal"}, []string{"--calibrate"}},
		{[]string{"plan", "--path"}, []string{""}},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish", "--help", "--version"}},
		{[]string{"doctor", "--config", "so"}, []string{"some file.yaml"}},
		{[]string{"--static", ""}, []string{"folder"}},
	} {
		cmd := exec.Command(bash, append([]string{"--norc", "-c", script, "bash", "roost"}, c.words...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", c.words, err, out)
		}
		got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		more := slices.Contains(c.want, "...")
		for _, w := range c.want {
			if w != "..." && !slices.Contains(got, w) {
				t.Errorf("%q: no %q in %q", c.words, w, got)
			}
		}
		if !more && len(got) != len(c.want) {
			t.Errorf("%q: %q, want %q", c.words, got, c.want)
		}
	}
}

// TestShellsKnowEverything: each command and flag, and a shell that is there takes the script.
func TestShellsKnowEverything(t *testing.T) {
	line, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for shell, mark := range map[string]string{"bash": "--", "zsh": "--", "fish": "-l "} {
		script := completionScript(t, shell)
		for _, node := range line.model.Children {
			if !strings.Contains(script, node.Name) {
				t.Errorf("%s: no command %s", shell, node.Name)
			}
			for _, flag := range node.Flags {
				if !strings.Contains(script, mark+flag.Name) {
					t.Errorf("%s: no flag --%s", shell, flag.Name)
				}
			}
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		check := exec.Command(path, "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s refuses the script: %v\n%s", shell, err, out)
		}
	}
	if code := run([]string{"completion", "tcsh"}, io.Discard, io.Discard, nil); code != exitUsage {
		t.Errorf("a shell nobody knows: exit code %d, want 2", code)
	}
}
