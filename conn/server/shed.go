//go:build linux

package server

import (
	"cmp"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"roost/conn"
	"roost/conn/hub"
)

// shedder keeps what all connections hold together below its bounds: those that
// hold most are closed first. It works in the sweeper's goroutine.
type shedder struct {
	// Static after New.
	server *Server
	wake   chan struct{} // has room for one

	bounds []bound // owned by the sweeper
}

// bound is a limit on a sum over all connections.
type bound struct {
	flag   string // its name in the log
	limit  int64  // bytes; 0 means none
	sum    *atomic.Int64
	reason conn.Reason
	held   func(*conn.Conn) (n int, ending bool) // part in sum; ending: it will go without help
	logged time.Time                             // when the log was told last
}

const (
	// shedEvery is the pause after each time that connections were shed: workers
	// need it to free what the closed ones held.
	shedEvery = 5 * time.Millisecond
	// shedMost is how many connections are picked in one walk.
	shedMost = 512
	// shedStride is how many slots are looked at before other goroutines get their turn.
	shedStride = 4096
)

// alarm is conn.Config.Exceeded.
func (d *shedder) alarm() {
	select {
	case d.wake <- struct{}{}:
	default: // it is awake
	}
}

// all are the bounds of g.
func (*shedder) all(g *conn.Group) []bound {
	return []bound{
		{
			flag: "write-queue-total", limit: g.WriteQueueTotal, sum: &g.Stats.WriteQueued, reason: conn.ReasonWriteQueueTotal,
			held: func(c *conn.Conn) (int, bool) { return c.WriteQueued(), false },
		}, {
			flag: "read-buffer-total", limit: g.ReadBufferTotal, sum: &g.Stats.ReadKept, reason: conn.ReasonReadBufferTotal,
			held: (*conn.Conn).ReadKept,
		},
	}
}

// shed closes connections until every sum is at most 90 % of its limit.
func (d *shedder) shed(now time.Time) {
	for i := range d.bounds {
		b := &d.bounds[i]
		total := b.sum.Load()
		if b.limit == 0 || total <= b.limit {
			continue
		}
		n := d.relieve(b)
		if b.sum.Load() > b.limit {
			d.alarm() // something was counted as freed twice: look again after the pause
		}
		if n > 0 && now.Sub(b.logged) >= summaryEvery {
			b.logged = now
			d.server.config.Log.Warn("connections are closed to save memory, those that hold most first",
				"flag", "--"+b.flag, "limit", b.limit, "reached", total, "closed", n,
				"remedy", "raise the limit if there is memory, or lower those of a single client")
		}
	}
}

// relieve works on one sum and returns how many connections it has closed.
func (d *shedder) relieve(b *bound) int {
	target := b.limit - b.limit/10
	closed := 0
	for {
		ending := int64(0) // what a worker is about to free
		worst := heaviest(d.server.hub, shedMost, func(c *conn.Conn) int {
			n, soon := b.held(c)
			if soon {
				ending += int64(n)
				return 0
			}
			return n
		})
		for _, w := range worst {
			if b.sum.Load()-ending <= target {
				return closed
			}
			w.conn.Shed(b.reason)
			closed++
			if n, soon := b.held(w.conn); soon {
				ending += int64(n)
			}
		}
		if len(worst) < shedMost {
			return closed // all there are, or others will grow and ring again
		}
	}
}

// weighed is a connection and how much it holds.
type weighed struct {
	conn *conn.Conn
	n    int
}

// heaviest returns up to n connections for which hold is largest and not 0, the
// largest first. It keeps 2n at the most, and lets others run between slices.
func heaviest(h *hub.Hub, n int, hold func(*conn.Conn) int) []weighed {
	var all []weighed
	floor := 0
	cut := func() {
		slices.SortFunc(all, func(a, b weighed) int { return cmp.Compare(b.n, a.n) })
		if len(all) >= n {
			clear(all[n:])
			all = all[:n]
			floor = all[n-1].n
		}
	}
	visit := func(c *conn.Conn) {
		if k := hold(c); k > floor {
			if all = append(all, weighed{c, k}); len(all) == 2*n {
				cut()
			}
		}
	}
	var cur hub.Cursor
	for !h.Walk(&cur, shedStride, visit) {
		runtime.Gosched()
	}
	cut()
	return all
}
