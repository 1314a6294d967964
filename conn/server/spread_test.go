//go:build linux

package server

import (
	"context"
	"testing"
	"time"
)

// TestPhasesLeaveRoom: a deadline that comes too soon cuts what Shutdown waits for.
func TestPhasesLeaveRoom(t *testing.T) {
	for _, c := range []struct {
		delay, spread, closing, deadline time.Duration
		wantDelay, wantSpread            time.Duration
	}{
		{0, 0, 0, time.Hour, 0, 0},
		{time.Hour, 2 * time.Hour, 0, 0, time.Hour, 2 * time.Hour}, // no deadline
		{time.Hour, 2 * time.Hour, time.Hour, 4 * time.Hour, time.Hour, 2 * time.Hour},
		{0, 10 * time.Hour, time.Hour, 4 * time.Hour, 0, 3 * time.Hour},
		{0, 10 * time.Hour, 3 * time.Hour, 4 * time.Hour, 0, 2 * time.Hour},
		{0, 10 * time.Hour, -1, 4 * time.Hour, 0, 2 * time.Hour},
		{2 * time.Hour, 10 * time.Hour, time.Hour, 4 * time.Hour, 2 * time.Hour, time.Hour},
		{9 * time.Hour, 10 * time.Hour, time.Hour, 4 * time.Hour, 3 * time.Hour, 0},
		{time.Hour, time.Hour, time.Hour, -time.Second, 0, 0},
	} {
		s, err := New(Config{Listen: []string{":0"}, Handler: Echo(), DrainDelay: c.delay, DrainTime: c.spread, CloseTimeout: c.closing})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		if c.deadline != 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, c.deadline)
			t.Cleanup(cancel)
		}
		// The deadline comes nearer while the test runs.
		near := func(got, want time.Duration) bool { return got <= want && got > want-10*time.Minute && got >= 0 }
		if delay, spread := s.phases(ctx); !near(delay, c.wantDelay) || !near(spread, c.wantSpread) {
			t.Errorf("%+v: %v and %v", c, delay, spread)
		}
	}
}
