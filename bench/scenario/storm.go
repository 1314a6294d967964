package scenario

import (
	"time"

	"roost/bench"
)

// retryPause is after which a connection that did not come back tries again.
const retryPause = 250 * time.Millisecond

// storm drops all its connections at once, as a network does that fails for a
// moment, and counts the time until each is back.
type storm struct {
	still
	s        *session
	group    *Group
	slots    slots
	dialling *bench.Dialling // nil before the drop

	dropped int64
	at      time.Duration // of the drop
	back    *bench.Recorder
	ends    int64
	gaveUp  bool
}

func (w *storm) begin(now time.Duration) {
	w.at = now
	for slot := w.slots.from; slot < w.slots.to; slot++ {
		c := w.s.cl.Conn(slot)
		if !c.Open() {
			continue
		}
		w.dropped++
		leave(w.s.cl, c, w.group.Leave)
	}
	if w.dropped > 0 {
		w.dialling = w.s.cl.Dial(bench.Dial{From: w.slots.from, To: w.slots.to, Pace: w.group.Ramp, Retry: retryPause})
	}
}

func (w *storm) opened(*bench.Conn) {
	if w.dialling != nil {
		w.back.Record(w.s.cl.Now() - w.at)
	}
}

func (w *storm) ended(*bench.Conn) { w.ends++ }

func (w *storm) limited() bool { return true }

func (w *storm) step(now time.Duration) time.Duration {
	if !w.sending() || w.s.spec.Duration == 0 {
		return -1
	}
	left := w.s.from + w.s.spec.Duration - now
	if left <= 0 {
		w.gaveUp = true
		w.stop()
	}
	return left
}

func (w *storm) sending() bool { return w.dialling != nil && !w.gaveUp && !w.dialling.Done() }

func (w *storm) stop() {
	if w.dialling != nil {
		w.dialling.Stop()
	}
}

func (w *storm) moved() int64 { return w.ends + w.back.Count() }

func (w *storm) progress() (done, total int64, unit string) {
	return w.back.Count(), w.dropped, "connections"
}

func (w *storm) report() PartReport {
	r := PartReport{Name: w.group.Name, Role: string(Storm), Conns: int64(w.slots.to - w.slots.from)}
	if w.s.measured {
		r.Storm = &StormReport{Dropped: w.dropped, Dialled: bench.NoneDialled(), Back: w.back}
		if w.dialling != nil {
			r.Storm.Dialled.Add(w.dialling.Report())
		}
	}
	return r
}
