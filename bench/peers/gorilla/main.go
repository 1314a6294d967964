//go:build linux

// Gorilla serves with github.com/gorilla/websocket. /ws follows the hub of its
// chat example, with prepared messages in place of byte slices:
// https://github.com/gorilla/websocket/tree/v1.5.3/examples/chat
//
// By design a connection on /ws costs two goroutines, a read buffer and a
// channel of peer.QueueFrames pointers, which is 4 KiB; on /echo one goroutine
// and a read buffer. Write buffers come from a pool, as the documentation of
// Upgrader.WriteBufferPool advises for many connections that seldom write; a
// prepared message needs none. The example's pings and its joining of queued
// messages into one are left out: every message stays a message of its own.
//
// Over TLS a connection also costs a tls.Conn, its ciphers, and what it read
// last: crypto/tls keeps its input buffer. A broadcast is encrypted for each.
//
// With -compress every message is deflated, with level 1 and without context
// takeover, which is all the library has, so a connection keeps no window: writers
// and readers come from pools. A prepared message is deflated once for all.
//
// A slow client is one whose channel is full and stays so for peer.WriteTimeout.
// As in the example, the hub then closes the channel and the client is closed.
// The example does not wait. Here it would lose healthy clients: publishers
// that have their messages back send more, while others still have a backlog.
package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"roost/bench/peers/internal/peer"
)

var upgrader = websocket.Upgrader{
	HandshakeTimeout: peer.HandshakeTimeout,
	ReadBufferSize:   1024,
	WriteBufferSize:  1024,
	WriteBufferPool:  &sync.Pool{},
}

func main() {
	ctx, config := peer.StartSecure()
	upgrader.EnableCompression = config.Compress
	h := newHub()
	go h.run()
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		if conn := upgrade(w, r); conn != nil {
			go echo(conn)
		}
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		if conn := upgrade(w, r); conn != nil {
			c := &client{hub: h, conn: conn, send: make(chan *websocket.PreparedMessage, peer.QueueFrames)}
			h.register <- c
			// In goroutines of their own, so that what the handler refers to is freed.
			go c.writePump()
			go c.readPump()
		}
	})
	peer.Serve(ctx, config, mux)
}

// upgrade returns nil when it has refused the request.
func upgrade(w http.ResponseWriter, r *http.Request) *websocket.Conn {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil
	}
	conn.SetReadLimit(peer.MaxMessageBytes)
	return conn
}

func echo(conn *websocket.Conn) {
	defer conn.Close() //nolint:errcheck // it ends either way
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if err := conn.WriteMessage(kind, message); err != nil {
			return
		}
	}
}

// hub owns the set of clients; its goroutine alone touches it and closes the
// clients' channels.
type hub struct {
	clients    map[*client]struct{}
	broadcast  chan *websocket.PreparedMessage
	register   chan *client
	unregister chan *client
}

func newHub() *hub {
	return &hub{
		clients:    make(map[*client]struct{}),
		broadcast:  make(chan *websocket.PreparedMessage),
		register:   make(chan *client),
		unregister: make(chan *client),
	}
}

func (h *hub) run() {
	for {
		select {
		case c := <-h.register:
			h.clients[c] = struct{}{}
		case c := <-h.unregister:
			h.drop(c)
		case message := <-h.broadcast:
			for c := range h.clients {
				select {
				case c.send <- message:
				default:
					h.wait(c, message)
				}
			}
		}
	}
}

// wait makes publishers wait with it: they cannot hand on the next message.
func (h *hub) wait(c *client, message *websocket.PreparedMessage) {
	timeout := time.NewTimer(peer.WriteTimeout)
	defer timeout.Stop()
	select {
	case c.send <- message:
	case <-timeout.C:
		h.drop(c)
	}
}

func (h *hub) drop(c *client) {
	if _, in := h.clients[c]; in {
		delete(h.clients, c)
		close(c.send)
	}
}

type client struct {
	hub  *hub
	conn *websocket.Conn
	send chan *websocket.PreparedMessage // closed by the hub
}

// readPump is the connection's only reader. It answers pings and close frames.
func (c *client) readPump() {
	defer func() {
		c.hub.unregister <- c
		c.conn.Close() //nolint:errcheck // it ends either way
	}()
	for {
		kind, data, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		message, err := websocket.NewPreparedMessage(kind, data)
		if err != nil {
			return
		}
		c.hub.broadcast <- message
	}
}

// writePump is the connection's only writer of messages.
func (c *client) writePump() {
	defer c.conn.Close() //nolint:errcheck // it ends either way
	for message := range c.send {
		_ = c.conn.SetWriteDeadline(time.Now().Add(peer.WriteTimeout)) // never fails
		if err := c.conn.WritePreparedMessage(message); err != nil {
			c.conn.Close() //nolint:errcheck // ends readPump, which unregisters
			for range c.send {
				continue // so that the hub does not wait for it until then
			}
			return
		}
	}
	body := websocket.FormatCloseMessage(websocket.ClosePolicyViolation, "too slow")
	_ = c.conn.WriteControl(websocket.CloseMessage, body, time.Now().Add(time.Second)) // it may be gone
}
