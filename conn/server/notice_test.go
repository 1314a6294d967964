//go:build linux

package server

import (
	"testing"
	"time"
)

// A client can make a condition come and go as often as it likes.
func TestNoticeIsNotAFlood(t *testing.T) {
	var n notice
	now, lines := time.Now(), 0
	for range 1000 {
		if n.begin(now) {
			lines++
		}
		if n.begin(now) {
			t.Fatal("told twice of one beginning")
		}
		if n.end() {
			lines++
		}
		if n.end() {
			t.Fatal("told twice of one end")
		}
		now = now.Add(summaryEvery / 100)
	}
	if lines < 18 || lines > 22 {
		t.Errorf("%d lines in ten periods, want one pair in each", lines)
	}
}
