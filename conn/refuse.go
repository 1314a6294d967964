//go:build linux

package conn

import (
	"fmt"
	"net/http"
	"net/netip"

	"roost/poller"
	"roost/poller/socket"
)

// Refusal is an HTTP answer in place of a WebSocket. It is read-only: any number of
// connections may be given the same one.
type Refusal struct {
	Response []byte // head and body
	Reason   Reason
}

// Overloaded refuses those for whom there is no room (503).
var Overloaded = NewRefusal(http.StatusServiceUnavailable, ReasonOverloaded, "the server is full; try again later.")

// Later is no refusal: see [Config].Seat.
var Later = new(Refusal)

// NewRefusal is a refusal with status, and one line for whoever sees the body. Those
// that are only for now (429 and 503) ask the client to come back in 5 seconds
// (RFC 9110 section 10.2.3, RFC 6585 section 4); 401 asks for a bearer token (RFC 6750
// section 3).
func NewRefusal(status int, why Reason, text string) *Refusal {
	header := ""
	switch status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		header = "Retry-After: 5\r\n"
	case http.StatusUnauthorized:
		header = "WWW-Authenticate: Bearer\r\n"
	}
	return &Refusal{Reason: why, Response: fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\n%s"+
		"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s\n",
		status, http.StatusText(status), header, len(text)+1, text)}
}

// unwatched refuses those whom epoll cannot watch.
var unwatched = &Refusal{Response: Overloaded.Response, Reason: ReasonRegisterFailed}

// RefuseUnwatched is StartRefused without a poller: it answers on fd, closes it at once,
// and c has ended.
func (c *Conn) RefuseUnwatched(fd int, r *Refusal) {
	peer := c.client()
	c.mu.Lock()
	c.endUnwatchedLocked(fd, r)
	c.mu.Unlock()
	c.gone(r.Reason, false, peer)
}

// endUnwatchedLocked answers and closes. A request that has come must be read, or the
// close sends RST, which may destroy the answer. One that is on its way cannot be
// waited for.
func (c *Conn) endUnwatchedLocked(fd int, r *Refusal) {
	var head [512]byte
	_, _ = socket.Recv(fd, head[:])
	_, _ = socket.Send(fd, r.Response)
	socket.Close(fd)
	c.why = r.Reason
	c.enter(StateClosed)
}

// StartRefused is Start for a connection that is refused before its request is read: it
// closes with the answer of r, under the close deadline.
func (c *Conn) StartRefused(p *poller.Poller, fd int, r *Refusal) error {
	// The lock keeps everybody from the registration who learns from the state that it
	// is there, and its first run from ending the connection before the answer.
	c.mu.Lock()
	if c.State() == StateNew { // else a shutdown was faster
		c.why = r.Reason
		c.enter(StateClosing)
	}
	if err := p.Register(&c.reg, fd, c); err != nil {
		c.endUnwatchedLocked(fd, r)
		c.mu.Unlock()
		c.gone(r.Reason, false, netip.AddrPort{})
		return err
	}
	defer c.mu.Unlock()
	if c.State() != StateClosing {
		c.reg.Call()
		return nil
	}
	c.answerLocked(r)
	return nil
}

// refuse sends an HTTP answer and closes.
func (c *Conn) refuse(r *Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() >= StateClosing {
		return
	}
	c.why = r.Reason
	c.enter(StateClosing)
	c.answerLocked(r)
}

func (c *Conn) answerLocked(r *Refusal) {
	c.since.Store(c.group.now.Load())
	c.writeLocked(r.Response, 1)
	c.flushLocked()
}
