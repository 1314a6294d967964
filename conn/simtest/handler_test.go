//go:build roostsim

package simtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"roost/conn"
	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/conn/hub"
	"roost/poller/sim"
)

// handler does what the first letter of a message says, and checks that it is
// called as package conn promises.
type handler struct{ *run }

// errOnPurpose is what the handler panics with.
var errOnPurpose = errors.New("a panic on purpose")

func (h handler) OnOpen(c *conn.Conn, _ *handshake.Request) {
	s := h.byConn[c]
	defer sim.Exclusive(s)()
	if s.opened || s.closed {
		sim.Fail("%v is opened twice or after its end", s)
	}
	s.opened = true
	s.first = len(h.published)
	c.SetData(s)
	if sim.Chance(4) {
		_ = s.send("open", frame.Text, "hello "+s.client.name, func() error { return c.Write(frame.Text, []byte("hello "+s.client.name)) })
	}
	if sim.Chance(30) {
		panic(errOnPurpose)
	}
}

func (h handler) OnMessage(c *conn.Conn, op frame.Opcode, payload []byte) {
	s := c.Data().(*session)
	defer sim.Exclusive(s)()
	if s.closed {
		sim.Fail("%v gets a message after its end", s)
	}
	if s.deaf {
		sim.Fail("%v gets %q, but its handler has paused it", s, payload)
	}
	if s.got >= len(s.client.messages) {
		sim.Fail("%v gets %q, which nobody sent", s, payload)
	}
	if want := s.client.messages[s.got]; want.op != op || want.payload != string(payload) {
		sim.Fail("%v gets %v %q as message %d, want %v %q", s, op, payload, s.got, want.op, want.payload)
	}
	s.got++
	sim.Note("%v gets %.40q", s, payload)
	h.obey(s, c, op, string(payload))
}

func (h handler) obey(s *session, c *conn.Conn, op frame.Opcode, text string) {
	if text == "" {
		return
	}
	switch text[0] {
	case 'e':
		_ = s.send("handler", op, text, func() error { return c.Write(op, []byte(text)) })
	case 's':
		_ = s.send("handler", op, text, func() error { return c.Send(frame.Prepare(op, []byte(text))) })
	case 'm':
		for i := range 2 + sim.Pick(4) {
			more := fmt.Sprintf("%s#%d", text, i)
			_ = s.send("handler", op, more, func() error { return c.Write(op, []byte(more)) })
		}
	case 'c':
		f := frame.Prepare(op, []byte("B"+text))
		if h.plan.conn.Blocking && sim.Chance(2) {
			_ = h.hub.BroadcastWait(context.Background(), f)
			return
		}
		// Meant for exactly this: it never fails with ErrBusy.
		publish := h.hub.Broadcast
		if sim.Chance(2) {
			publish = func(f *frame.Prepared) error { return h.hub.PublishFrom(c, f) }
		}
		if err := publish(f); err != nil && err != hub.ErrClosed {
			sim.Fail("%v cannot publish: %v", s, err)
		}
	case 'p':
		panic(errOnPurpose)
	case 'P':
		s.pause(true)
		s.deaf = s.pausing == 0 && !s.unsure
	case 'R':
		s.pause(true)
		s.pause(false)
	case 't':
		s.move()
	case 'x':
		c.Close(4000, "as you wish")
	case 'r':
		c.Refuse("not that")
	case 'a':
		c.Abort(conn.ReasonApplication)
	}
}

func (h handler) OnClose(c *conn.Conn, info conn.CloseInfo) {
	s := h.byConn[c]
	defer sim.Exclusive(s)()
	if !s.opened || s.closed {
		sim.Fail("%v is closed twice, or was never opened", s)
	}
	if info.Reason == conn.ReasonNone || !s.end.Closed() {
		sim.Fail("%v ends with %+v, descriptor closed: %v", s, info, s.end.Closed())
	}
	if info.Reason != s.why || info.Code != s.code {
		sim.Fail("%v ends with %v %d, but its end began with %v %d", s, info.Reason, info.Code, s.why, s.code)
	}
	s.closed = true
	sim.Note("%v ends: %v %d", s, info.Reason, info.Code)
	if sim.Chance(30) {
		panic(errOnPurpose)
	}
}

// watcher is the log: an error in it is a failure unless it is on purpose.
type watcher struct{ slog.Handler }

func logger() *slog.Logger { return slog.New(watcher{}) }

func (watcher) Enabled(context.Context, slog.Level) bool { return true }

func (watcher) Handle(_ context.Context, rec slog.Record) error {
	if rec.Level < slog.LevelError {
		return nil
	}
	purpose := false
	rec.Attrs(func(a slog.Attr) bool {
		purpose = purpose || a.Value.Any() == any(errOnPurpose)
		return true
	})
	if !purpose {
		text := rec.Message
		rec.Attrs(func(a slog.Attr) bool { text += fmt.Sprintf(" %v", a); return true })
		sim.Fail("log: %s", text)
	}
	return nil
}
