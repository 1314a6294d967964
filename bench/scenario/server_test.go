package scenario_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// server is a blocking WebSocket server with a goroutine per connection, and
// with faults to inject. The zero value broadcasts every message to everyone.
type server struct {
	echo    bool // a message goes back to its sender only
	secure  bool // TLS, with the certificate of net/http/httptest
	deflate bool // agrees to permessage-deflate, and compresses every message

	// handshake, when set, answers the request in place of ws.Upgrade; an error
	// or false ends the connection.
	handshake func(n int, c net.Conn) bool
	// opened, when set, is called after the handshake of connection n.
	opened func(n int, p *peer)
	// deliver, when set, says what is written for the delivery of frame to
	// connection n, whose k-th delivery it is, both from 0.
	deliver func(n, k int, frame ws.Frame) []ws.Frame
	// write, when set, writes bytes in place of one Write call.
	write func(w io.Writer, b []byte)
	// text, when set, takes text messages in place of the delivery.
	text func(p *peer, payload []byte)
	// onPing, when set, is called with the client's ping in place of the answer.
	onPing func(p *peer)
	// onClose, when set, is called with the client's close frame in place of the answer.
	onClose func(p *peer)

	url      string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	peers []*peer // in the order of joining
	pongs int
	codes []ws.StatusCode // of the close frames received
	ends  []error         // of the reads that ended the others
}

type peer struct {
	s         *server
	n         int
	conn      net.Conn
	deflate   bool       // agreed on
	mu        sync.Mutex // guards writing
	delivered int
}

// start listens on a loopback port until the test ends, and then waits for
// every goroutine.
func (s *server) start(t testing.TB) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "ws://" + l.Addr().String() + "/ws"
	if s.secure {
		l = secured(l)
		s.url = "wss" + strings.TrimPrefix(s.url, "ws")
	}
	s.listener = l
	s.wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(n, c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.wg.Wait()
	})
	return s
}

func (s *server) serve(n int, c net.Conn) {
	defer c.Close()
	// The peer joins before its 101 answer is out, so that no message sent after
	// it is missed; its lock makes deliveries wait until then.
	p := &peer{s: s, n: n, conn: c}
	p.mu.Lock()
	s.mu.Lock()
	s.peers = append(s.peers, p)
	s.mu.Unlock()
	ok := s.upgrade(p)
	p.mu.Unlock()
	if !ok {
		return
	}
	if s.opened != nil {
		s.opened(n, p)
	}
	r := bufio.NewReader(c)
	for {
		frame, err := ws.ReadFrame(r)
		if err != nil {
			s.mu.Lock()
			s.ends = append(s.ends, err)
			s.mu.Unlock()
			return
		}
		if !frame.Header.Masked {
			return // section 5.1
		}
		frame = ws.UnmaskFrameInPlace(frame)
		if frame.Header.Rsv1() {
			if frame, err = wsflate.DecompressFrame(frame); err != nil || !p.deflate {
				return
			}
		}
		if !s.receive(p, frame) {
			return
		}
	}
}

func (s *server) upgrade(p *peer) bool {
	if s.handshake != nil {
		return s.handshake(p.n, p.conn)
	}
	var u ws.Upgrader
	e := wsflate.Extension{Parameters: wsflate.Parameters{ServerNoContextTakeover: true, ClientNoContextTakeover: true}}
	if s.deflate {
		u.Negotiate = e.Negotiate
	}
	_, err := u.Upgrade(p.conn)
	_, p.deflate = e.Accepted()
	return err == nil
}

// secured has a listener speak TLS, for clients that accept any certificate.
func secured(l net.Listener) net.Listener {
	s := httptest.NewTLSServer(nil)
	s.Close()
	return tls.NewListener(l, s.TLS)
}

func (s *server) receive(p *peer, frame ws.Frame) bool {
	switch frame.Header.OpCode {
	case ws.OpPong:
		s.mu.Lock()
		s.pongs++
		s.mu.Unlock()
	case ws.OpPing:
		if s.onPing != nil {
			s.onPing(p)
			return true
		}
		p.send(ws.NewPongFrame(frame.Payload))
	case ws.OpClose:
		code, _ := ws.ParseCloseFrameData(frame.Payload)
		s.mu.Lock()
		s.codes = append(s.codes, code)
		s.mu.Unlock()
		if s.onClose != nil {
			s.onClose(p)
			return true
		}
		p.send(ws.NewCloseFrame(frame.Payload))
		return false
	case ws.OpBinary, ws.OpText:
		if s.text != nil && frame.Header.OpCode == ws.OpText {
			s.text(p, frame.Payload)
			return true
		}
		if s.echo {
			p.deliver(frame)
			return true
		}
		s.publish(frame)
	}
	return true
}

// publish delivers a message to everyone, in one order.
func (s *server) publish(frame ws.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.peers {
		other.deliver(frame)
	}
}

// stop ends the server and waits for its goroutines.
func (s *server) stop() {
	s.listener.Close()
	s.wg.Wait()
}

// deliver writes a message, with the server's faults.
func (p *peer) deliver(frame ws.Frame) {
	frames := []ws.Frame{frame}
	if p.s.deliver != nil {
		frames = p.s.deliver(p.n, p.delivered, frame)
	}
	p.delivered++
	for _, f := range frames {
		p.send(f)
	}
}

// numberOf is the number of a connection.
func (s *server) numberOf(c net.Conn) int {
	for _, p := range s.peers { // all have joined
		if p.conn == c {
			return p.n
		}
	}
	return -1
}

func (p *peer) send(f ws.Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deflate && f.Header.OpCode.IsData() {
		f, _ = wsflate.CompressFrame(f) // in memory
	}
	b := ws.MustCompileFrame(f)
	if p.s.write != nil {
		p.s.write(p.conn, b)
		return
	}
	p.conn.Write(b)
}

// closeAll sends a close frame with code to everyone, as in a graceful
// shutdown; the read loops then meet the client's answers.
func (s *server) closeAll(code ws.StatusCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		p.send(ws.NewCloseFrame(ws.NewCloseFrameBody(code, "")))
	}
}

// cut ends the connection without a close frame.
func (p *peer) cut() { p.conn.Close() }

// answer reads the request and writes a fixed text in answer.
func answer(text string, keep bool) func(int, net.Conn) bool {
	return func(_ int, c net.Conn) bool {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return false
		}
		io.WriteString(c, text)
		return keep
	}
}
