//go:build linux

package server

import (
	"runtime"
	"sync"
	"time"

	"roost/conn"
)

// handshakes runs those of TLS, which wait for their clients, beside the workers: a
// bounded number at once, while the others wait for their turn. At most half of the
// processors, and one, compute at any time, so that clients who are in come first when
// many want in.
type handshakes struct {
	most    int           // static
	compute chan struct{} // has room for those that compute
	done    sync.WaitGroup

	mu      sync.Mutex
	running map[*conn.TLS]bool // guarded by mu
	queue   []*conn.TLS        // guarded by mu; those that wait for a place, the oldest first
	watched bool               // guarded by mu; relieve will be called
}

// relieveEvery is the time between two looks for clients that keep others waiting.
const relieveEvery = 100 * time.Millisecond

func newHandshakes(most int) *handshakes {
	return &handshakes{
		most:    most,
		compute: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		running: map[*conn.TLS]bool{},
	}
}

// shake is conn.Config.Shake.
func (h *handshakes) shake(t *conn.TLS) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.running) < h.most {
		h.running[t] = true
		h.done.Go(func() { h.run(t) })
		return
	}
	h.queue = append(h.queue, t)
	h.watch()
}

// run runs t, and then those that wait.
func (h *handshakes) run(t *conn.TLS) {
	for t != nil {
		h.compute <- struct{}{}
		t.Handshake(func(wait func()) {
			<-h.compute
			wait()
			h.compute <- struct{}{}
		})
		<-h.compute
		t = h.next(t)
	}
}

// next gives the place of t to the one that has waited for longest.
func (h *handshakes) next(t *conn.TLS) *conn.TLS {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, t)
	if len(h.queue) == 0 {
		h.queue = nil // what a flood has made it grow to
		return nil
	}
	t = h.queue[0]
	h.queue[0] = nil
	h.queue = h.queue[1:]
	h.running[t] = true
	return t
}

// watch has relieve called soon. The caller holds mu.
func (h *handshakes) watch() {
	if !h.watched {
		h.watched = true
		time.AfterFunc(relieveEvery, h.relieve)
	}
}

// relieve drops those that have said nothing for a second, as many as others want their
// places.
func (h *handshakes) relieve() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watched = false
	wanted := len(h.queue)
	if wanted == 0 {
		return
	}
	now := time.Now()
	for t := range h.running {
		if wanted > 0 && t.Idle(now) >= patienceWhenFull {
			t.Flood()
			wanted--
		}
	}
	h.watch()
}
