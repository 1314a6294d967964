package cluster

import (
	"fmt"
	"testing"
	"time"
)

// However many nodes there are, each hears about as much of the others, and forgets only
// who has missed several announcements.
func TestAnnouncementsOfManyNodes(t *testing.T) {
	for count, every := range map[int]time.Duration{0: announceLeast, 10: announceLeast, 40: announceLeast, 400: 10 * time.Second, 1000: 25 * time.Second} {
		var n nodes
		start := time.Now()
		for i := range count {
			n.heard(announcement{Node: fmt.Sprint(i)}, start)
		}
		if got := n.every(); got != every {
			t.Errorf("%d nodes announce themselves every %v, want %v", count, got, every)
		}
		n.expire(start.Add(missedMost * every))
		if len(n.seen) != count {
			t.Errorf("%d of %d are left", len(n.seen), count)
		}
		n.expire(start.Add(missedMost*every + 1))
		if len(n.seen) != 0 {
			t.Errorf("%d of %d are left for ever", len(n.seen), count)
		}
	}
}
