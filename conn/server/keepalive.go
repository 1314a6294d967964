//go:build linux

package server

import (
	"sync/atomic"
	"time"

	"roost/conn"
	"roost/conn/hub"
)

// sweeper is the one goroutine behind all deadlines, and behind the bounds on what
// all connections hold together. Every tick it sets the clock of the connections
// and visits a slice of the slots, so that each connection is looked at several
// times per deadline and no tick is expensive.
type sweeper struct {
	slowest time.Duration // between two ticks; static after Start

	stop chan struct{}
	done chan struct{}
	beat chan struct{} // taken from as long as the sweeper works

	sweeps atomic.Uint64
	swept  atomic.Uint64 // connections
}

// Each deadline is met to within 1/sweepsPerDeadline of its length.
const sweepsPerDeadline = 4

func (w *sweeper) start(s *Server) {
	w.stop, w.done, w.beat = make(chan struct{}), make(chan struct{}), make(chan struct{})
	go w.run(s)
}

func (w *sweeper) close() {
	if w.stop != nil {
		close(w.stop)
		<-w.done
	}
}

func (w *sweeper) run(s *Server) {
	defer close(w.done)
	c := s.group.Config
	always := least(least(c.PingInterval, c.IdleTimeout), s.access.expiry)
	passing := least(c.HandshakeTimeout, c.CloseTimeout)
	tick := w.slowest
	if shortest := least(always, passing); shortest > 0 {
		tick = min(max(shortest/(2*sweepsPerDeadline), 2*time.Millisecond), tick)
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var cur hub.Cursor
	var looked, second time.Time // when memory and addresses were looked at last
	var seen uint64
	var date int64 // Unix time of this tick, for what expires
	sweep := func(c *conn.Conn) {
		seen++
		c.Sweep()
		s.access.sweep(c, date)
	}
	alarm, rest := s.shedder.wake, (<-chan time.Time)(nil)
	for {
		select {
		case <-w.stop:
			if s.memory.collecting != nil {
				<-s.memory.collecting
			}
			return
		case <-w.beat:
		case <-s.memory.collecting:
			s.memory.collected(time.Now())
		case <-alarm:
			began := time.Now()
			s.shedder.shed(began)
			// To look at a million connections takes a while, and deadlines have to be met.
			alarm, rest = nil, time.After(max(shedEvery, time.Since(began)))
		case slow := <-s.summary.slow:
			s.summary.tell(slow)
		case <-rest:
			alarm, rest = s.shedder.wake, nil
		case now := <-ticker.C:
			s.group.Tick(now)
			// Descriptors may have come free elsewhere in the process.
			s.resumeListeners()
			s.summary.log(now)
			if now.Sub(looked) >= s.memory.every-tick/2 {
				looked = now
				s.memory.look(now, false)
			}
			if now.Sub(second) >= time.Second-tick/2 {
				second = now
				s.clients.visitors.sweep(s.clock())
			}
			deadline := always
			if st := &s.group.Stats; st.Handshaking.Load()+st.Closing.Load() > 0 {
				deadline = least(always, passing)
			}
			if deadline == 0 {
				continue // nothing can expire
			}
			date = s.access.now().Unix()
			pass := deadline / sweepsPerDeadline
			slots := s.hub.Slots()
			s.hub.Walk(&cur, int(int64(slots)*int64(tick)/int64(max(pass, tick)))+1, sweep)
			w.sweeps.Add(1)
			w.swept.Add(seen)
			seen = 0
		}
	}
}

// least of the durations that are not 0; 0 when all are.
func least(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
