//go:build linux

package server

import (
	"context"
	"math"
	"time"

	"roost/conn"
	"roost/conn/hub"
)

// progressEvery is how often the log is told how a drain goes on, at least four times.
const progressEvery = 5 * time.Second

// phases says how long Shutdown goes on accepting, and over how long it spreads the
// closes after that.
func (s *Server) phases(ctx context.Context) (delay, spread time.Duration) {
	delay, spread = s.config.DrainDelay, s.config.DrainTime
	deadline, ok := ctx.Deadline()
	if !ok || delay+spread == 0 {
		return delay, spread
	}
	left := max(0, time.Until(deadline))
	if left > delay+spread {
		return delay, spread
	}
	rest := left / 2
	if limit := s.group.CloseTimeout; limit > 0 {
		rest = min(rest, limit)
	}
	delay = min(delay, left-rest)
	return delay, min(spread, left-rest-delay)
}

// linger lets load balancers see that the server is draining.
func (s *Server) linger(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	s.config.Log.Info("draining: not ready any more, still accepting", "clients", s.Clients(), "for", d)
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// spread closes clients so that their number falls in a straight line to 0 within d,
// while the others are served. It ends earlier when nobody is left.
func (s *Server) spread(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	ticker, progress := time.NewTicker(waveEvery), time.NewTicker(max(waveEvery, min(progressEvery, d/4)))
	defer ticker.Stop()
	defer progress.Stop()
	stats := &s.group.Stats
	// Those that complete their handshake meanwhile count from the beginning.
	clients := float64(s.Clients()) - float64(stats.Opened.Load())
	end := time.Now().Add(d)
	s.config.Log.Info("draining: no new connections, the others are closed one by one", "clients", s.Clients(), "over", d)
	var cur hub.Cursor
	for s.hub.Len() > 0 || s.doors.open.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-progress.C:
			s.config.Log.Info("draining", "clients", s.Clients(), "left", max(0, time.Until(end)).Round(100*time.Millisecond))
		case now := <-ticker.C:
			left := end.Sub(now)
			if left <= 0 {
				return
			}
			keep := (clients + float64(stats.Opened.Load())) * float64(left) / float64(d)
			s.closeSome(&cur, s.Clients()-int(math.Round(keep)))
		}
	}
}

// closeSome closes n connections that are open, if there are as many, from the cursor on.
func (s *Server) closeSome(cur *hub.Cursor, n int) {
	for ends := 0; n > 0 && ends < 2; { // the second end comes behind the last slot of all
		if s.hub.Walk(cur, n, func(c *conn.Conn) {
			if n > 0 && c.State() == conn.StateOpen {
				c.Shutdown()
				n--
			}
		}) {
			ends++
		}
	}
}
