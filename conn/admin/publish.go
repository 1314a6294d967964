//go:build linux

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"roost/conn/frame"
	"roost/conn/hub"
	"roost/conn/server"
)

const (
	// mostPublishing is how many requests may publish, or wait for the end of it, at once; half of
	// mostConns stay for whoever wants to look. Each keeps up to about three times the longest
	// payload while it comes.
	mostPublishing = mostConns / 2
	// slowestTurn is how long a request may wait to be one of them.
	slowestTurn = time.Second
	// slowestBody is how long the body of a request may take to arrive.
	slowestBody = 30 * time.Second
	// comeAgain is the Retry-After, in seconds. A broadcast queue takes less to be half empty.
	comeAgain = 1
)

// refusal is why a message is not published, or not again.
type refusal struct {
	status int // of HTTP
	result result
	why    string // for whoever asked
}

func (f *refusal) Error() string { return f.why }

// refusalOf finds the status for what the hub, the server or a check says.
func refusalOf(err error) *refusal {
	var f *refusal
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, hub.ErrBusy):
		return &refusal{http.StatusTooManyRequests, resultBusy, "the broadcast queue is full: come again"}
	case errors.Is(err, hub.ErrClosed), errors.Is(err, server.ErrNotStarted):
		return &refusal{http.StatusServiceUnavailable, resultUnavailable, "this server is not serving: publish at another one (" + err.Error() + ")"}
	}
	return &refusal{http.StatusBadRequest, resultInvalid, err.Error()}
}

// isPublish reports whether r is for one of the paths that publish.
func isPublish(r *http.Request) bool {
	return r.URL.Path == "/publish" || r.URL.Path == "/publish/batch"
}

// publish takes one message, or several if that is what comes.
func (l *Listener) publish(w http.ResponseWriter, r *http.Request) {
	if mediaType(r) == ndjson {
		l.batch(w, r)
		return
	}
	if len(l.places)-1 > mostConns/2 { // one is for who comes next; somebody else may wait for his
		w.Header().Set("Connection", "close")
	}
	f, topics, err := l.publishOne(w, r)
	if err != nil {
		l.refusePublish(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(f.answer(topics)) // fails when the client has left
}

func (l *Listener) publishOne(w http.ResponseWriter, r *http.Request) (f *fate, topics []string, err error) {
	o, err := l.newOrder(r)
	if err != nil {
		return nil, nil, err
	}
	leave, err := l.turn(r.Context())
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	if o.payload, err = l.payload(w, r); err != nil {
		return nil, nil, err
	}
	if o.op == frame.Text && !utf8.Valid(o.payload) {
		return nil, nil, errNotUTF8
	}
	first, f, err := l.publishing.keys.begin(o.idempotencyKey, o.fingerprint())
	switch {
	case err != nil:
		return nil, nil, err
	case f != nil:
		w.Header().Set("Idempotency-Replayed", "true")
		l.publishing.count(resultReplayed)
		return f, o.topics, nil
	}
	defer func() { l.publishing.keys.end(first, f) }()
	m := o.forHub()
	o.payload = nil // the frame has it; the wait may be long
	if o.wait == 0 {
		published, err := l.config.Server.TryPublish(m)
		if err != nil {
			return nil, nil, err
		}
		l.publishing.count(resultAccepted)
		return &fate{status: http.StatusAccepted, seq: published.Seq, subscribers: published.Members}, o.topics, nil
	}
	f, err = l.publishAndWait(w, r, m, o.wait)
	return f, o.topics, err
}

// turn is one of the places of those who publish, to be left.
func (l *Listener) turn(ctx context.Context) (leave func(), err error) {
	places := l.publishing.places
	ctx, cancel := context.WithTimeout(ctx, slowestTurn)
	defer cancel()
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, &refusal{http.StatusTooManyRequests, resultBusy,
			"too many requests publish or wait at once, " + strconv.Itoa(cap(places)) + ": come again, or send a batch"}
	}
}

// mostPayload is the longest payload, in bytes: the broadcast queue must take it without
// the room that is the handlers'.
func (l *Listener) mostPayload() int64 {
	const header = 10 // the longest of a server's frame, RFC 6455 section 5.2
	most := int64(l.config.Server.Settings().BroadcastQueueBytes) - header
	if l.config.PublishMax > 0 {
		most = min(most, l.config.PublishMax)
	}
	return most
}

// payload reads the body.
func (l *Listener) payload(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	most := l.mostPayload()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(slowestBody)) // HTTP/1 can
	// Also of a body that is known to be too long: net/http gives a client whose body was read
	// beyond a bound time to read the answer, and resets others that close.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, &refusal{http.StatusRequestEntityTooLarge, resultTooBig,
			"the message is too long: " + strconv.FormatInt(most, 10) + " bytes are the most (--publish-max, --broadcast-queue-bytes)"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &refusal{http.StatusRequestTimeout, resultCutOff, "the body took longer than " + slowestBody.String()}
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, resultCutOff, "the body did not come whole: " + err.Error()}
	}
	return body, nil
}

// refusePublish answers with why nothing was published.
func (l *Listener) refusePublish(w http.ResponseWriter, err error) {
	f := refusalOf(err)
	l.publishing.count(f.result)
	switch f.status {
	case http.StatusTooManyRequests:
		l.publishing.warn(l.config.Log, f.why)
		w.Header().Set("Retry-After", strconv.Itoa(comeAgain))
	case http.StatusConflict:
		w.Header().Set("Retry-After", strconv.Itoa(comeAgain))
	}
	if f.result == resultCutOff || f.result == resultTooBig {
		w.Header().Set("Connection", "close") // nobody wants the rest of the body
	}
	text(w, f.status, f.why)
}
