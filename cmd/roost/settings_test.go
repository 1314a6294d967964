//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// writeConfig makes a config file of lines.
func writeConfig(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "roost.yaml")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serveFlags are the flags that a config file may set.
func serveFlags(t *testing.T) []*kong.Flag {
	t.Helper()
	line, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return inFile(line.model)
}

// samples are three values of a flag; of those next to each other none are alike.
func samples(flag *kong.Flag) [3]string {
	choices := strings.Split(flag.PlaceHolder, "|")
	switch {
	case flag.IsBool():
		return [3]string{"true", "false", "true"}
	case len(choices) > 1:
		return [3]string{choices[1], choices[0], choices[1]}
	case flag.PlaceHolder == "N":
		return [3]string{"1077", "1078", "1079"}
	case flag.PlaceHolder == "BYTES":
		return [3]string{"33MiB", "34MiB", "35MiB"}
	case flag.PlaceHolder == "TIME":
		return [3]string{"41s", "42s", "43s"}
	}
	return [3]string{"/a", "/b", "/c"}
}

func inFileForm(flag *kong.Flag, value string) string {
	if flag.IsSlice() {
		value = "[" + value + "]"
	}
	return flag.Name + ": " + value
}

func settingOf(t *testing.T, line *commandLine, name string) setting {
	t.Helper()
	for _, s := range line.settings {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no setting %s", name)
	return setting{}
}

// TestPrecedence of the command line over the environment over the file over the
// default, for every flag of serve. Whether the values make sense, and together, is not
// asked here.
func TestPrecedence(t *testing.T) {
	all := serveFlags(t)
	settings := func(args ...string) *commandLine {
		t.Helper()
		line, err := parse(args, io.Discard)
		if line == nil {
			t.Fatal(err)
		}
		return line
	}
	var onLine [3][]string // a command line for each of the samples
	lines := []string{"# a comment"}
	for _, flag := range all {
		v := samples(flag)
		for i := range onLine {
			onLine[i] = append(onLine[i], "--"+flag.Name+"="+v[i])
		}
		lines = append(lines, inFileForm(flag, v[2]))
	}
	file := writeConfig(t, lines...)
	var given [3]*commandLine
	for i, args := range onLine {
		given[i] = settings(args...)
	}
	byDefault, fromFile := settings(), settings("--config", file)
	for _, flag := range all {
		t.Setenv(flag.Envs[0], samples(flag)[1])
	}
	fromEnvironment, fromAll := settings("--config", file), settings(append(onLine[0], "--config", file)...)
	for i, flag := range all {
		v := samples(flag)
		value := func(line *commandLine) any { return settingOf(t, line, flag.Name).Target.Interface() }
		for _, c := range []struct {
			from   string
			line   *commandLine
			sample int
			source string
		}{
			{"the command line, first", given[0], 0, fromLine},
			{"the command line, second", given[1], 1, fromLine},
			{"the command line, third", given[2], 2, fromLine},
			{"the file", fromFile, 2, fmt.Sprintf("%s:%d", file, i+2)},
			{"the environment and the file", fromEnvironment, 1, "environment " + flag.Envs[0]},
			{"everywhere", fromAll, 0, fromLine},
		} {
			if source := settingOf(t, c.line, flag.Name).source; source != c.source {
				t.Errorf("--%s from %s is from %q, want %q", flag.Name, c.from, source, c.source)
			}
			if got, want := value(c.line), value(given[c.sample]); !reflect.DeepEqual(got, want) {
				t.Errorf("--%s from %s: %v, want %v of %q", flag.Name, c.from, got, want, v[c.sample])
			}
		}
		if source := settingOf(t, byDefault, flag.Name).source; source != fromDefault {
			t.Errorf("--%s without anything is from %q", flag.Name, source)
		}
		if is := value(byDefault); reflect.DeepEqual(is, value(given[0])) && reflect.DeepEqual(is, value(given[1])) {
			t.Errorf("--%s: the values of this test are no better than the default %v", flag.Name, is)
		}
	}
}

func TestConfigFileFromTheEnvironment(t *testing.T) {
	t.Setenv("ROOST_CONFIG", writeConfig(t, "max-conns: 12"))
	line, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := line.Serve.config().MaxConns; got != 12 {
		t.Errorf("max-conns: %d, want 12", got)
	}
}

// TestConfigFileForms: what YAML allows for the same thing.
func TestConfigFileForms(t *testing.T) {
	file := writeConfig(t, "---", "listen:", "  - :8000", `  - "127.0.0.1:9000"`, "\"path\": '/socket'",
		"origins: []", "static: \"\"", "max-conns: \"100000\"", "idle-timeout: 5m # often", "write-queue-frames: 0",
		"subprotocols: [a, 'b,c']")
	line, err := parse([]string{"--config", file}, io.Discard)
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), `subprotocol "b,c"`) {
		t.Errorf("%v, want nothing but that b,c, which is not split, is no subprotocol", err)
	}
	f := line.Serve
	if fmt.Sprint(f.Listen) != "[:8000 127.0.0.1:9000]" || f.Path != "/socket" || len(f.Origins) != 0 || f.MaxConns.n != 100_000 ||
		f.IdleTimeout.String() != "5m" || f.config().WriteQueueFrames != -1 || len(f.Subprots) != 2 || f.Subprots[1] != "b,c" {
		t.Errorf("%+v", f)
	}
}

