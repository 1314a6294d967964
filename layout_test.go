// Package roost_test holds the layout of the repository to its plan: which
// package may import which, where each third-party package stays, and what lies
// at the top level.
package roost_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rank orders the packages of this module, by path below the module. A package
// may import those of a lower rank only, so an arrow never points upward.
var rank = map[string]int{
	"poller/socket":  0, // the system calls
	"conn/frame":     0, // pure bytes
	"conn/handshake": 0, // pure bytes
	"poller":         1,
	"conn/keyfile":   1,
	"conn/secure":    1, // records over a descriptor

	// Only with the build tag roostsim, see "The simulator" in ARCHITECTURE.md.
	"poller/sim":         0,
	"poller/sim/rewrite": 0,
	"poller/sim/atomic":  1,
	"poller/sim/context": 1,
	"poller/sim/kernel":  1,
	"poller/sim/sync":    1,
	"poller/sim/syscall": 2,
	"poller/sim/unix":    2,
	"conn/simtest":       4,

	"conn":                   2,
	"conn/auth":              3,
	"conn/hub":               3,
	"conn/cluster":           3,
	"conn/conntest":          3,
	"conn/conntest/browser":  1,
	"conn/conntest/natstest": 1,
	"conn/machine":           3,
	"conn/server":            4,
	"conn/admin":             5,
	"bench":                  2,
	"bench/scenario":         3,
	"bench/report":           3,
	"bench/fleet":            4,
	"bench/selftest":         5,
	"cmd/roost":              6,
	"cmd/roost-bench":        6,
}

// apart lists packages that must not reach each other even downward, through
// any number of imports. A rule holds for the packages below each path too.
var apart = []struct{ from, to, because string }{
	{"poller", "conn", "readiness must not know what the bytes mean"},
	{"conn/frame", "poller", "the frame codec does no I/O"},
	{"conn/handshake", "poller", "the handshake does no I/O"},
	{"bench", "conn", "the judge shares no code with what it judges"},
	{"bench", "poller", "the load generator has a loop of its own, see ARCHITECTURE.md"},
	{"cmd/roost-bench", "conn", "the judge shares no code with what it judges"},
	{"cmd", "conn/conntest", "what tests need stays out of programs"},
	{"cmd", "poller/sim", "programs run on the real kernel"},
	{"cmd/roost", "bench", "the server carries no load generator"},
}

// spared is a package below one that others must not reach: there is one way to
// make system calls on sockets.
const spared = "poller/socket"

// home is where one third-party package stays: the packages of this module, with
// those below them, whose non-test code may import it.
type home struct {
	path    string // import path, with those below it
	in      []string
	because string
}

var homes = []home{
	{"github.com/mailru/easygo", []string{"poller"}, "its known faults are worked around in one place, poller/netpoll.go"},
	{"github.com/pires/go-proxyproto", []string{"conn/server"}, "who trusts a proxy reads its headers"},
	{"github.com/gobwas/ws", []string{"conn/frame", "conn/handshake", "conn/conntest", "bench"}, "the wire format is known in two packages, and to those who judge it"},
	{"github.com/klauspost/compress", []string{"conn/frame", "bench"}, "compression is part of the wire format"},
	{"github.com/go-jose/go-jose", []string{"conn/auth", "conn/conntest"}, "who may connect is decided in one place, with tokens of tests"},
	{"github.com/nats-io/nats-server", []string{"conn/conntest/natstest"}, "only tests run a server of NATS"},
	{"github.com/nats-io", []string{"conn/cluster"}, "the bus between nodes is exchangeable behind cluster.Bus"},
	{"github.com/prometheus", []string{"conn/admin", "bench"}, "the counters are plain numbers; only the admin listener exports them, and the load generator reads any server's"},
	{"github.com/goccy/go-yaml", []string{"bench/scenario", "cmd/roost"}, "a load can be described in a file, and so can the flags of a server"},
	{"github.com/alecthomas/kong", []string{"cmd"}, "packages take a Config, flags belong to a program"},
	{"github.com/alecthomas/units", []string{"cmd"}, "packages take plain numbers, a program reads KiB"},
	{"github.com/coreos/go-systemd", []string{"cmd"}, "a program talks to its service manager, packages do not know of one"},
	{"github.com/vbauerster/mpb", []string{"cmd"}, "a progress bar belongs to a program"},
	{"github.com/HdrHistogram", []string{"bench", "conn/hub"}, "the load generator measures latency, and so does the receipt of a message"},
	{"github.com/chromedp", []string{"conn/conntest/browser"}, "only tests look at pages"},
	{"go.uber.org/goleak", []string{"conn/conntest"}, "only tests look for leaks"},
	{"gonum.org/v1/plot", []string{"bench/report"}, "only reports draw"},
	{"golang.org/x/perf", []string{"bench/report"}, "only reports compare"},
	{"golang.org/x/sys/unix", []string{"poller", "conn", "bench", "cmd"}, "Linux is the platform"},
}

