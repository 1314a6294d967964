package conn

import (
	"roost/conn/frame"
	"roost/conn/handshake"
)

// Handler is what a program does with its connections. One Handler serves all of
// them; its methods are called by the workers of the pool.
//
// For one connection the calls never overlap and come in order: OnOpen once,
// OnMessage for each message, OnClose once. For different connections they run
// at the same time.
//
// Methods must not block, unless the server was configured for a blocking
// handler: a worker, and perhaps a reactor, stands still for that long. A panic
// closes the one connection with status 1011.
type Handler interface {
	// OnOpen is called when the opening handshake has succeeded. r is valid until
	// OnOpen returns. Frames may be sent from now on.
	OnOpen(c *Conn, r *handshake.Request)
	// OnMessage is called with each whole message; op is frame.Text or frame.Binary.
	// Text is valid UTF-8. payload belongs to the caller again when OnMessage
	// returns: keep a copy, not the slice.
	OnMessage(c *Conn, op frame.Opcode, payload []byte)
	// OnClose is called after the last OnMessage, when the descriptor is closed.
	OnClose(c *Conn, info CloseInfo)
}

// CloseInfo says how a connection ended.
type CloseInfo struct {
	// Code is the status code of the closing handshake: the peer's when it began,
	// else ours. StatusNoStatus (1005) when the peer gave none, StatusAbnormal
	// (1006) when there was no closing handshake (RFC 6455 section 7.1.5).
	Code frame.StatusCode
	// Reason is the cause.
	Reason Reason
}

// Status codes that no frame calls for.
const (
	// StatusAbnormal never goes over the wire (RFC 6455 section 7.4.1).
	StatusAbnormal frame.StatusCode = 1006
	// StatusTryAgainLater: the server is overloaded (IANA's registry, from RFC 6455's
	// mailing list).
	StatusTryAgainLater frame.StatusCode = 1013
)