func TestConfigFileFaults(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		text string
		want string // FILE stands for its path
	}{
		{"max-cons: 5", "FILE:1: max-cons is no setting; the nearest is max-conns"},
		{"\nread_buffer: 5", "FILE:2: read_buffer is no setting; the nearest is read-buffer"},
		{"config: other.yaml", "FILE:1: config cannot be set in a file"},
		{"help: true", "FILE:1: help is no setting"},
		{"path: /a\npath: /b", "FILE:2: path is in line 1 already"},
		{"listen: :8000", "FILE:1: listen is a list: write it as [a, b]"},
		{"path: [/a, /b]", "FILE:1: path takes one value, not a list"},
		{"path: {a: b}", "FILE:1: path takes a plain value; this is a YAML mapping"},
		{"listen: [[a]]", "FILE:1: listen takes a plain value; this is a YAML sequence"},
		{"path:\nworkers: 2", "FILE:1: path has no value"},
		{"path: ~", "FILE:1: path has no value"},
		{"path: &a /b", "FILE:1: path takes a plain value; this is a YAML anchor"},
		{"workers: many", "--workers: \"many\" is not a count; want a whole number, 0 or more (FILE:1)"},
		{"workers: 1.5", "--workers: \"1.5\" is not a count"},
		{"ping-interval: 30", "--ping-interval: \"30\" is not a time"},
		{"max-message: 1Mb", "--max-message: \"1Mb\" is not a size"},
		{"handler: talk", "--handler: \"talk\" is unknown; want chat, echo, push (FILE:1)"},
		{"", "FILE: has no settings"},
		{"# only words", "FILE: has no settings"},
		{"---", "FILE: has no settings"},
		{"max-conns", "FILE:1: want lines of 'flag-name: value'"},
		{"- max-conns", "FILE:1: want lines of 'flag-name: value'"},
		{"path: /a\n---\npath: /b", "FILE:3: a second YAML document"},
		{"path: \"/a", "FILE:1: is not YAML"},
		{"path: /a\n\tworkers: 3", "FILE:2: is not YAML"},
		{strings.Repeat("#", mostConfig+1), "FILE: longer than 65536 bytes"},
	} {
		file := filepath.Join(dir, "roost.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := parse([]string{"--config", file}, io.Discard)
		if want := strings.ReplaceAll(c.want, "FILE", file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", c.text, err, want)
		}
	}
	for path, want := range map[string]string{filepath.Join(dir, "none.yaml"): "no such file", dir: "is a directory"} {
		if _, err := parse([]string{"--config", path}, io.Discard); err == nil || !strings.Contains(err.Error(), "--config: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestFaultsOfGrammarQuoteNothing: what the parser cannot read may be a secret.
func TestFaultsOfGrammarQuoteNothing(t *testing.T) {
	for _, text := range []string{"admin-token: >swordfish", "admin-token: |swordfish", "%YAML swordfish\n---\nworkers: 1", "admin-token: \"swordfish", "admin-token: !swordfish"} {
		_, err := parse([]string{"--config", writeConfig(t, text)}, io.Discard)
		if err == nil || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestByteOrderMark: some editors put one in front of a file.
func TestByteOrderMark(t *testing.T) {
	line, err := parse([]string{"--config", writeConfig(t, "\uFEFFworkers: 3\r")}, io.Discard)
	if err != nil || line.Serve.Workers.n != 3 {
		t.Errorf("%v", err)
	}
}

// TestAllFaultsAtOnce, wherever they are from.
func TestAllFaultsAtOnce(t *testing.T) {
	file := writeConfig(t, "wrokers: 3", "path: ws", "shards: x", "listen: :1", "shards: 3")
	t.Setenv("ROOST_REACTORS", "-1")
	var stderr strings.Builder
	if code := run([]string{"config", "--config", file, "--log-level", "loud"}, io.Discard, &stderr, nil); code != exitUsage {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, want := range []string{
		file + ":1: wrokers is no setting; the nearest is workers", "path \"ws\"", "--shards: \"x\" is not a count; want a whole number, 0 or more (" + file + ":3)\n",
		file + ":4: listen is a list", file + ":5: shards is in line 3 already", "(environment ROOST_REACTORS)\n",
		"--log-level: \"loud\" is unknown; want debug, info, warn, error\n",
	} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("not reported: %s", want)
		}
	}
	if t.Failed() {
		t.Log(stderr.String())
	}
}

// TestOtherCommandsReadTheFile as far as it concerns them.
func TestOtherCommandsReadTheFile(t *testing.T) {
	file := writeConfig(t, "max-conns: 1234", "ping-interval: 7s", "listen: [\":1\"]")
	line, err := parse([]string{"plan", "--config", file}, io.Discard)
	if err != nil || line.Plan.Conns.n != 1234 || line.Plan.PingInterval.String() != "7s" {
		t.Errorf("plan: %+v, %v", line, err)
	}
	line, err = parse([]string{"doctor", "--config", file, "--conns", "5"}, io.Discard)
	if err != nil || line.Doctor.Conns.n != 5 {
		t.Errorf("doctor: %+v, %v", line, err)
	}
	if _, err = parse([]string{"doctor", "--config", writeConfig(t, "max-cons: 9")}, io.Discard); err == nil ||
		!strings.Contains(err.Error(), "max-cons is no setting") || !strings.Contains(err.Error(), "--conns: want 1 to") {
		t.Errorf("doctor does not report what is wrong: %v", err)
	}
}

// TestConfigPrintsAConfigFile sets every flag and reads back what is printed.
func TestConfigPrintsAConfigFile(t *testing.T) {
	dir := t.TempDir()
	args := []string{"config"}
	special := map[string]string{"static": dir, "listen": "127.0.0.1:1,:2", "path": `/a b:"\#ü` + "\u0085", "origins": "*.example.com,{x}", "subprotocols": "null",
		"admin": "unix:/a", "admin-token": "that must not be printed", "publish-token": "nor must this be printed"}
	for _, flag := range serveFlags(t) {
		v, ok := special[flag.Name]
		if !ok {
			v = samples(flag)[0]
		}
		args = append(args, "--"+flag.Name+"="+v)
	}
	before, err := parse(args, io.Discard)
	if before == nil {
		t.Fatal(err)
	}
	var out strings.Builder
	runConfig(before, &out, io.Discard)
	file := filepath.Join(dir, "printed.yaml")
	if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := parse([]string{"config", "--config", file}, io.Discard)
	if after == nil {
		t.Fatal(err)
	}
	compared := 0
	for i, s := range after.settings {
		if s.Name == "config" || s.Group == nil {
			continue
		}
		compared++
		was := before.settings[i]
		if s.secret() {
			if s.given() || strings.Contains(out.String(), was.Target.String()) {
				t.Errorf("--%s is a secret and was printed", s.Name)
			}
			continue
		}
		if !reflect.DeepEqual(was.Target.Interface(), s.Target.Interface()) || !strings.HasPrefix(s.source, file+":") {
			t.Errorf("--%s: %v, then %v from %s", s.Name, was.Target, s.Target, s.source)
		}
	}
	if compared != len(serveFlags(t)) {
		t.Errorf("%d of %d flags were compared", compared, len(serveFlags(t)))
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestConfigSaysWhereFrom(t *testing.T) {
	file := writeConfig(t, "workers: 3", "shards: 4")
	t.Setenv("ROOST_SHARDS", "5")
	var out, stderr strings.Builder
	if code := run([]string{"config", "--config", file, "--path=/x"}, &out, &stderr, nil); code != exitOK {
		t.Fatalf("exit code %d, %s", code, stderr.String())
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"workers: 3 # " + file + ":1", "shards: 5 # environment ROOST_SHARDS", "path: /x # command line",
		"reactors: 0 # default", "# static: # not set", "# Connections max-conns:"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestSecretsAreNotShown, neither by the config command nor by a reload.
func TestSecretsAreNotShown(t *testing.T) {
	parsed := func(args ...string) *commandLine {
		var cli struct {
			Token string `group:"Admin" secret:"" reload:"" help:"A token."`
		}
		parser, err := kong.New(&cli, kong.DefaultEnvars("TEST"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, err := parser.Parse(args)
		if err != nil {
			t.Fatal(err)
		}
		line := &commandLine{}
		for _, flag := range ctx.Flags() {
			line.settings = append(line.settings, setting{flag, sourceOf(ctx, flag)})
		}
		return line
	}
	var out strings.Builder
	runConfig(parsed(), &out, io.Discard)
	if !strings.Contains(out.String(), "# not set") {
		t.Errorf("not set, but: %s", out.String())
	}
	t.Setenv("TEST_TOKEN", "hidden1")
	out.Reset()
	runConfig(parsed(), &out, io.Discard)
	if !strings.Contains(out.String(), "# set, not shown; environment TEST_TOKEN") {
		t.Errorf("set, but: %s", out.String())
	}
	changes, err := changesBetween(parsed().settings, parsed("--token=hidden2").settings)
	if err != nil || len(changes) != 1 {
		t.Fatalf("%+v, %v", changes, err)
	}
	if all := fmt.Sprint(out.String(), changes); strings.Contains(all, "hidden") {
		t.Errorf("shown: %s", all)
	}
}
