package conntest

import (
	"bytes"
	"sync"
)

// Log keeps what is written to it, for a test to read meanwhile. The zero value is empty;
// any goroutine may use it.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
