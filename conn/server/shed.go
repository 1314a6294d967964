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

	bounds []*bound // owned by the sweeper
	silent *bound   // owned by the sweeper; who has to go when there is no room

	crowded atomic.Bool // makeRoom was called
}

// bound is a limit on a sum over all connections.
type bound struct {
	flag   string       // its name in the log
	limit  func() int64 // 0 means none
	sum    *atomic.Int64
	reason conn.Reason
	held   func(*conn.Conn) (n int, ending bool) // part in sum; ending: it will go without help
	weight func(*conn.Conn) int                  // who goes first; nil means who holds most
	news   string                                // for the log
	remedy string
	logged time.Time // when the log was told last
}

const (
	// patienceWhenFull is what a client may take for its request while others wait for
	// the place it takes.
	patienceWhenFull = time.Second
	// shedEvery is the least pause after each time that connections were shed: workers
	// need it to free what the closed ones held.
	shedEvery = 5 * time.Millisecond
	// shedMost is how many connections are picked in one walk.
	shedMost = 4096
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

// makeRoom is called when nobody can be accepted any more. Clients that send no request
// have to make room then; the others have a reason to be here.
func (d *shedder) makeRoom() {
	d.crowded.Store(true)
	d.alarm()
}

// arriving is called before a connection is made. In a flood, who is oldest must be known
// better than the sweeper's clock tells.
func (d *shedder) arriving() {
	if most := d.server.limits.Load().MaxHandshakes; most > 0 && d.server.group.Stats.Handshaking.Load() > int64(most/2) {
		d.server.group.Tick(time.Now())
	}
}

// arrived is called when one has started.
func (d *shedder) arrived() {
	if most := d.server.limits.Load().MaxHandshakes; most > 0 && d.server.group.Stats.Handshaking.Load() > int64(most) {
		d.alarm()
	}
}

const (
	newsOfMemory   = "connections are closed to save memory, those that hold most first"
	remedyOfMemory = "raise the limit if there is memory, or lower those of a single client"
)

// all are the bounds of g.
func (d *shedder) all(g *conn.Group) []*bound {
	static := func(n int64) func() int64 { return func() int64 { return n } }
	return []*bound{
		{
			flag: "write-queue-total", limit: static(g.WriteQueueTotal), sum: &g.Stats.WriteQueued, reason: conn.ReasonWriteQueueTotal,
			held: written, news: newsOfMemory, remedy: remedyOfMemory,
		}, {
			flag: "read-buffer-total", limit: static(g.ReadBufferTotal), sum: &g.Stats.ReadKept, reason: conn.ReasonReadBufferTotal,
			held: (*conn.Conn).ReadKept, news: newsOfMemory, remedy: remedyOfMemory,
		}, {
			flag:  "max-handshakes",
			limit: func() int64 { return int64(orNone(d.server.limits.Load().MaxHandshakes)) },
			sum:   &g.Stats.Handshaking, reason: conn.ReasonHandshakeFlood,
			held: requestless, weight: func(c *conn.Conn) int { return 1 + int(requestAge(c)) },
			news:   "connections are dropped because too many have sent no request, the oldest first",
			remedy: "if these are attackers, set --accept-rate-per-ip or --max-conns-per-ip; else raise the limit",
		},
	}
}

// silentOnes are those who have taken too long for their request while there is no room.
func (d *shedder) silentOnes(g *conn.Group) *bound {
	return &bound{
		flag: "max-conns", sum: &g.Stats.Handshaking, reason: conn.ReasonHandshakeFlood, held: requestless,
		limit: func() int64 { return int64(d.server.limits.Load().MaxConns) },
		weight: func(c *conn.Conn) int {
			if age := requestAge(c); age >= patienceWhenFull {
				return int(age)
			}
			return 0
		},
		news:   "connections that have sent no request for a second are dropped, because there is room for nobody else",
		remedy: "if these are attackers, set --accept-rate-per-ip or --max-conns-per-ip; else raise --max-conns and the descriptor limit",
	}
}

func written(c *conn.Conn) (int, bool) { return c.WriteQueued(), false }

// requestless is 1 for a connection whose request has not come.
func requestless(c *conn.Conn) (int, bool) {
	if _, ok := c.HandshakeAge(); ok {
		return 1, false
	}
	return 0, false
}

// requestAge is how long a request has been awaited, -1 when it has come.
func requestAge(c *conn.Conn) time.Duration {
	if age, ok := c.HandshakeAge(); ok {
		return age
	}
	return -1
}

// shed closes connections until every sum is at most 90 % of its limit.
func (d *shedder) shed(now time.Time) {
	for _, b := range d.bounds {
		total, limit := b.sum.Load(), b.limit()
		if limit == 0 || total <= limit {
			continue
		}
		n := d.relieve(b, limit-limit/10)
		if b.sum.Load() > limit {
			d.alarm() // something was counted as freed twice: look again after the pause
		}
		d.tell(b, now, total, n)
	}
	if total := d.silent.sum.Load(); d.crowded.Swap(false) && total > 0 {
		d.tell(d.silent, now, total, d.relieve(d.silent, total-max(1, total/10)))
	}
}

// tell tells the log now and then.
func (d *shedder) tell(b *bound, now time.Time, reached int64, closed int) {
	if closed == 0 || now.Sub(b.logged) < summaryEvery {
		return
	}
	b.logged = now
	d.server.config.Log.Warn(b.news, "flag", "--"+b.flag, "limit", b.limit(), "reached", reached, "closed", closed, "remedy", b.remedy)
}

// relieve brings one sum down to target, if it can, and returns how many connections it
// has closed.
func (d *shedder) relieve(b *bound, target int64) int {
	closed := 0
	for {
		before := closed
		ending := int64(0) // what a worker is about to free
		worst := heaviest(d.server.hub, shedMost, func(c *conn.Conn) int {
			n, soon := b.held(c)
			if soon {
				ending += int64(n)
				return 0
			}
			if b.weight != nil {
				return b.weight(c)
			}
			return n
		})
		for _, w := range worst {
			if b.sum.Load()-ending <= target {
				return closed
			}
			if w.conn.Shed(b.reason) {
				closed++
			}
			if n, soon := b.held(w.conn); soon {
				ending += int64(n)
			}
		}
		if len(worst) < shedMost || closed == before {
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
