//go:build linux

package admin

import (
	"net/http"
	"time"
)

// slowestWatcher is how long one event may take to be written.
const slowestWatcher = 5 * time.Second

// events streams what the dashboard shows (HTML Standard, section 9.2, server-sent
// events): the past in one event, then one each second.
func (l *Listener) events(w http.ResponseWriter, r *http.Request) {
	past, coming, leave, ok := l.history.watch()
	if !ok {
		w.Header().Set("Retry-After", "5")
		text(w, http.StatusServiceUnavailable, "too many dashboards are open, or the server ends")
		return
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	c := http.NewResponseController(w)
	send := func(event []byte) bool {
		_ = c.SetWriteDeadline(time.Now().Add(slowestWatcher)) // HTTP/1 can
		_, err := w.Write(event)
		return err == nil && c.Flush() == nil
	}
	if !send(past) {
		return
	}
	for {
		select {
		case event, more := <-coming:
			if !more || !send(event) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
