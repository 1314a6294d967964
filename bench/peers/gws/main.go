//go:build linux

// Gws serves with github.com/lxzan/gws as its README shows under Best Practice
// and Broadcast: https://github.com/lxzan/gws/tree/v1.8.9#best-practice
//
// By design a connection costs one goroutine that reads, a read buffer of 4 KiB
// and its session map. A broadcast puts a closure into each connection's write
// queue, and a goroutine that lives as long as the queue has something writes it.
// ParallelEnabled stays off: it would hand the messages of one connection on in
// any order. CheckUtf8Enabled stays off as in Best Practice.
//
// Over TLS a connection also costs a tls.Conn, its ciphers, and what it read
// last: crypto/tls keeps its input buffer. A broadcast is encrypted for each.
//
// With -compress messages of 512 bytes and more are deflated with level 1 and
// without context takeover, the defaults, so a connection keeps no window: 32
// writers and readers are shared by all. A broadcast is deflated once for all.
//
// The library has no policy for slow clients: the queue of closures has no
// bound, and the README's deadlines need clients that send pings. So none is
// set, and no message is lost.
package main

import (
	"net/http"

	"github.com/lxzan/gws"

	"roost/bench/peers/internal/peer"
)

func main() {
	ctx, config := peer.StartSecure()
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", serve(&echo{}, config))
	mux.HandleFunc("/ws", serve(&room{conns: gws.NewConcurrentMap[*gws.Conn, struct{}]()}, config))
	peer.Serve(ctx, config, mux)
}

func serve(handler gws.Event, config peer.Config) http.HandlerFunc {
	upgrader := gws.NewUpgrader(handler, &gws.ServerOption{
		ReadMaxPayloadSize: peer.MaxMessageBytes,
		HandshakeTimeout:   peer.HandshakeTimeout,
		PermessageDeflate:  gws.PermessageDeflate{Enabled: config.Compress},
	})
	return func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		go socket.ReadLoop() // so that what the handler refers to is freed
	}
}

// answering answers pings with their own payload, RFC 6455 section 5.5.3, which
// the built-in handler does not.
type answering struct{ gws.BuiltinEventHandler }

func (answering) OnPing(socket *gws.Conn, payload []byte) { _ = socket.WritePong(payload) }

// echo returns messages to their sender. The library closes the connection
// itself when a write fails, so its errors need no handling.
type echo struct{ answering }

func (*echo) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close() //nolint:errcheck // always nil
	_ = socket.WriteMessage(message.Opcode, message.Bytes())
}

type room struct {
	answering
	conns *gws.ConcurrentMap[*gws.Conn, struct{}] // sharded, by the library
}

func (r *room) OnOpen(socket *gws.Conn) { r.conns.Store(socket, struct{}{}) }

func (r *room) OnClose(socket *gws.Conn, _ error) { r.conns.Delete(socket) }

func (r *room) OnMessage(_ *gws.Conn, message *gws.Message) {
	// The broadcaster has copied the message into its frame by then.
	defer message.Close() //nolint:errcheck // always nil
	b := gws.NewBroadcaster(message.Opcode, message.Bytes())
	defer b.Close() //nolint:errcheck // always nil
	r.conns.Range(func(socket *gws.Conn, _ struct{}) bool {
		_ = b.Broadcast(socket)
		return true
	})
}
