// Package secure is TLS for sockets that nobody waits for: crypto/tls over a
// transport in memory. Reading says [ErrAgain] when the socket has no more, and what
// is written is sealed into a buffer that is offered to the kernel until it has
// taken all of it.
//
// It knows records and descriptors. Who is connected, what is in the records, and
// when a socket is ready is not its business. Only the handshake waits, and it is
// told how.
package secure
