package cluster

import (
	"encoding/json"
	"maps"
	"sync"
	"time"
)

const (
	// announceLeast is how often a node says at most that it is there, and announceEach how much
	// longer it waits for each other node: what all of them hear would grow with the square of their
	// number otherwise. So a node hears 40 a second at most.
	announceLeast = time.Second
	announceEach  = 25 * time.Millisecond
	// missedMost is how many announcements of a node may be missing until it does not count.
	missedMost = 5
	// mostNodes bounds how many are remembered. Further ones do not count.
	mostNodes = 4096
)

// announcement is what a node says on the subject for it.
type announcement struct {
	Node string `json:"node"`
	// Hello asks the others to announce themselves soon: this one has just come.
	Hello bool `json:"hello,omitempty"`
	// Bye says that the node stops.
	Bye bool `json:"bye,omitempty"`
}

func parseAnnouncement(b []byte) (a announcement, ok bool) {
	ok = len(b) <= 1024 && json.Unmarshal(b, &a) == nil && a.Node != "" && len(a.Node) <= 64
	return a, ok
}

// nodes are the others that have announced themselves.
type nodes struct {
	mu      sync.Mutex
	seen    map[string]time.Time
	latest  time.Time           // of them
	awaited map[string]struct{} // of those known before the connection, who has not come back
	all     chan struct{}       // closed when none of them is left
}

// heard notes what a node has said.
func (n *nodes) heard(a announcement, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	node := a.Node
	if _, waiting := n.awaited[node]; waiting {
		if delete(n.awaited, node); len(n.awaited) == 0 {
			close(n.all)
		}
	}
	if a.Bye {
		delete(n.seen, node)
		return
	}
	if _, known := n.seen[node]; !known {
		n.expire(now)
		if len(n.seen) == mostNodes {
			return
		}
	}
	if n.seen == nil {
		n.seen = map[string]time.Time{}
	}
	n.seen[node], n.latest = now, now
}

// everyLocked is how often each node announces itself, when all know of as many.
func (n *nodes) everyLocked() time.Duration {
	return max(announceLeast, time.Duration(len(n.seen))*announceEach)
}

// every is how long to wait between two announcements.
func (n *nodes) every() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.everyLocked()
}

// expire forgets who has been silent at that time. The caller holds mu.
func (n *nodes) expire(at time.Time) {
	most := missedMost * n.everyLocked()
	maps.DeleteFunc(n.seen, func(_ string, seen time.Time) bool { return at.Sub(seen) > most })
}

// begin starts a connection. The returned channel is closed when all are there again that were
// known when anything was heard for the last time.
func (n *nodes) begin() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expire(n.latest)
	n.awaited, n.all = map[string]struct{}{}, make(chan struct{})
	for node := range n.seen {
		n.awaited[node] = struct{}{}
	}
	if len(n.awaited) == 0 {
		close(n.all)
	}
	return n.all
}

// known is how many others there are.
func (n *nodes) known() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count, now, most := 0, time.Now(), missedMost*n.everyLocked()
	for _, seen := range n.seen { // none is forgotten: begin wants those of before
		if now.Sub(seen) <= most {
			count++
		}
	}
	return count
}
