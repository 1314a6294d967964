//go:build roostsim

package simtest

import (
	"slices"
	"syscall"
	"time"

	"roost/conn"
	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/conn/hub"
	"roost/poller"
	"roost/poller/sim"
	"roost/poller/sim/context"
	"roost/poller/sim/kernel"
	"roost/poller/socket"
)

// run is one seed's server and all that is around it.
type run struct {
	plan
	world  *sim.World
	kernel *kernel.Kernel

	group    *conn.Group
	hub      *hub.Hub
	poller   *poller.Poller
	listener *poller.Listener

	clients  []*client
	sessions []*session
	byConn   map[*conn.Conn]*session

	published []*broadcast // in order
	place     map[string]int
	dropped   int // frames of which we know that they were dropped
	conflated int // frames whose fate that was

	base     time.Time
	clock    time.Duration // what the group was told last
	seated   int
	draining bool
	receipts []*hub.Receipt
	keyed    bool            // a broadcast had a key
	over     *context.Ending // the end of patience with the shutdown
	done     bool            // the server has stopped
	sweeping bool

	alarmed   bool
	alarm     sim.Queue // the shedder
	empty     sim.Queue // the stopper
	strangers int
	think     sim.Queue // clients between two things they do
	hungry    sim.Queue // clients that do not read for now
}

func newRun(w *sim.World) *run {
	r := &run{
		plan: newPlan(), world: w, kernel: kernel.K,
		byConn: map[*conn.Conn]*session{}, place: map[string]int{},
		// Far from the zero of the group's clock, so that all stamps have the same fraction.
		base: time.Now(), clock: time.Hour,
		over: context.New(),
	}
	w.Tap = r.tap
	policy := &handshake.Policy{Path: "/ws", Subprotocols: []string{"chat"}, MaxHead: maxHead, MaxHeaders: 10, Compress: r.compressor != nil}
	c := r.plan.conn
	c.Handler, c.Policy, c.Log = handler{r}, policy, logger()
	c.Exceeded = func() { r.alarmed = true; r.alarm.Wake(1) }
	c.Admit, c.Prelude, c.Seat, c.HandOff, c.Gone = r.admit, prelude, r.seat, r.handOff, r.gone
	r.group = conn.NewGroup(c)
	r.group.Tick(r.base.Add(r.clock))
	var err error
	if r.hub, err = hub.New(r.plan.hub); err != nil {
		sim.Fail("hub: %v", err)
	}
	p := r.plan.poller
	p.NewScratch = conn.NewScratch
	p.OnError = func(err error) { sim.Fail("reactor: %v", err) }
	if r.poller, err = poller.New(p); err != nil {
		sim.Fail("poller: %v", err)
	}
	r.listener, err = r.poller.Listen("127.0.0.1:8000", poller.ListenerConfig{
		OnAccept: r.adopt,
		Admit:    r.admits,
		OnPause:  func(errno syscall.Errno) { sim.Note("accepting pauses: %v", errno) },
		OnResume: func() { sim.Note("accepting again") },
	})
	if err != nil {
		sim.Fail("listen: %v", err)
	}
	sim.Go("shedder", r.shedder)
	return r
}

// tap sees what has its place in the order of steps, see package rewrite.
func (r *run) tap(what string, args []any) {
	switch what {
	case "hub.publish":
		m := args[1].(*hub.Message)
		payload := string(m.Frame.Payload())
		r.place[payload] = len(r.published)
		scope := m.Topics
		if len(scope) == 0 {
			scope = topicNames[:1]
		}
		r.published = append(r.published, &broadcast{payload, r.audience(args[2]), m.Key, scope})
	case "conn.enter":
		if s := r.byConn[args[0].(*conn.Conn)]; s != nil {
			s.enter(args[1].(conn.State))
		}
	case "conn.closeLocked":
		if s := r.byConn[args[0].(*conn.Conn)]; s != nil && s.state == conn.StateOpen {
			s.code, s.why = args[1].(frame.StatusCode), args[3].(conn.Reason)
		}
	case "conn.failLocked":
		if s := r.byConn[args[0].(*conn.Conn)]; s != nil && s.state < conn.StateFailed && s.why == conn.ReasonNone {
			s.code, s.why = conn.StatusAbnormal, args[1].(conn.Reason)
		}
	}
}

func (r *run) admits() bool { return r.hub.Len() < r.most }

