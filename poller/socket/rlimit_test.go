//go:build linux

package socket

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestRaiseDescriptorLimit(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	lowered := unix.Rlimit{Cur: was.Max - 1, Max: was.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}()
	for range 2 { // raising what is raised changes nothing
		limit, err := RaiseDescriptorLimit()
		if err != nil || limit != was.Max {
			t.Errorf("limit %d, %v; want the hard limit %d", limit, err, was.Max)
		}
		var now unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil || now.Cur != was.Max || now.Max != was.Max {
			t.Errorf("limits in force: %d of %d, %v", now.Cur, now.Max, err)
		}
	}
}
