//go:build roostsim

package simtest

import (
	"fmt"
	"strings"
	"time"

	"roost/conn"
	"roost/conn/frame"
	"roost/conn/hub"
	"roost/poller/sim"
)

// stranger calls what any goroutine may call at any time.
func (r *run) stranger(name string) {
	for i := range 1 + sim.Pick(8) {
		text := fmt.Sprintf("%s.%d ", name, i) + strings.Repeat("é", sim.Pick(one(2, 20, longest/2)))
		op := one(frame.Text, frame.Binary)
		if sim.Chance(4) {
			r.publish(op, text)
			continue
		}
		if len(r.sessions) == 0 {
			return
		}
		s := r.sessions[sim.Pick(len(r.sessions))]
		c := s.conn
		text += " to " + s.client.name
		switch sim.Pick(22) {
		case 0, 1, 2, 3:
			_ = s.send(name, op, text, func() error { return c.Write(op, []byte(text)) })
		case 4, 5, 6, 7:
			_ = s.send(name, op, text, func() error { return c.Send(frame.Prepare(op, []byte(text))) })
		case 8:
			s.pause(true)
		case 9:
			s.pause(false)
		case 10:
			c.PeerAddr()
		case 11:
			r.bounds(s)
		case 12:
			r.listener.Resume()
		case 13:
			if sim.Chance(3) {
				c.Close(frame.StatusServiceRestart, "elsewhere")
			}
		case 14:
			if sim.Chance(3) {
				c.Abort(conn.ReasonApplication)
			}
		case 15:
			if _, waiting := c.HandshakeAge(); c.Shed(conn.ReasonHandshakeFlood) && !waiting && s.state == conn.StateOpen {
				sim.Fail("%v was shed for a request that had come", s)
			}
		case 16:
			r.hub.Each(func(c *conn.Conn) { r.bounds(r.byConn[c]) })
		default:
			s.share(name, op, text)
		}
	}
}

// bounds looks at what waits for s: a frame or a batch enters a queue that is not
// full, and the answer to the handshake and the close frame always do.
func (r *run) bounds(s *session) {
	b, c := s.conn.Backlog(), &r.plan.conn
	batch, one := max(r.plan.hub.BatchFrames, mostJoined), mostJoined*(longest+20)
	if most := c.WriteQueueFrames + batch + 2; c.WriteQueueFrames > 0 && b.Frames > most {
		sim.Fail("%d frames wait for %v, more than %d", b.Frames, s, most)
	}
	if most := c.WriteQueueBytes + max(one, r.plan.hub.BatchBytes) + 500; c.WriteQueueBytes > 0 && b.Bytes > most {
		sim.Fail("%d bytes wait for %v, more than %d", b.Bytes, s, most)
	}
	if b.Frames < 0 || b.Bytes < 0 {
		sim.Fail("%+v waits for %v", b, s)
	}
}

// sweep is a round of server.sweeper, later by some seconds.
func (r *run) sweep() {
	r.sweeping = true
	r.clock += time.Duration(sim.Pick(4)) * time.Second
	r.group.Tick(r.base.Add(r.clock))
	r.listener.Resume()
	var cur hub.Cursor
	for !r.hub.Walk(&cur, 1+sim.Pick(100), (*conn.Conn).Sweep) {
		sim.Step("between slices")
	}
	r.sweeping = false
}
