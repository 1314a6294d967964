package scenario

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// postersAtOnce bounds the requests under way in the open loop.
	postersAtOnce = 64
	postTimeout   = 10 * time.Second
)

// poster publishes over HTTP: each message is the body of a POST, from a bounded
// number of goroutines. post, full, collect, stop and done belong to the
// goroutine that drives the client.
type poster struct {
	url     string
	kind    string // Content-Type
	client  http.Client
	wake    func()
	jobs    chan []byte
	stopped bool
	ctx     context.Context // of all requests; ended by end
	cancel  context.CancelFunc
	workers sync.WaitGroup

	pending           int64
	accepted, refused atomic.Int64 // since the last collect
}

func newPoster(g *Group, wake func()) *poster {
	p := &poster{url: g.PublishURL, kind: "application/octet-stream", client: http.Client{Timeout: postTimeout}, wake: wake}
	if g.Payload.Text {
		p.kind = "text/plain; charset=utf-8"
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	workers := g.InFlight
	if g.Rate.Limited() {
		workers = postersAtOnce
	}
	p.client.Transport = &http.Transport{MaxIdleConnsPerHost: workers}
	p.jobs = make(chan []byte, workers)
	for range workers {
		p.workers.Go(p.work)
	}
	return p
}

func (p *poster) work() {
	for body := range p.jobs {
		if p.send(body) {
			p.accepted.Add(1)
		} else {
			p.refused.Add(1)
		}
		p.wake()
	}
	p.client.CloseIdleConnections()
}

func (p *poster) send(body []byte) (accepted bool) {
	request, err := http.NewRequestWithContext(p.ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return false
	}
	request.Header.Set("Content-Type", p.kind)
	answer, err := p.client.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body) // so that the connection is used again
	return err == nil && answer.StatusCode/100 == 2
}

// post hands over a copy of body. full must have said false.
func (p *poster) post(body []byte) {
	p.pending++
	p.jobs <- bytes.Clone(body)
}

func (p *poster) full() bool { return len(p.jobs) == cap(p.jobs) }

// collect takes what has been answered since the last call.
func (p *poster) collect() (accepted, refused int64) {
	accepted, refused = p.accepted.Swap(0), p.refused.Swap(0)
	p.pending -= accepted + refused
	return accepted, refused
}

// stop takes no more; what was handed over is still sent.
func (p *poster) stop() {
	if !p.stopped {
		p.stopped = true
		close(p.jobs)
	}
}

// done tells whether everything has been answered and collected.
func (p *poster) done() bool { return p.pending == 0 }

// end gives up the requests under way.
func (p *poster) end() {
	p.stop()
	p.cancel()
	p.workers.Wait()
}
