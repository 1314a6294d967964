package conn

import "errors"

// Errors of sending.
var (
	// ErrNotOpen is returned when a frame is sent on a connection whose handshake is
	// not complete or whose end has begun. Nothing was sent.
	ErrNotOpen = errors.New("connection is not open")
	// ErrDropped is returned when the outbound queue is full and the policy is
	// [Drop]. The frame was dropped and counted; the connection stays open.
	ErrDropped = errors.New("outbound queue is full: frame dropped")
	// ErrSlowConsumer is returned when the outbound queue is full and the policy is
	// [Disconnect]. The connection is closing with status 1008.
	ErrSlowConsumer = errors.New("outbound queue is full: connection closing")
)
