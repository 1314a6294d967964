//go:build roostsim

// Rewrite prepares a simulation: it writes copies of the code under test in which
// the scheduler and the virtual kernel take the place of Go's and Linux's, and
// overlay.json, which has `go build -overlay` use them. The work tree is not touched.
//
// Usage: go run -tags roostsim ./poller/sim/rewrite FOLDER, at the top of the module
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// tested are the packages that are rewritten.
var tested = []string{"poller", "poller/socket", "conn", "conn/hub"}

// apart is left as it is, and never called: the virtual kernel does no TLS.
const apart = "poller/socket/ktls.go"

// instead is which import takes the place of which; the last three only where
// system calls are made.
var instead = map[string]string{
	"sync":                             "roost/poller/sim/sync",
	"sync/atomic":                      "roost/poller/sim/atomic",
	"context":                          "roost/poller/sim/context",
	"syscall":                          "roost/poller/sim/syscall",
	"golang.org/x/sys/unix":            "roost/poller/sim/unix",
	"github.com/mailru/easygo/netpoll": "roost/poller/sim/netpoll",
}

// tapped are functions that tell the test when they begin, and with which
// arguments, the receiver first: what they do has its place in the order of steps
// there, because their callers hold a lock.
var tapped = []string{"conn.enter", "conn.closeLocked", "conn.failLocked", "hub.publish"}

// smaller are constants that a handful of connections never reaches the size of.
var smaller = map[string]string{
	"poller.acceptBudget": "2",
	"poller.batchMost":    "2",
	"poller.helpMost":     "2",
	"socket.MaxIovecs":    "3",
	"conn.ownMost":        "150",
	"conn.corkKeep":       "200",
	"hub.stride":          "2",
	"hub.chunkSlots":      "3",
}

// netpoll's epoll.go is rewritten as well; of its other files it needs only this.
const netpollRest = `package netpoll

import (
	"errors"
	"syscall"

	"roost/poller/sim"
)

var (
	ErrClosed        = errors.New("poller instance is closed")
	ErrRegistered    = errors.New("file descriptor is already registered in poller instance")
	ErrNotRegistered = errors.New("file descriptor was not registered before in poller instance")
)

func temporaryErr(err error) bool {
	errno, ok := err.(syscall.Errno)
	return ok && errno.Temporary()
}

func defaultOnWaitError(err error) { sim.Fail("wait loop: %v", err) }
`

func main() {
	log.SetFlags(0)
	log.SetPrefix("rewrite: ")
	if len(os.Args) != 2 {
		log.Fatal("want one argument: the folder to write to")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(folder string) error {
	top, err := os.Getwd()
	if err != nil {
		return err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	replace := map[string]string{}
	put := func(as string, text []byte) error {
		copied := filepath.Join(folder, strings.ReplaceAll(as, "/", "-"))
		replace[filepath.Join(top, as)] = copied
		return os.WriteFile(copied, text, 0o644)
	}
	constants := map[string]bool{}
	for _, pkg := range tested {
		names, err := filepath.Glob(filepath.Join(pkg, "*.go"))
		if err != nil {
			return err
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") || name == apart {
				continue
			}
			text, err := rewritten(name, constants)
			if err != nil {
				return err
			}
			if err := put(name, text); err != nil {
				return err
			}
		}
	}
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/mailru/easygo/netpoll").Output()
	if err != nil {
		return fmt.Errorf("go list netpoll: %w", err)
	}
	text, err := rewritten(filepath.Join(strings.TrimSpace(string(out)), "epoll.go"), constants)
	if err != nil {
		return err
	}
	if err := put("poller/sim/netpoll/epoll.go", text); err != nil {
		return err
	}
	if err := put("poller/sim/netpoll/rest.go", []byte(netpollRest)); err != nil {
		return err
	}
	if err := put("poller/sim/unix/constants.go", constantsFile(constants)); err != nil {
		return err
	}
	overlay, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "overlay.json"), overlay, 0o644)
}

