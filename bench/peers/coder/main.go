//go:build linux

// Coder serves with github.com/coder/websocket. /ws follows its chat example
// with a reader beside the writer, since here subscribers publish as well:
// https://github.com/coder/websocket/tree/v1.8.15/internal/examples/chat
//
// By design a connection costs the goroutine of its HTTP handler, which its
// examples keep for the life of the connection, with what net/http and bufio
// hold for it; on /ws also a writer goroutine and a channel of
// peer.QueueFrames messages. The library has no prepared messages: each
// delivery frames anew, under a context with a timeout as in the example.
//
// Over TLS a connection also costs a tls.Conn, its ciphers, and what it read
// last: crypto/tls keeps its input buffer.
//
// With -compress messages of 512 bytes and more are deflated without context
// takeover, so a connection keeps no window: writers, whose level is always 1, and
// readers come from pools. Each delivery deflates anew as well.
//
// A slow client is one whose channel is full and stays so for peer.WriteTimeout;
// as in the example it is closed with 1008, in a goroutine of its own. The
// example does not wait. Here it would lose healthy clients: publishers that
// have their messages back send more, while others still have a backlog.
package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"roost/bench/peers/internal/peer"
)

var options websocket.AcceptOptions // compression is off by default

func main() {
	ctx, config := peer.StartSecure()
	if config.Compress {
		options.CompressionMode = websocket.CompressionNoContextTakeover
	}
	r := room{subscribers: make(map[*subscriber]struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, req *http.Request) {
		if conn := accept(w, req); conn != nil {
			echo(conn)
		}
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, req *http.Request) {
		if conn := accept(w, req); conn != nil {
			r.serve(conn)
		}
	})
	peer.Serve(ctx, config, mux)
}

// accept returns nil when it has refused the request.
func accept(w http.ResponseWriter, req *http.Request) *websocket.Conn {
	conn, err := websocket.Accept(w, req, &options)
	if err != nil {
		return nil
	}
	conn.SetReadLimit(peer.MaxMessageBytes)
	return conn
}

// echo needs no timeouts: a client that does not read blocks its own handler only.
func echo(conn *websocket.Conn) {
	defer conn.CloseNow() //nolint:errcheck // Read has answered the client's close frame
	ctx := context.Background()
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			return
		}
		if err := conn.Write(ctx, kind, data); err != nil {
			return
		}
	}
}

type message struct {
	kind websocket.MessageType
	data []byte
}

// room is the set of subscribers.
type room struct {
	mu          sync.Mutex
	subscribers map[*subscriber]struct{}
}

type subscriber struct {
	conn     *websocket.Conn
	messages chan message
	gone     <-chan struct{} // closed when nobody takes messages any more
}

// serve makes conn a subscriber and publishes what it sends until it ends.
func (r *room) serve(conn *websocket.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &subscriber{conn: conn, messages: make(chan message, peer.QueueFrames), gone: ctx.Done()}
	r.mu.Lock()
	r.subscribers[s] = struct{}{}
	r.mu.Unlock()
	defer func() {
		cancel()
		r.mu.Lock()
		delete(r.subscribers, s)
		r.mu.Unlock()
		conn.CloseNow() //nolint:errcheck // Read has answered the client's close frame
	}()
	go s.write(ctx, cancel)
	for {
		// A context that never ends: one that can makes every read register with it.
		kind, data, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		r.publish(message{kind, data})
	}
}

// publish waits for slow subscribers only, and other publishers with it.
func (r *room) publish(m message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.subscribers {
		select {
		case s.messages <- m:
		default:
			if !s.wait(m) {
				delete(r.subscribers, s)
				go s.conn.Close(websocket.StatusPolicyViolation, "too slow") //nolint:errcheck // it may be gone
			}
		}
	}
}

// wait reports whether s took m, or no longer counts.
func (s *subscriber) wait(m message) bool {
	timeout := time.NewTimer(peer.WriteTimeout)
	defer timeout.Stop()
	select {
	case s.messages <- m:
		return true
	case <-s.gone:
		return true
	case <-timeout.C:
		return false
	}
}

// write writes what is published until ctx ends. A failed write closes the
// connection, which ends its reader.
func (s *subscriber) write(ctx context.Context, cancel context.CancelFunc) {
	defer cancel()
	for {
		select {
		case m := <-s.messages:
			within, done := context.WithTimeout(ctx, peer.WriteTimeout)
			err := s.conn.Write(within, m.kind, m.data)
			done()
			if err != nil {
				s.conn.CloseNow() //nolint:errcheck // it is closed already
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
