//go:build linux

package server

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"roost/conn"
	"roost/conn/handshake"
	"roost/conn/secure"
	"roost/poller/socket"
)

// handoff is the net.Listener through which connections whose request is not for
// the WebSocket path reach net/http. There each has a goroutine of its own, so
// their number is bounded.
type handoff struct {
	conns  chan net.Conn // has room for most
	closed chan struct{}
	mu     sync.Mutex // held to add to conns, and to close

	most    int64
	open    atomic.Int64
	refused atomic.Uint64
}

func newHandoff(most int) *handoff {
	return &handoff{conns: make(chan net.Conn, most), closed: make(chan struct{}), most: int64(most)}
}

const (
	// idleHTTP is short: what a page loads comes within it, and a kept-alive
	// connection that has done its work takes a place from MaxHTTPConns.
	idleHTTP = 5 * time.Second
	// slowestBody is how long a request may take to arrive, body included: net/http
	// reads a body to its end even if nobody wants it.
	slowestBody = 30 * time.Second
	// slowestHTTP is how long an answer may take to be sent. Large files from
	// --static over slow lines need minutes.
	slowestHTTP = 5 * time.Minute
)

// busy is the answer to one connection too many (RFC 9110 section 15.6.4).
const busy = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"

// give hands fd to net/http, with what was read from it and its client, if that is not
// the peer, and its TLS, if it has any. It owns fd and does not block.
func (h *handoff) give(fd int, received []byte, client netip.AddrPort, session *secure.Session) error {
	if h.open.Add(1) > h.most {
		h.open.Add(-1)
		h.refused.Add(1)
		if session == nil {
			_, _ = socket.Send(fd, []byte(busy))
		} else {
			_, _ = session.Send(fd, []byte(busy))
		}
		socket.Close(fd)
		return errors.New("too many HTTP connections")
	}
	farewell := []byte(busy)
	if session != nil {
		farewell = nil // it would have to be encrypted
	}
	nc, err := socket.NetConn(fd, farewell)
	if err != nil {
		h.open.Add(-1)
		h.refused.Add(1)
		return err
	}
	plain := &httpConn{Conn: nc, raw: nc, received: received, client: client, session: session, home: h}
	c := net.Conn(plain)
	if session != nil {
		plain.Conn = session.HandOver(nc)
		c = httpsConn{plain}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.closed:
		return c.Close()
	default:
		h.conns <- c
		return nil
	}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.closed:
		return nil
	default:
		close(h.closed)
	}
	for {
		select {
		case c := <-h.conns:
			_ = c.Close()
		default:
			return nil
		}
	}
}

func (h *handoff) Addr() net.Addr { return &net.TCPAddr{} }

// httpConn is a connection in net/http's hands.
type httpConn struct {
	net.Conn
	raw      net.Conn        // has the descriptor
	session  *secure.Session // nil without TLS
	received []byte          // to be read first; owned by the reader
	client   netip.AddrPort  // static; as a trusted proxy has told, else zero
	home     *handoff
	once     sync.Once
}

func (c *httpConn) Read(p []byte) (int, error) {
	if len(c.received) > 0 {
		n := copy(p, c.received)
		c.received = c.received[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// itself finds the httpConn in one of either kind.
func (c *httpConn) itself() *httpConn { return c }

// httpsConn is an httpConn with TLS. net/http sees by the method that it is one.
type httpsConn struct{ *httpConn }

func (c httpsConn) ConnectionState() tls.ConnectionState { return c.session.State() }

// RemoteAddr becomes http.Request.RemoteAddr.
func (c *httpConn) RemoteAddr() net.Addr {
	if c.client.IsValid() {
		return net.TCPAddrFromAddrPort(c.client)
	}
	return c.Conn.RemoteAddr()
}

func (c *httpConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// leave gives the place among MaxHTTPConns back, once.
func (c *httpConn) leave() {
	c.once.Do(func() { c.home.open.Add(-1) })
}

// newHTTP returns the net/http server behind the hand-off.
func (s *Server) newHTTP() *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == s.config.Path {
				// The decoded path is the right one, but whether the request is for the
				// WebSocket path is the policy's to say: if it said no to the same head
				// before, the connection would go to and fro for ever.
				if head := requestHead(r); s.group.Policy().Negotiate(nil, head).Kind != handshake.HTTP {
					s.takeBack(w, r, head)
					return
				}
			}
			s.config.HTTP.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: orNone(s.config.HandshakeTimeout),
		ReadTimeout:       slowestBody,
		IdleTimeout:       idleHTTP,
		WriteTimeout:      slowestHTTP,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
}

// handOff is conn.Config.HandOff.
func (s *Server) handOff(c *conn.Conn, fd int, received []byte) {
	told := s.clients.told(c)
	s.clients.forget(c, s.clock()) // it may be back before its end here is known
	if err := s.doors.give(fd, received, told, c.Session()); err != nil {
		s.config.Log.Debug("HTTP connection dropped", "err", err)
	}
}

// requestHead is the head of r as it may have come over the wire. What net/http
// has repaired cannot be told any more: lines that were folded or ended in a bare
// LF (RFC 9112 sections 2.2 and 5.2).
func requestHead(r *http.Request) []byte {
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s %s\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Proto, r.Host)
	_ = r.Header.Write(&head) // a bytes.Buffer takes everything
	head.WriteString("\r\n")
	return head.Bytes()
}

// takeBack returns a connection to the poller when a later request on it is for
// the WebSocket path. Reverse proxies do that: they keep connections to a back
// end alive and send upgrades on them. What the request is worth is decided there.
func (s *Server) takeBack(w http.ResponseWriter, r *http.Request, head []byte) {
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
		http.Error(w, "a WebSocket handshake has no body", http.StatusBadRequest)
		return
	}
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "cannot upgrade this connection", http.StatusInternalServerError)
		return
	}
	of, ok := nc.(interface{ itself() *httpConn })
	if !ok {
		_ = nc.Close()
		return
	}
	c := of.itself()
	// What came behind the head: in net/http's buffer, and not read by it yet.
	buffered, _ := rw.Reader.Peek(rw.Reader.Buffered())
	received := slices.Concat(head, buffered, c.received)
	fd, err := socket.Detach(c.raw)
	if err != nil { // no descriptor left
		s.doors.refused.Add(1)
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write([]byte(busy))
		_ = c.Close()
		return
	}
	c.leave()
	if c.session != nil {
		c.session.TakeBack()
	}
	s.adopt(fd, arrival{received, c.client, c.session != nil, c.session})
}

// serveHTTP runs until the hand-off is closed.
func (s *Server) serveHTTP() {
	defer close(s.httpDone)
	if err := s.http.Serve(s.doors); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		s.config.Log.Error("HTTP service has ended", "err", err)
	}
}