// constantsFile has package unix's constants that are used. What else the code
// uses of it, calls, is defined by hand or does not compile.
func constantsFile(names map[string]bool) []byte {
	var out bytes.Buffer
	out.WriteString("//go:build roostsim\n\npackage unix\n\nimport \"golang.org/x/sys/unix\"\n\nconst (\n")
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(&out, "\t%s = unix.%s\n", name, name)
	}
	out.WriteString(")\n")
	return out.Bytes()
}

// edit replaces the bytes from at to end by text.
type edit struct {
	at, end int
	text    string
}

// rewritten is the file with its imports exchanged, its go statements and channel
// receives made visible, and every Ready method held to one caller at a time.
// Lines keep their numbers.
func rewritten(name string, constants map[string]bool) ([]byte, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	part := func(n ast.Node) string { return string(src[offset(n.Pos()):offset(n.End())]) }
	var edits []edit
	change := func(n ast.Node, text string) { edits = append(edits, edit{offset(n.Pos()), offset(n.End()), text}) }
	usesSim := false
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			from := strings.Trim(n.Path.Value, `"`)
			pure := f.Name.Name == "conn" || f.Name.Name == "hub" // sockets and errnos are all they know of system calls
			if to, ok := instead[from]; ok && (!pure || strings.HasPrefix(from, "sync") || from == "context") {
				change(n.Path, `"`+to+`"`)
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "unix" && strings.ToUpper(n.Sel.Name) == n.Sel.Name {
				constants[n.Sel.Name] = true
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if less, ok := smaller[f.Name.Name+"."+name.Name]; ok && i < len(n.Values) {
					change(n.Values[i], less)
				}
			}
		case *ast.GoStmt:
			usesSim = true
			change(n, fmt.Sprintf("sim.Go(%q, func() { %s })", actor(part(n.Call.Fun)), part(n.Call)))
		case *ast.SelectStmt:
			err = fmt.Errorf("%s: a select statement cannot be simulated", fset.Position(n.Pos()))
		case *ast.SendStmt:
			err = fmt.Errorf("%s: sending to a channel cannot be simulated", fset.Position(n.Pos()))
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				usesSim = true
				change(n, "sim.Receive("+part(n.X)+")")
			}
		case *ast.FuncDecl:
			if n.Recv != nil && n.Name.Name == "Ready" {
				usesSim = true
				at := offset(n.Body.Lbrace) + 1
				edits = append(edits, edit{at, at, " defer sim.Exclusive(" + n.Recv.List[0].Names[0].Name + ")();"})
			}
			if f.Name.Name == "poller" && n.Name.Name == "clock" {
				usesSim = true
				change(n.Body, "{ return sim.Clock() }")
			}
			if what := f.Name.Name + "." + n.Name.Name; n.Recv != nil && slices.Contains(tapped, what) {
				usesSim = true
				at := offset(n.Body.Lbrace) + 1
				edits = append(edits, edit{at, at, fmt.Sprintf(" sim.Tap(%q, %s);", what, arguments(n))})
			}
		}
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	if usesSim {
		at := offset(f.Name.End())
		edits = append(edits, edit{at, at, `; import "roost/poller/sim"`})
	}
	sort.SliceStable(edits, func(i, j int) bool { return edits[i].at < edits[j].at })
	var out bytes.Buffer
	from := 0
	for _, e := range edits {
		out.Write(src[from:e.at])
		out.WriteString(e.text)
		from = e.end
	}
	out.Write(src[from:])
	return out.Bytes(), nil
}

// arguments are the names of a method's receiver and parameters.
func arguments(f *ast.FuncDecl) string {
	var names []string
	for _, field := range append(slices.Clone(f.Recv.List), f.Type.Params.List...) {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return strings.Join(names, ", ")
}

// actor is the name of what a go statement runs: "p.pool.work" works.
func actor(call string) string {
	switch call {
	case "p.pool.work":
		return "worker"
	case "s.run":
		return "broadcaster"
	case "ep.wait":
		return "reactor"
	}
	return call
}
