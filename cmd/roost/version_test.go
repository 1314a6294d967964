//go:build linux

package main

import (
	"encoding/json"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	for _, args := range []string{"version", "--version", "serve --version", "doctor --version"} {
		var out, stderr strings.Builder
		if code := run(strings.Fields(args), &out, &stderr, nil); code != exitOK || out.String() != thisBuild().String() || stderr.Len() > 0 {
			t.Errorf("roost %s: exit code %d, %q, %q", args, code, out.String(), stderr.String())
		}
	}
	var out strings.Builder
	var got build
	if code := run([]string{"version", "--json"}, &out, io.Discard, nil); code != exitOK || json.Unmarshal([]byte(out.String()), &got) != nil || got != thisBuild() {
		t.Errorf("exit code %d, %s", code, out.String())
	}
	if got.Go != runtime.Version() || got.Platform != "linux/"+runtime.GOARCH {
		t.Errorf("%+v", got)
	}
}

func TestBuildFrom(t *testing.T) {
	stamped := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}}
	const unknown = "commit unknown: built without version control\n"
	for _, c := range []struct {
		info                      *debug.BuildInfo
		version, commit, modified string // as a packager sets them
		want                      string
	}{
		{nil, "", "", "", "roost (devel)\n" + unknown},
		{&debug.BuildInfo{}, "", "", "", "roost (devel)\n" + unknown},
		{stamped, "", "", "", "roost v1.2.3\ncommit abc, modified\n"},
		{stamped, "v9", "def", "false", "roost v9\ncommit def\n"},
		{nil, "", "def", "true", "roost (devel)\ncommit def, modified\n"},
	} {
		version, commit, modified = c.version, c.commit, c.modified
		if got := buildFrom(c.info).String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%+v: %q, want %q", c, got, c.want)
		}
	}
	version, commit, modified = "", "", ""
}
