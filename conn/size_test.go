//go:build linux

package conn

import (
	"testing"
	"unsafe"

	"roost/poller"
)

// TestSizes keeps the memory account of doc.go.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 112 {
		t.Errorf("Conn has %d bytes and leaves the 112-byte size class", n)
	}
	if n := unsafe.Sizeof(poller.Registration{}); n > 40 {
		t.Errorf("Registration has %d bytes, want at most 40", n)
	}
}

func TestEveryReasonAndStateHasAName(t *testing.T) {
	seen := map[string]bool{}
	for r := range Reasons {
		if name := r.String(); name == "" || name == "unknown" || seen[name] {
			t.Errorf("reason %d is called %q", r, name)
		} else {
			seen[name] = true
		}
	}
	for s := StateNew; s <= StateClosed; s++ {
		if s.String() == "unknown" {
			t.Errorf("state %d has no name", s)
		}
	}
	if Reasons.String() != "unknown" || State(200).String() != "unknown" {
		t.Error("values out of range must say so")
	}
}
