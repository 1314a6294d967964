// Package conn is one WebSocket connection, from the accepted descriptor to its
// close: the opening handshake, messages in, frames out, and the closing handshake.
//
// It knows what bytes mean for one connection. It does not know other connections
// (package conn/hub), when a descriptor is ready (package poller), or where
// connections come from (package conn/server).
//
// # For handlers
//
// A program that serves connections writes a [Handler] and needs of [Conn] only
// Send, Write, Close, PeerAddr, Subprotocol, Data and SetData, Pause and Resume.
// The other methods are for package conn/server, the hub and the poller.
//
// # Life of a connection
//
// See [State]. A connection owns no goroutine, no buffer and no timer. Bytes are
// read into the buffer of the worker that runs [Conn.Ready], parsed there in
// place, and handed to the [Handler] without a copy when a message has arrived
// whole. What is left of an incomplete frame, head or message is kept in an
// inbound struct that exists only for that long.
//
// Frames go straight to the kernel when nothing waits before them. Otherwise
// they enter the outbound queue, which exists only for as long as it holds
// something, is bounded in frames and bytes, and is emptied when epoll reports
// room. While a worker runs a connection, its answers are collected (corked) and
// leave in one system call at the end of the run.
//
// # Memory of an idle connection
//
//	Conn with its Registration          112 B
//	callback kept by netpoll             16 B
//	netpoll's map entry               ~  40 B
//	hub slot                              8 B
//
// A connection with TLS has a TLS and a session of crypto/tls besides, about 7 kB, until
// the kernel takes them over, if it does; see KernelTLS.
//
// The rest of what the process grows by per connection, less than half as much, is
// the garbage collector's headroom and the garbage of the handshakes. TestSizes
// checks the first figure, scripts/density-gate.sh and scripts/million.sh the sum.
//
// # Locks
//
// A -> B means that B may be locked while A is held, never the other way round.
//
//	Conn.mu -> netpoll's mutex        (a connection leaves epoll under its write lock)
//	Conn.mu -> pool.mu                (a write that meets a full buffer may queue the registration)
//	Conn.mu -> a lock of Config.Client or of a Watcher
//	Conn.mu -> locks of crypto/tls -> secure.Session's mutex  (sealing; the reader takes them without Conn.mu)
//	hub queue mutex -> Conn.mu        (a publisher that has to wait is held)
//
// No lock is held while a Handler method runs.
package conn
