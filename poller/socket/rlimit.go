//go:build linux

package socket

import (
	"os"

	"golang.org/x/sys/unix"
)

// RaiseDescriptorLimit sets the soft limit of open descriptors to the hard limit
// and returns the limit now in force (setrlimit(2), RLIMIT_NOFILE).
func RaiseDescriptorLimit() (uint64, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	if lim.Cur < lim.Max {
		raised := unix.Rlimit{Cur: lim.Max, Max: lim.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
			return lim.Cur, os.NewSyscallError("setrlimit", err)
		}
		return raised.Cur, nil
	}
	return lim.Cur, nil
}
