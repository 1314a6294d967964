//go:build linux

package admin

import (
	"context"
	"net/http"
	"time"

	"roost/conn/hub"
)

// fate is what has become of a message, without its topics.
type fate struct {
	status      int // of HTTP
	seq         uint64
	subscribers int
	report      *report // nil for those who did not wait
}

// report tells it of each subscriber.
type report struct {
	Delivered int     `json:"delivered"` // the kernel has taken the last byte
	Dropped   int     `json:"dropped"`   // it was slow, or got a newer one of the same key
	Closed    int     `json:"closed"`    // it went before
	Pending   int     `json:"pending"`   // it had to wait when the time was over
	P50       float64 `json:"p50_ms"`    // from publishing to the last byte, of those delivered
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
}

// answer is a fate as JSON.
type answer struct {
	Topic       string   `json:"topic,omitempty"`  // of a message with one
	Topics      []string `json:"topics,omitempty"` // of one with several
	Seq         uint64   `json:"seq"`
	Subscribers int      `json:"subscribers"`
	*report
}

func (f *fate) answer(topics []string) answer {
	a := answer{Seq: f.seq, Subscribers: f.subscribers, report: f.report}
	if len(topics) == 1 {
		a.Topic = topics[0]
	} else {
		a.Topics = topics
	}
	return a
}

// publishAndWait publishes m, and tells after the end of it, or when the time is over, the
// client leaves or the listener is closed, what has become of it.
func (l *Listener) publishAndWait(w http.ResponseWriter, r *http.Request, m hub.Message, wait time.Duration) (*fate, error) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(wait + slowestAnswer)) // else it is the body's, and the client seems to have left
	_ = c.SetWriteDeadline(time.Now().Add(wait + slowestAnswer))
	receipt := hub.NewReceipt()
	defer receipt.Forget()
	m.Receipt = receipt
	published, err := l.config.Server.TryPublish(m)
	if err != nil {
		return nil, err
	}
	l.publishing.count(resultAccepted)
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	n := receipt.Wait(ctx)
	if ctx.Err() != nil { // those whom no broadcaster has come to are missing
		n.Subscribers = max(n.Subscribers, published.Members)
		n.Pending = n.Subscribers - n.Delivered - n.Dropped - n.Closed
	}
	return &fate{status: http.StatusOK, seq: published.Seq, subscribers: n.Subscribers, report: &report{
		n.Delivered, n.Dropped, n.Closed, n.Pending, ms(n.P50), ms(n.P99), ms(n.Max),
	}}, nil
}

// ms is a time in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