// pkg is what `go list -json` tells of a package.
type pkg struct {
	ImportPath, Dir, Doc string
	Standard             bool
	Module               *struct{ Main bool }
	GoFiles              []string
	Imports, Deps        []string
}

// path returns the package's path below the module.
func (p pkg) path() string { return strings.TrimPrefix(p.ImportPath, "roost/") }

// ours reports whether p is compiled into something: a folder that holds tests
// only is bound by no rule.
func (p pkg) ours() bool { return p.Module != nil && p.Module.Main && len(p.GoFiles) > 0 }

func listPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-tags=roostsim", "-deps", "-json=ImportPath,Dir,Doc,Standard,Module,GoFiles,Imports,Deps", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal("go list:", err)
		}
		if p.ours() {
			// The go command cannot see what its child read. Reading the folder
			// here makes it run this test again when a file there changed.
			if _, err := os.ReadDir(p.Dir); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, p)
	}
	return all
}

// within reports whether path is root or lies below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

func TestImportsRunDownward(t *testing.T) {
	for _, p := range listPackages(t) {
		if !p.ours() {
			continue
		}
		from := p.path()
		own, known := rank[from]
		if !known {
			t.Errorf("%s has no rank: give it one in layout_test.go, and a place in ARCHITECTURE.md", from)
			continue
		}
		for _, imported := range p.Imports {
			if to, ok := strings.CutPrefix(imported, "roost/"); ok && rank[to] >= own {
				t.Errorf("%s imports %s: rank %d must import lower ranks only, this is %d", from, to, own, rank[to])
			}
		}
		for _, rule := range apart {
			if !within(from, rule.from) {
				continue
			}
			for _, dep := range p.Deps {
				if to, ok := strings.CutPrefix(dep, "roost/"); ok && within(to, rule.to) && (to != spared || rule.from != "bench") {
					t.Errorf("%s reaches %s: %s", from, to, rule.because)
				}
			}
		}
	}
}

func TestThirdPartyStaysHome(t *testing.T) {
	all := listPackages(t)
	foreign := map[string]bool{}
	for _, p := range all {
		foreign[p.ImportPath] = !p.Standard && (p.Module == nil || !p.Module.Main)
	}
	for _, p := range all {
		if !p.ours() {
			continue
		}
		for _, imported := range p.Imports {
			if !foreign[imported] {
				continue
			}
			i := slices.IndexFunc(homes, func(h home) bool { return within(imported, h.path) })
			if i < 0 {
				t.Errorf("%s imports %s, a new dependency: give it a home in layout_test.go, and a reason", p.path(), imported)
				continue
			}
			h := homes[i]
			if !slices.ContainsFunc(h.in, func(root string) bool { return within(p.path(), root) }) {
				t.Errorf("%s imports %s, which stays in %s: %s", p.path(), imported, strings.Join(h.in, ", "), h.because)
			}
		}
	}
}

// The data path of frame and handshake is memory in, memory out.
func TestPureCodeMakesNoSystemCalls(t *testing.T) {
	for _, p := range listPackages(t) {
		if !p.ours() || rank[p.path()] != 0 || !within(p.path(), "conn") {
			continue
		}
		for _, banned := range []string{"net", "os", "syscall", "golang.org/x/sys/unix"} {
			if slices.Contains(p.Imports, banned) {
				t.Errorf("%s imports %s: it works on bytes in memory and does no I/O", p.path(), banned)
			}
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.ours() && p.Doc == "" {
			t.Errorf("%s has no package comment: say in doc.go what it knows and what it does not know", p.path())
		}
	}
}

// Four folders answer four questions, and scripts hold what CI and people run.
func TestTopLevel(t *testing.T) {
	ignore, err := os.ReadFile(".gitignore")
	if err != nil {
		t.Fatal(err)
	}
	ignored := strings.Fields(string(ignore))
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || strings.HasPrefix(name, ".") || slices.Contains(ignored, "/"+name+"/") {
			continue
		}
		if !slices.Contains([]string{"bench", "cmd", "conn", "poller", "scripts"}, name) {
			t.Errorf("%s/: the top level holds bench, cmd, conn, poller and scripts; what does not fit there needs a decision first", name)
		}
	}
}
