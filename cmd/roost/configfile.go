//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const (
	// mostConfig is how many bytes a config file may have. The parser takes much longer for
	// long files.
	mostConfig = 64 << 10
	// slowestConfig is how long a pipe that is read as one may take.
	slowestConfig = 10 * time.Second
)

// fileFlag is embedded in the flags of each command that reads a config file.
type fileFlag struct {
	File string `group:"Service" name:"config" placeholder:"FILE" help:"YAML file of settings. Its keys are names of flags of serve, as in 'max-conns: 100000'; lists are written [a, b]. The command line and the environment win over it. SIGHUP makes serve read it again."`
}

// entry is one line of a config file: a flag of serve and its value, as a string or,
// for a list, as []any of strings, which is what kong takes.
type entry struct {
	key    string
	line   int
	value  any
	source string // FILE:LINE
}

// readConfig reads a config file. Its keys are the names of known, and neither those
// nor the values are applied to anything. An error names one fault; all are returned.
func readConfig(path string, known []*kong.Flag) (entries []entry, faults []error) {
	text, err := readAtMost(path, mostConfig)
	if err != nil {
		return nil, []error{fmt.Errorf("--config: %w", err)}
	}
	text = bytes.TrimPrefix(text, []byte("\uFEFF")) // YAML 1.2.2 section 5.2
	// Duplicates are found below, all of them, and not as faults of the grammar.
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, []error{grammarFault(path, err)}
	}
	mapping, fault := onlyMapping(path, file)
	if fault != nil {
		return nil, []error{fault}
	}
	first := map[string]int{}
	for _, pair := range mapping {
		e := entry{key: scalarKey(pair.Key), line: pair.Key.GetToken().Position.Line}
		e.source = fmt.Sprintf("%s:%d", path, e.line)
		var err error
		if at, twice := first[e.key]; twice {
			err = fmt.Errorf("is in line %d already: remove one", at)
		} else {
			first[e.key] = e.line
			e.value, err = valueOf(known, e.key, pair.Value)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %s %w", e.source, e.key, err))
			continue
		}
		entries = append(entries, e)
	}
	return entries, faults
}

// readAtMost reads a whole file, which must not be longer than limit bytes. A pipe does not
// wait for somebody to write into it, nor for ever for what he writes (fifo(7)).
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()                     // nothing was written
	_ = f.SetReadDeadline(time.Now().Add(slowestConfig)) // files on a disk have none
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s: longer than %d bytes is no config file", path, limit)
	}
	return text, err
}

// grammarFault is where YAML ends to be YAML. It quotes nothing of the file, which
// may hold secrets.
func grammarFault(path string, err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		message, _, _ := strings.Cut(at.GetMessage(), `"`) // what is in quotes is from the file
		return fmt.Errorf("%s:%d: is not YAML: %s", path, at.GetToken().Position.Line, strings.TrimRight(message, " :"))
	}
	return fmt.Errorf("%s: is not YAML", path)
}

// onlyMapping returns the pairs of a file that holds one mapping.
func onlyMapping(path string, file *ast.File) ([]*ast.MappingValueNode, error) {
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) == 0 {
		return nil, fmt.Errorf("%s: has no settings: write some, as in 'max-conns: 100000', or leave out --config", path)
	}
	line := bodies[len(bodies)-1].GetToken().Position.Line
	if len(bodies) > 1 {
		return nil, fmt.Errorf("%s:%d: a second YAML document: put all settings into one", path, line)
	}
	switch body := bodies[0].(type) {
	case *ast.MappingNode:
		return body.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{body}, nil
	}
	return nil, fmt.Errorf("%s:%d: want lines of 'flag-name: value', as in 'max-conns: 100000'", path, line)
}

// scalarKey is a key without quotes.
func scalarKey(key ast.MapKeyNode) string {
	if s, ok := key.(*ast.StringNode); ok {
		return s.Value
	}
	return key.GetToken().Value
}

// valueOf reads the value of a key as its flag needs it. Numbers stay as they are written.
func valueOf(known []*kong.Flag, key string, node ast.Node) (any, error) {
	flag := flagNamed(known, key)
	switch {
	case flag == nil && key == "config":
		return nil, errors.New("cannot be set in a file: say it on the command line")
	case flag == nil:
		return nil, fmt.Errorf("is no setting; the nearest is %s (roost -h lists all)", nearest(known, key))
	}
	list, isList := node.(*ast.SequenceNode)
	switch {
	case flag.IsSlice() && !isList:
		return nil, errors.New("is a list: write it as [a, b]")
	case !flag.IsSlice() && isList:
		return nil, errors.New("takes one value, not a list")
	case !isList:
		return scalar(node)
	}
	all := []any{}
	for _, v := range list.Values {
		s, err := scalar(v)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// scalar is a single value as it is written, without quotes.
func scalar(node ast.Node) (string, error) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, nil
	case *ast.NullNode:
		return "", errors.New("has no value: give it one, or remove the line")
	}
	return "", fmt.Errorf("takes a plain value; this is a YAML %s", node.Type().YAMLName())
}

func flagNamed(flags []*kong.Flag, name string) *kong.Flag {
	if i := slices.IndexFunc(flags, func(f *kong.Flag) bool { return f.Name == name }); i >= 0 {
		return flags[i]
	}
	return nil
}

// nearest is the flag whose name takes the fewest edits to get from key to.
func nearest(flags []*kong.Flag, key string) string {
	return slices.MinFunc(flags, func(a, b *kong.Flag) int {
		return edits(key, a.Name) - edits(key, b.Name)
	}).Name
}

// edits is how many letters have to be added, removed or replaced to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
