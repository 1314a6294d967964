//go:build linux

package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// Those who build from an archive, or whose go command does not ask git, set these:
//
//	go build -ldflags "-X main.version=v1.2.3 -X main.commit=HASH -X main.modified=false"
var version, commit, modified string

// versionFlags are those of the version command.
type versionFlags struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// versionFlag prints the version in place of whatever else was asked for.
type versionFlag bool

// BeforeReset is called by kong when the flag is there.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	_, err := fmt.Fprint(app.Stdout, thisBuild())
	app.Exit(exitOK)
	return err
}

// build is what a program was made of.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`   // "" when it was built without version control
	Modified bool   `json:"modified"` // with changes that are in no commit
	Go       string `json:"go"`
	Platform string `json:"platform"` // OS/architecture
}

// thisBuild is the build that runs.
func thisBuild() build {
	info, _ := debug.ReadBuildInfo() // nil without modules
	return buildFrom(info)
}

func buildFrom(info *debug.BuildInfo) build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info != nil {
		if info.Main.Version != "" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if version != "" {
		b.Version = version
	}
	if commit != "" {
		b.Commit, b.Modified = commit, modified == "true"
	}
	return b
}

// String is what the version command prints.
func (b build) String() string {
	commit := b.Commit
	if commit == "" {
		commit = "unknown: built without version control"
	} else if b.Modified {
		commit += ", modified"
	}
	return fmt.Sprintf("roost %s\ncommit %s\n%s %s\n", b.Version, commit, b.Go, b.Platform)
}

// runVersion is the version command.
func runVersion(f *versionFlags, stdout, stderr io.Writer) int {
	var err error
	if f.JSON {
		err = writeJSON(stdout, thisBuild())
	} else {
		_, err = fmt.Fprint(stdout, thisBuild())
	}
	if err != nil {
		fmt.Fprintln(stderr, "roost:", err)
		return exitFailure
	}
	return exitOK
}
