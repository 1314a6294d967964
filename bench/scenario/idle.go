package scenario

import (
	"context"
	"time"

	"roost/bench"
)

// idle holds the connections and counts those that do not last.
type idle struct {
	hold     bench.Hold
	messages int64
}

func (w *idle) Opened(*bench.Conn)                               {}
func (w *idle) Ended(*bench.Conn)                                {}
func (w *idle) Message(*bench.Conn, byte, []byte, time.Duration) { w.messages++ }

func (w *idle) run(ctx context.Context, s *session) error {
	start := s.cl.Now()
	s.cl.SetPhase("hold", func() (int64, int64, string) {
		return (s.cl.Now() - start).Milliseconds(), s.opt.Duration.Milliseconds(), "milliseconds"
	})
	err := s.cl.Drive(ctx, func(now time.Duration) (time.Duration, bool) {
		if s.opt.Duration == 0 {
			return -1, s.cl.OpenCount() == 0
		}
		return start + s.opt.Duration - now, now-start >= s.opt.Duration || s.cl.OpenCount() == 0
	})
	w.hold.Seconds = (s.cl.Now() - start).Seconds()
	w.hold.Open = int64(s.cl.OpenCount())
	return err
}

func (w *idle) fill(s *session) {
	if w.hold.Seconds == 0 {
		return // never came to holding
	}
	w.hold.Dropped = s.res.Opening.Opened - w.hold.Open
	w.hold.Messages = w.messages
	s.res.Hold = &w.hold
}

func (w *idle) units() int64 { return 0 }
