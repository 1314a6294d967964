//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"roost/conn/conntest"
)

func TestLogWriterKeepsOrderAndWritesAll(t *testing.T) {
	var got bytes.Buffer
	w := newLogWriter(&got, func(lost uint64) { t.Errorf("%d lines lost", lost) })
	var want strings.Builder
	for i := range logBacklog / 2 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		if n, err := io.WriteString(w, line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.flush(conntest.Patience)
	w.flush(conntest.Patience)
	if _, err := io.WriteString(w, "behind the flush\n"); err != nil {
		t.Error(err)
	}
	want.WriteString("behind the flush\n")
	if got.String() != want.String() {
		t.Errorf("got %d bytes, want %d", got.Len(), want.Len())
	}
}

// A reader that has stopped holds nobody up; when it goes on it is told what it missed.
func TestLogWriterNeverWaits(t *testing.T) {
	r, to := io.Pipe()
	lost := make(chan uint64, 1)
	w := newLogWriter(to, func(n uint64) { lost <- n })
	const more = 7
	for range 1 + logBacklog + more { // the first may be with the pipe already
		if _, err := io.WriteString(w, "a line\n"); err != nil {
			t.Fatal(err)
		}
	}
	w.flush(time.Nanosecond) // gives up
	lines := 0
	buf := make([]byte, 7)
	for deadline := time.Now().Add(conntest.Patience); ; lines++ {
		if _, err := io.ReadFull(r, buf); err != nil {
			t.Fatal(err)
		}
		select {
		case n := <-lost:
			lines++
			if lines+int(n) > 1+logBacklog+more || n < more {
				t.Errorf("%d lines lost and %d read so far, of %d", n, lines, 1+logBacklog+more)
			}
			_ = r.Close()
			<-w.done
			return
		default:
			if time.Now().After(deadline) {
				t.Fatal("nobody was told")
			}
		}
	}
}
