//go:build linux

package server

import (
	"errors"

	"roost/conn"
	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/conn/hub"
)

// Chat returns the handler that sends every message of a client to the topics that the
// client is in, with its opcode: to all members, the sender included, each once.
func Chat() conn.Handler { return new(chat) }

// Echo returns the handler that sends each message back to its sender.
func Echo() conn.Handler { return echo{} }

// Push returns the handler for clients that only listen: a message from one
// closes it with status 1008. Messages come from [Server.Hub].
func Push() conn.Handler { return push{} }

// Attacher is a Handler that needs the hub. Start calls Attach once, before any
// connection exists.
type Attacher interface {
	Attach(*hub.Hub)
}

// quiet ignores openings and closings.
type quiet struct{}

func (quiet) OnOpen(*conn.Conn, *handshake.Request) {}

func (quiet) OnClose(*conn.Conn, conn.CloseInfo) {}

type chat struct {
	quiet
	hub *hub.Hub // static after Attach
}

func (h *chat) Attach(hub *hub.Hub) { h.hub = hub }

func (h *chat) OnMessage(c *conn.Conn, op frame.Opcode, payload []byte) {
	// One frame per message never meets ErrBusy, see Hub.Publish. The hub is closed
	// only after the last connection has ended.
	if err := h.hub.PublishFrom(c, frame.Prepare(op, payload)); errors.Is(err, hub.ErrForbidden) {
		c.Refuse("you may not publish here")
	}
}

// OnPublish is for clients that speak [Control].
func (h *chat) OnPublish(_ *conn.Conn, topic string, f *frame.Prepared) (hub.Published, error) {
	return h.hub.Publish(hub.Message{Topics: []string{topic}, Frame: f})
}

type echo struct{ quiet }

func (echo) OnMessage(c *conn.Conn, op frame.Opcode, payload []byte) {
	_ = c.Write(op, payload) // an overflow is handled and counted by the connection
}

type push struct{ quiet }

func (push) OnMessage(c *conn.Conn, _ frame.Opcode, _ []byte) {
	c.Refuse("this endpoint takes no messages")
}
