package poller

import "errors"

// ErrClosed is returned by Register, Listen and Probe after Close.
var ErrClosed = errors.New("poller is closed")
