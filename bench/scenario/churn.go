package scenario

import (
	"time"

	"roost/bench"
)

// churn connects, completes the handshake and leaves, over and over in every
// slot. The client's dialler does the work.
type churn struct {
	still
	s        *session
	group    *Group
	slots    slots
	dialling *bench.Dialling // nil before the traffic begins
	ends     int64
}

func (w *churn) begin(time.Duration) {
	if w.slots.from < w.slots.to {
		w.dialling = w.s.cl.Dial(bench.Dial{From: w.slots.from, To: w.slots.to, Pace: w.group.Rate, Recycle: true})
	}
}

func (w *churn) opened(c *bench.Conn) { leave(w.s.cl, c, w.group.Leave) }

// leave ends a connection in one of the ways a client can.
func leave(cl *bench.Client, c *bench.Conn, how string) {
	if how == LeaveClose {
		cl.Close(c)
		return
	}
	cl.Abort(c, how == LeaveRST)
}

func (w *churn) ended(*bench.Conn) { w.ends++ }

func (w *churn) sending() bool { return w.dialling != nil && w.dialling.Active() }

// stop lets the handshakes in flight finish, or fail by their own deadline.
func (w *churn) stop() {
	if w.dialling != nil {
		w.dialling.Stop()
	}
}

func (w *churn) complete() bool { return w.dialling == nil || w.dialling.Done() }

func (w *churn) handshakes() int64 {
	if w.dialling == nil {
		return 0
	}
	return w.dialling.Report().Opened
}

func (w *churn) moved() int64 { return w.ends + w.handshakes() }

func (w *churn) progress() (done, total int64, unit string) { return w.handshakes(), 0, "handshakes" }

func (w *churn) report() PartReport {
	r := PartReport{Name: w.group.Name, Role: string(Churn), Conns: int64(w.slots.to - w.slots.from)}
	if w.s.measured {
		dialled := bench.NoneDialled()
		if w.dialling != nil {
			dialled.Add(w.dialling.Report())
		}
		r.Churn = &dialled
	}
	return r
}
