package poller

import "errors"

// ErrClosed is returned by Register and Listen after Close.
var ErrClosed = errors.New("poller is closed")
