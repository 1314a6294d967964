//go:build linux

package conntest

import (
	"fmt"
	"net"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests of a package and fails when a goroutine or a descriptor is
// left over at the end.
func Main(m *testing.M) {
	// Go's own poller opens its descriptors with the first connection and keeps them.
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = l.Close()
	}
	before := descriptors()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left over:", err)
			code = 1
		}
	}
	if code == 0 {
		if left := leaked(before); left != "" {
			fmt.Fprintln(os.Stderr, "descriptors left over:", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked compares with a deadline: closing a net.Conn is not always done when
// Close returns, for example while its poller holds a reference.
func leaked(before map[string]int) string {
	deadline := time.Now().Add(5 * time.Second)
	for {
		var left []string
		for kind, n := range descriptors() {
			if n > before[kind] {
				left = append(left, fmt.Sprintf("%d of %s", n-before[kind], kind))
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			sort.Strings(left)
			return strings.Join(left, ", ")
		}
	}
}

// descriptors counts what is open, by kind: "socket", "anon_inode" or "pipe".
func descriptors() map[string]int {
	kinds := map[string]int{}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return kinds
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue
		}
		if kind, _, ok := strings.Cut(target, ":"); ok {
			kinds[kind]++
		}
	}
	return kinds
}
