//go:build linux

package server

import (
	"roost/conn"
	"roost/conn/frame"
	"roost/conn/handshake"
)

// paced is the server's handler behind Limits.MessageRate.
type paced struct {
	conn.Handler
	server  *Server
	buckets table[bucket] // each used by whoever runs its connection
}

func (h *paced) OnOpen(c *conn.Conn, r *handshake.Request) {
	if b := h.buckets.get(c.Slot()); b != nil {
		*b = 0 // it was another's
	}
	h.Handler.OnOpen(c, r)
}

func (h *paced) OnMessage(c *conn.Conn, op frame.Opcode, payload []byte) {
	if rate := h.server.limits.Load().MessageRate; rate > 0 && !h.buckets.at(c.Slot()).take(h.server.clock(), rate) {
		c.End(frame.StatusPolicyViolation, "too many messages per second", conn.ReasonMessageRate)
		return
	}
	h.Handler.OnMessage(c, op, payload)
}