func (r *run) adopt(fd int) {
	if r.draining {
		socket.Close(fd)
		return
	}
	_ = socket.SetNoDelay(fd)
	c := conn.New(r.group)
	s := r.newSession(c, r.kernel.Socket(fd))
	r.hub.Join(c)
	var received []byte
	if sim.Chance(4) {
		// As from net/http, which has read before it gives a descriptor back.
		sim.Nap()
		buf := make([]byte, 1+sim.Pick(one(50, 600)))
		n, errno := socket.Recv(fd, buf)
		if errno == 0 {
			received = buf[:n]
		}
	}
	start := func() error { return c.Start(r.poller, fd, received) }
	if received == nil && sim.Chance(10) {
		start = func() error { return c.StartRefused(r.poller, fd, conn.Overloaded) }
	} else if sim.Chance(4) {
		c.ExpectPrelude()
	}
	if err := start(); err != nil {
		s.failed = true
		if !s.end.Unwatched() {
			sim.Fail("%v cannot be registered, and epoll is not to blame: %v", s, err)
		}
		return
	}
	if r.draining {
		c.Shutdown()
	}
}

func (r *run) admit(c *conn.Conn) bool {
	if r.draining {
		c.Hold()
		return false
	}
	return r.hub.Admit(c)
}

// prelude wants to see a few bytes and takes none of them.
func prelude(_ *conn.Conn, b []byte) (int, *conn.Refusal) {
	if len(b) < 3 {
		return -1, nil
	}
	return 0, nil
}

// seat takes its time with some, who are asked about elsewhere.
func (r *run) seat(c *conn.Conn, _ *handshake.Request) *conn.Refusal {
	s := r.byConn[c]
	if s.asked == 0 && sim.Chance(4) {
		c.Hold()
		s.asked = 1
		sim.Go("asker", func() {
			sim.Nap()
			s.asked = 2
			c.Release()
		})
		return conn.Later
	}
	if s.asked == 1 {
		sim.Fail("%v is asked about again before there is an answer", s)
	}
	if r.seated == r.seats {
		return conn.Overloaded
	}
	r.seated++
	s.subscribe()
	return nil
}

func (r *run) handOff(_ *conn.Conn, fd int, received []byte) {
	e := r.kernel.Socket(fd)
	c := r.client(e.Peer())
	if len(received) > len(c.written) || string(received) != string(c.written[:len(received)]) {
		sim.Fail("handed off with %q, but the client sent %q", received, c.written)
	}
	sim.Note("%v is handed off", e)
	socket.Close(fd)
}

func (r *run) gone(c *conn.Conn, seated bool) {
	s := r.byConn[c]
	if s.gone {
		sim.Fail("%v is gone twice", s)
	}
	s.gone = true
	if seated {
		r.seated--
	}
	if !s.end.Closed() {
		sim.Fail("%v is gone and its descriptor is open", s)
	}
	r.hub.Leave(c)
	r.listener.Resume()
	if r.hub.Len() == 0 {
		r.empty.Wake(1)
	}
}

// stop is server.Shutdown, or server.Close unless it is graceful.
func (r *run) stop(graceful bool) {
	if graceful {
		r.listener.Drain()
	}
	r.draining = true
	sim.Step("draining")
	if graceful {
		r.hub.Seal()
		if r.hub.Drain(r.over) == nil {
			for _, s := range r.sessions {
				if s.state == conn.StateOpen {
					s.due = len(r.published)
				}
			}
		}
		r.hub.Each((*conn.Conn).Shutdown)
		for r.hub.Len() > 0 && r.over.Err() == nil {
			r.empty.Park("server to be empty")
		}
	}
	r.listener.Close()
	r.hub.Each(func(c *conn.Conn) { c.Abort(conn.ReasonShutdown) })
	for r.hub.Len() > 0 {
		r.empty.Park("server to be empty")
	}
	r.hub.Close()
	if err := r.poller.Close(); err != nil {
		sim.Fail("closing the poller: %v", err)
	}
	r.done = true
	r.alarm.Wake(1)
}

// shedder is server.shedder, with less care for large numbers.
func (r *run) shedder() {
	for !r.done {
		if !r.alarmed {
			r.alarm.Park("alarm")
			continue
		}
		r.alarmed = false
		st := &r.group.Stats
		r.shed(st.WriteQueued.Load, r.plan.conn.WriteQueueTotal, conn.ReasonWriteQueueTotal,
			func(c *conn.Conn) int { return c.WriteQueued() })
		r.shed(st.ReadKept.Load, r.plan.conn.ReadBufferTotal, conn.ReasonReadBufferTotal, func(c *conn.Conn) int {
			n, ending := c.ReadKept()
			if ending {
				return 0
			}
			return n
		})
	}
}

func (r *run) shed(sum func() int64, limit int64, why conn.Reason, held func(*conn.Conn) int) {
	if limit == 0 || sum() <= limit {
		return
	}
	type weighed struct {
		c *conn.Conn
		n int
	}
	var all []weighed
	r.hub.Each(func(c *conn.Conn) {
		if n := held(c); n > 0 {
			all = append(all, weighed{c, n})
		}
	})
	slices.SortStableFunc(all, func(a, b weighed) int { return b.n - a.n })
	for _, w := range all {
		if sum() <= limit-limit/10 {
			return
		}
		w.c.Shed(why)
	}
}
