//go:build linux

package server

import (
	"testing"
	"time"

	"roost/conn/conntest"
	"roost/conn/hub"
)

// curious is a handler that asks how the server is while it starts.
type curious struct {
	echo
	ask func()
}

func (h curious) Attach(*hub.Hub) { h.ask() }

// Whoever asks during Start, or during the way back from half of it, gets an answer: a
// handler or the sweeper that waited for Start would wait for itself.
func TestQuestionsDoNotWaitForStart(t *testing.T) {
	var s *Server
	s, _ = prepare(t, Config{Handler: curious{ask: func() {
		if st := s.Stats(); st.Open != 0 {
			t.Error(st)
		}
		if err := s.Ready(); err != ErrNotStarted {
			t.Error(err)
		}
	}}})
	started := make(chan error, 1)
	go func() { started <- s.Start() }()
	select {
	case err := <-started:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(conntest.Patience):
		t.Fatal("Start waits for itself")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
