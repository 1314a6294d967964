//go:build linux

package server

import (
	"context"
	"sync"
	"time"

	"roost/conn"
	"roost/conn/hub"
)

const (
	// Closes are spread in waves, so that a million clients neither get their close
	// frame at the same moment nor reconnect elsewhere at once.
	waveEvery = 20 * time.Millisecond
	// waveLeast connections per wave: small servers stop without delay.
	waveLeast = 1000
)

// Shutdown stops the server gracefully:
//
//  1. For Config.DrainDelay all goes on, while Draining is true.
//  2. It stops accepting connections. Those that wait in the backlog are accepted first.
//  3. For Config.DrainTime it closes connections one by one with Config.DrainCode. The others
//     are served as before. When nobody is left, this phase ends.
//  4. It stops taking messages, sends what has been published, closes every connection
//     that is left in waves and waits for the closing handshakes; HTTP requests may take as
//     long as one of those, Config.CloseTimeout. Other nodes are sent what is left for them meanwhile.
//
// When ctx ends first, the connections that are left are closed at once and ctx's error
// is returned. A deadline of ctx that comes before the end of the second wait cuts both so
// that Config.CloseTimeout is left for the rest, or half of the time if that is less.
// The waves take half of the time until the deadline at the most.
//
// With Config.Blocking, handlers that do not return keep the rest from ending: then
// Shutdown returns when ctx ends, and the rest follows when they do. Neither
// Shutdown nor Close may be called by a Handler, except in a goroutine of its own.
//
// A server that was never started has nothing to stop; it cannot be started
// afterwards. When somebody else has begun to stop it, ErrStopping is returned at once.
func (s *Server) Shutdown(ctx context.Context) error {
	if started, first := s.begin(); !first {
		return ErrStopping
	} else if !started {
		return nil
	}
	if !s.config.Blocking {
		return s.shutdown(ctx)
	}
	done := make(chan error, 1)
	go func() { done <- s.shutdown(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) shutdown(ctx context.Context) error {
	defer s.release()
	delay, spread := s.phases(ctx)
	s.linger(ctx, delay)
	s.closeListeners()
	s.spread(ctx, spread)
	s.sealed.Store(true)
	httpDone := make(chan struct{})
	go func() {
		defer close(httpDone)
		s.stopHTTP(ctx)
	}()
	// After an error ctx is over, and what follows falls through to the end.
	s.hub.Seal()
	_ = s.hub.Drain(ctx)
	left := make(chan struct{})
	go func() {
		defer close(left)
		s.leave(ctx)
	}()
	s.waves(ctx)
	err := s.awaitEmpty(ctx)
	<-left
	<-httpDone
	return err
}

// Draining reports whether Shutdown or Close has begun: the server should get no new clients.
func (s *Server) Draining() bool { return s.draining.Load() }

// closeListeners stops accepting.
func (s *Server) closeListeners() {
	var all sync.WaitGroup
	for _, l := range *s.listeners.Load() {
		all.Go(l.Drain)
	}
	all.Wait()
}

// stopHTTP lets requests come to their end, for as long as a WebSocket client has for
// its part of a close. Whoever is slower cannot hold up the stop.
func (s *Server) stopHTTP(ctx context.Context) {
	if limit := s.group.CloseTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if err := s.http.Shutdown(ctx); err != nil {
		s.config.Log.Info("HTTP requests are cut off", "connections", s.doors.open.Load())
		_ = s.http.Close()
	}
}

// Close stops the server at once: connections are closed without a closing
// handshake. It does nothing when the server has stopped or is stopping, so it may
// be deferred. With Config.Blocking it does not wait for handlers that are running.
// The error is always nil.
func (s *Server) Close() error {
	switch started, first := s.begin(); {
	case !started || !first:
	case s.config.Blocking:
		go s.release()
	default:
		s.release()
	}
	return nil
}

// begin claims the right to stop the server, which the first caller gets.
func (s *Server) begin() (started, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = !s.stopped
	s.stopped = true
	if s.started && first {
		s.draining.Store(true)
	}
	return s.started, first
}

// waves tells every connection to close.
func (s *Server) waves(ctx context.Context) {
	wave := waveLeast
	if deadline, ok := ctx.Deadline(); ok {
		if n := time.Until(deadline) / 2 / waveEvery; n > 0 {
			wave = max(wave, s.hub.Slots()/int(n)+1)
		} else {
			wave = s.hub.Slots() + 1
		}
	}
	ticker := time.NewTicker(waveEvery)
	defer ticker.Stop()
	var cur hub.Cursor
	for !s.hub.Walk(&cur, wave, (*conn.Conn).Shutdown) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// awaitEmpty waits until the last connection is gone.
func (s *Server) awaitEmpty(ctx context.Context) error {
	for s.hub.Len() > 0 {
		select {
		case <-s.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// release ends everything that is left. It is also the way back from half a start.
func (s *Server) release() {
	s.draining.Store(true)
	s.sealed.Store(true)
	for _, l := range *s.listeners.Load() {
		l.Close()
	}
	_ = s.http.Close()
	_ = s.doors.Close()
	if s.sweeper.stop != nil { // started together with net/http
		<-s.httpDone
	}
	if s.hub != nil && s.poller != nil {
		s.hub.Each(func(c *conn.Conn) { c.Abort(conn.ReasonShutdown) })
		// Only workers stand between here and an empty hub, and they do not wait.
		_ = s.awaitEmpty(context.Background())
	}
	s.sweeper.close()
	s.pulse.close()
	s.access.close()
	s.keyring.close()
	s.shakes.done.Wait() // their connections have ended
	at, cancel := context.WithCancel(context.Background())
	cancel()
	s.leave(at)
	if s.hub != nil {
		s.hub.Close()
	}
	if s.poller != nil {
		if err := s.poller.Close(); err != nil {
			s.config.Log.Error("closing the poller", "err", err)
		}
	}
}
