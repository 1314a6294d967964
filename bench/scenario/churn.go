package scenario

import (
	"context"
	"time"

	"roost/bench"
)

// churn connects, completes the handshake and closes, over and over in every
// slot. Its client's dialler does the work.
type churn struct {
	s          *session
	measured   bool
	handshakes int64
}

func (w *churn) Ended(*bench.Conn)                                {}
func (w *churn) Message(*bench.Conn, byte, []byte, time.Duration) {}

func (w *churn) Opened(c *bench.Conn) {
	w.handshakes++
	w.s.cl.Close(c)
}

func (w *churn) run(ctx context.Context, s *session) error {
	w.measured = true
	s.cl.SetPhase("churn", func() (int64, int64, string) { return w.handshakes, 0, "handshakes" })
	s.cl.StartChurn()
	start := s.cl.Now()
	return s.cl.Drive(ctx, func(now time.Duration) (time.Duration, bool) {
		left := time.Duration(-1)
		if s.opt.Duration > 0 {
			if left = start + s.opt.Duration - now; left <= 0 {
				s.cl.StopDialling() // those in flight finish or fail by their own deadline
				left = -1
			}
		}
		return left, !s.cl.Churning()
	})
}

func (w *churn) fill(s *session) {
	if !w.measured {
		return
	}
	o := s.cl.Opening()
	s.res.Churn = &bench.Churn{
		Handshakes: o.Opened,
		Failed:     o.Failed,
		Seconds:    o.Seconds,
		PerSecond:  o.PerSecond,
		Handshake:  o.Handshake,
	}
	s.res.Opening.GaveUp = o.GaveUp
}

func (w *churn) units() int64 { return w.handshakes }
