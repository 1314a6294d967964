package auth

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"roost/conn/handshake"
	"roost/conn/keyfile"
)

// Backend asks a URL about requests, a bounded number at once. Its methods may be called
// from any goroutine.
type Backend struct {
	config Config // static
	client *http.Client
	queue  chan *Question

	ctx    context.Context // of all questions, until Close
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Headers of a question, beside those of the request that are passed on.
const (
	forwardedFor = "X-Forwarded-For" // the address of the client
	originalURI  = "X-Original-Uri"  // the request target: path and query
)

// Question is one request, of which it holds copies, and what became of it.
type Question struct {
	header http.Header
	told   func()

	ctx    context.Context // from Ask to Cancel
	cancel context.CancelFunc
	answer atomic.Pointer[Answer]
}

// Answer is what the back end says: one field is set.
type Answer struct {
	Grant  *Grant
	Status int   // 401 or 403: the request is refused
	Err    error // nothing of use
}

// NewBackend asks on behalf of a Config that is valid, until Close.
func NewBackend(config Config) *Backend {
	b := &Backend{config: config.WithDefaults()}
	b.client = newClient(b.config.Concurrency)
	b.queue = make(chan *Question, b.config.Queue)
	b.ctx, b.cancel = context.WithCancel(context.Background())
	for range b.config.Concurrency {
		b.done.Go(b.work)
	}
	return b
}

// Close gives up the questions that are under way. Nobody is told.
func (b *Backend) Close() {
	b.cancel()
	b.done.Wait()
	b.client.CloseIdleConnections()
}

// Waiting is how many questions are not being asked yet.
func (b *Backend) Waiting() int { return len(b.queue) }

// Ask asks about a request, of which it keeps nothing. told is called once from another
// goroutine when there is an answer, unless the question is cancelled before, and maybe even
// then; it must not block. Ask returns nil when too many questions wait.
func (b *Backend) Ask(r *handshake.Request, client netip.Addr, told func()) *Question {
	q := &Question{header: http.Header{}, told: told}
	for name, value := range r.Headers() {
		for _, forward := range b.config.Forward {
			if strings.EqualFold(string(name), forward) {
				q.header.Add(forward, string(value))
			}
		}
	}
	if client.IsValid() {
		q.header.Set(forwardedFor, client.String())
	}
	q.header.Set(originalURI, string(r.Target))
	q.ctx, q.cancel = context.WithTimeout(b.ctx, b.config.Timeout)
	select {
	case b.queue <- q:
		return q
	default:
		q.cancel()
		return nil
	}
}

// Answer is nil as long as there is none.
func (q *Question) Answer() *Answer { return q.answer.Load() }

// Cancel says that nobody waits for the answer any more. It may be called again.
func (q *Question) Cancel() { q.cancel() }

func (b *Backend) work() {
	for {
		select {
		case <-b.ctx.Done():
			return
		case q := <-b.queue:
			a := b.ask(q)
			q.cancel()
			if b.ctx.Err() != nil {
				return
			}
			q.answer.Store(&a)
			q.told()
		}
	}
}

func (b *Backend) ask(q *Question) Answer {
	if err := q.ctx.Err(); err != nil { // it has waited too long for its turn, or is cancelled
		return Answer{Err: fmt.Errorf("not asked: %w", err)}
	}
	req, err := http.NewRequestWithContext(q.ctx, http.MethodGet, b.config.URL, nil)
	if err != nil {
		return Answer{Err: plain(err)}
	}
	req.Header = q.header
	res, err := b.client.Do(req)
	for errors.Is(err, context.Canceled) && q.ctx.Err() == nil {
		// Another question was cancelled just when net/http had passed its connection on
		// to this one, and took the connection with it.
		res, err = b.client.Do(req)
	}
	if err != nil {
		return Answer{Err: plain(err)}
	}
	defer func() { _ = res.Body.Close() }() // read to its end, or of no use
	body, err := keyfile.ReadAtMost(res.Body, mostAnswer)
	switch status := res.StatusCode; {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return Answer{Status: status}
	case status < 200 || status > 299:
		return Answer{Err: fmt.Errorf("the back end answered %d", status)}
	case err != nil:
		return Answer{Err: fmt.Errorf("the back end's answer: %w", plain(err))}
	}
	return b.config.judge(res.Header.Get("Content-Type"), body, time.Now())
}

// judge reads a good answer. JSON says what the client may do; without, it is let in and
// may do what anybody may that is let in.
func (c *Config) judge(contentType string, body []byte, now time.Time) Answer {
	var got claims
	kind, _, _ := mime.ParseMediaType(contentType)
	if kind == "" && contentType != "" {
		return Answer{Err: errors.New("the back end's answer has a malformed Content-Type")} // it may forbid something
	}
	if kind == "application/json" && len(body) > 0 {
		if err := json.Unmarshal(body, &got); err != nil {
			return Answer{Err: errors.New("the back end's answer is malformed JSON")}
		}
	}
	if got.Expires != nil && float64(now.Unix()) >= float64(*got.Expires) {
		return Answer{Status: http.StatusUnauthorized}
	}
	grant, err := c.allow(&got)
	if err != nil {
		return Answer{Err: errors.New("the back end's answer: sub, topics or pub are malformed")}
	}
	return Answer{Grant: grant}
}
