//go:build linux

package poller

import (
	"time"

	"roost/poller/socket"
)

// SetUserTimeout is [socket.SetUserTimeout] for the connections that come from now
// on to a TCP socket; those that are in the backlog already have the kernel's own. It must not be
// called at the same time as Close, or after it.
func (l *Listener) SetUserTimeout(d time.Duration) error {
	return socket.SetUserTimeout(l.reg.FD(), d)
}
