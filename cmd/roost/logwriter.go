//go:build linux

package main

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// logWriter writes the log's lines in a goroutine of its own: whoever reads them may be
// slow or stopped, and no reactor, worker or deadline can wait for that. It keeps up to
// logBacklog, and counts those that find no room.
type logWriter struct {
	// Static after newLogWriter.
	to    io.Writer
	tell  func(lost uint64) // is called when lines had no room, and writes to the same
	lines chan []byte
	done  chan struct{} // closed when everything has been written

	lost atomic.Uint64

	mu     sync.RWMutex
	closed bool // guarded by mu; lines are written directly
}

// logBacklog is how many lines may wait to be written, about 200 KB.
const logBacklog = 1024

func newLogWriter(to io.Writer, tell func(lost uint64)) *logWriter {
	w := &logWriter{to: to, tell: tell, lines: make(chan []byte, logBacklog), done: make(chan struct{})}
	go w.run()
	return w
}

// Write takes one line and does not wait, before flush. The error is always nil then.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return w.to.Write(line)
	}
	select {
	case w.lines <- bytes.Clone(line):
	default:
		w.lost.Add(1)
	}
	return len(line), nil
}

// run ends after flush.
func (w *logWriter) run() {
	defer close(w.done)
	for line := range w.lines {
		// There is nobody to tell that the log cannot be written.
		_, _ = w.to.Write(line)
		if n := w.lost.Swap(0); n > 0 {
			w.tell(n)
		}
	}
}

// flush writes what waits, for as long as patience lasts.
func (w *logWriter) flush(patience time.Duration) {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.lines)
	}
	w.mu.Unlock()
	select {
	case <-w.done:
	case <-time.After(patience):
	}
}
