//go:build linux

package admin

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// stuck is the answer to a client that reads nothing until released.
type stuck struct {
	*httptest.ResponseRecorder
	writing  chan struct{}
	released chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	s.writing <- struct{}{}
	<-s.released
	return len(p), nil
}

// Who is slow to read a list of connections holds up nobody else who asks for one.
func TestSlowReaderOfConnsHoldsUpNobody(t *testing.T) {
	h, _, _ := newTestHistory(t)
	ask := func(w http.ResponseWriter) {
		h.listener.conns(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/conns?format=json", http.NoBody))
	}
	slow := &stuck{httptest.NewRecorder(), make(chan struct{}, 1), make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ask(slow)
	}()
	<-slow.writing
	quick := httptest.NewRecorder()
	ask(quick)
	if quick.Code != http.StatusOK {
		t.Errorf("status %d", quick.Code)
	}
	close(slow.released)
	<-done
}
