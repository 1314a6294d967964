//go:build linux

// Nbio serves with github.com/lesismal/nbio in its non-blocking mode, set up as
// in its examples and in its author's benchmark:
// https://github.com/lesismal/nbio-examples/blob/master/websocket/server/server.go
// https://github.com/lesismal/go-websocket-benchmark/blob/main/frameworks/nbio_nonblocking/server.go
//
// By design an idle connection costs its two Conn objects and their addresses,
// but no goroutine and no buffer: epoll loops read, a pool of goroutines runs
// the handlers, buffers come from memory pools. The library has no prepared
// messages: each delivery frames into a buffer of its own. KeepaliveTime is 0,
// as in the author's benchmark: the default closes clients that are silent for
// 120 s, and needs a timer per connection.
//
// TLS is that of its author's github.com/lesismal/llib, a fork of Go's that reads
// and writes without waiting, set up as in his example:
// https://github.com/lesismal/nbio-examples/blob/master/websocket_tls/server/server.go
// Handshakes run in the epoll loops. A connection also costs a tls.Conn, its
// ciphers, and a buffer with what it read last. The version is newer than the
// one nbio asks for, where a connection may free that buffer while it is read, and
// has the key exchange that Go's has: X25519MLKEM768. It does not notice that the
// processor has AES, so ChaCha20-Poly1305 is what it agrees to.
//
// With -compress every message is deflated, with level 1 and without context
// takeover, which is all the library has, so a connection keeps no window: writers
// and readers come from pools. Each delivery deflates anew as well.
//
// Version 1.6.8 does not hand on empty messages. It finds connections by descriptor
// and does not know an event of one that has ended: where many come and go while
// others are written to, it sometimes closes one that got the descriptor since.
//
// A write never blocks; what the socket does not take is kept. A slow client is
// one for which more than MaxWriteBufferSize, 6 MiB as in the README, is kept:
// the library closes it.
package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lesismal/llib/std/crypto/tls"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"

	"roost/bench/peers/internal/peer"
)

const maxWriteBufferBytes = 6 << 20

func main() {
	ctx, config := peer.StartSecure()
	logging.SetLevel(logging.LevelError)
	room := room{conns: make(map[*websocket.Conn]struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", serve(newUpgrader(echo, config)))
	mux.HandleFunc("/ws", serve(room.upgrader(config)))

	addresses, secure, tlsConfig := listeners(config)
	var bound net.Addr
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network:                 "tcp",
		Addrs:                   addresses,
		AddrsTLS:                secure,
		TLSConfig:               tlsConfig,
		MaxLoad:                 1_000_000,
		MaxWriteBufferSize:      maxWriteBufferBytes,
		KeepaliveTime:           peer.HandshakeTimeout, // until the upgrade
		ReleaseWebsocketPayload: true,
		IOMod:                   nbhttp.IOModNonBlocking,
		Handler:                 mux,
		Listen: func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			if err == nil {
				bound = l.Addr()
			}
			return l, err
		},
	})
	if err := engine.Start(); err != nil {
		peer.Fail(err)
	}
	peer.Ready(bound.String())

	<-ctx.Done()
	within, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = engine.Shutdown(within) // what is left ends with the process
}

// listeners are the addresses without and with TLS, and what the latter need.
func listeners(config peer.Config) (plain, secure []string, _ *tls.Config) {
	if !config.TLS() {
		return []string{config.Address}, nil, nil
	}
	cert, err := tls.LoadX509KeyPair(config.CertFile, config.KeyFile)
	if err != nil {
		peer.Fail(err)
	}
	return nil, []string{config.Address}, &tls.Config{Certificates: []tls.Certificate{cert}}
}

func newUpgrader(onMessage func(*websocket.Conn, websocket.MessageType, []byte), config peer.Config) *websocket.Upgrader {
	u := websocket.NewUpgrader()
	u.EnableCompression(config.Compress)
	u.KeepaliveTime = 0
	u.HandshakeTimeout = 0 // a write never waits, so there is nothing to time out
	u.MessageLengthLimit = peer.MaxMessageBytes
	u.OnMessage(onMessage)
	return u
}

func serve(u *websocket.Upgrader) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = u.Upgrade(w, r, nil) // an error has been answered
	}
}

// echo returns a message to its sender. The library closes the connection itself
// when a write fails.
func echo(c *websocket.Conn, kind websocket.MessageType, data []byte) {
	_ = c.WriteMessage(kind, data)
}

type room struct {
	mu    sync.RWMutex
	conns map[*websocket.Conn]struct{}
}

func (r *room) upgrader(config peer.Config) *websocket.Upgrader {
	u := newUpgrader(r.broadcast, config)
	u.OnOpen(func(c *websocket.Conn) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.conns[c] = struct{}{}
	})
	// The library runs this in its pool, never inside a write, so that broadcast
	// may hold the lock while it writes.
	u.OnClose(func(c *websocket.Conn, _ error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, c)
	})
	return u
}

func (r *room) broadcast(_ *websocket.Conn, kind websocket.MessageType, data []byte) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for c := range r.conns {
		_ = c.WriteMessage(kind, data)
	}
}
