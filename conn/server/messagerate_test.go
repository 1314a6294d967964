//go:build linux && !race

// The race detector allocates, so this test is not built with it.

package server

import (
	"testing"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/handshake"
)

// The bucket of a connection is in place once its page is.
func TestMessageRateAllocatesNothing(t *testing.T) {
	s, _ := prepare(t, Config{Handler: ignoring{}, Limits: Limits{MessageRate: 1_000_000}})
	conntest.Dial(t, run(t, s), "/ws")
	its, payload := only(s), []byte("a message")
	if n := testing.AllocsPerRun(1000, func() { s.group.Handler.OnMessage(its, frame.Text, payload) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type ignoring struct{}

func (ignoring) OnOpen(*conn.Conn, *handshake.Request)      {}
func (ignoring) OnMessage(*conn.Conn, frame.Opcode, []byte) {}
func (ignoring) OnClose(*conn.Conn, conn.CloseInfo)         {}
