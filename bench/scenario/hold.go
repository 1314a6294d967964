package scenario

import (
	"time"

	"roost/bench"
)

// hold keeps its connections open and counts those that do not last. In the end
// each must answer a ping: a connection can be dead without anybody knowing.
type hold struct {
	still
	s     *session
	name  string
	slots slots

	found  bench.Hold
	opens  int64
	ends   int64
	next   int    // the slot that is pinged next
	ponged []bool // by slot of the group; nil before the draining
}

func (w *hold) opened(*bench.Conn)                               { w.opens++ }
func (w *hold) ended(*bench.Conn)                                { w.ends++ }
func (w *hold) message(*bench.Conn, byte, []byte, time.Duration) { w.found.Messages++ }

func (w *hold) drain(*Meeting) {
	w.found.Seconds = (w.s.cl.Now() - w.s.start).Seconds()
	w.found.Open = w.opens - w.ends
	w.found.Dropped = w.ends
	w.ponged = make([]bool, w.slots.to-w.slots.from)
	w.next = w.slots.from
}

// step pings a part of the connections at a time, so that answers are read in
// between.
func (w *hold) step(time.Duration) time.Duration {
	if w.ponged == nil {
		return -1
	}
	for turn := 0; w.next < w.slots.to; w.next++ {
		if turn == sendsPerTurn {
			return 0
		}
		if c := w.s.cl.Conn(w.next); c.Open() {
			w.s.cl.Ping(c, nil)
			w.found.Pinged++
			turn++
		}
	}
	return -1
}

func (w *hold) pong(c *bench.Conn) {
	if w.ponged == nil {
		return
	}
	if answered := &w.ponged[c.Index()-w.slots.from]; !*answered {
		*answered = true
		w.found.Ponged++
	}
}

func (w *hold) complete() bool {
	return w.ponged != nil && w.next == w.slots.to && w.found.Pinged-w.found.Ponged <= w.ends-w.found.Dropped
}

func (w *hold) moved() int64 { return w.ends + w.found.Ponged + w.found.Messages }

func (w *hold) report() PartReport {
	r := PartReport{Name: w.name, Role: string(Hold), Conns: int64(w.slots.to - w.slots.from)}
	if w.found.Seconds > 0 { // else it never came to holding
		r.Hold = &w.found
	}
	return r
}
