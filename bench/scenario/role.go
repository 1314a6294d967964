package scenario

import (
	"time"

	"roost/bench"
)

// role is the behaviour of a part of a run: the room, or one group. Its methods
// are called by the goroutine that drives the client.
type role interface {
	// opened, message, pong and ended are the client's events, for connections of
	// this part only.
	opened(c *bench.Conn)
	message(c *bench.Conn, op byte, payload []byte, at time.Duration)
	pong(c *bench.Conn)
	ended(c *bench.Conn)

	// gather makes ready to receive, with what all agents have opened: another may
	// send before this one begins.
	gather(opened *Meeting)
	// begin starts the traffic.
	begin(now time.Duration)
	// step sends what is due and returns the wait until more is; negative: only
	// events bring more.
	step(now time.Duration) time.Duration
	// limited tells whether the part ends by itself, before the duration is over.
	limited() bool
	// sending tells whether this agent has more to send.
	sending() bool
	// pacing tells whether a clock says when: then silence is no fault.
	pacing() bool
	// waiting tells whether the part goes on only when something comes back.
	waiting() bool
	// stop ends the sending.
	stop()
	// sent lists the messages sent by each publisher of a room.
	sent() []uint32
	// drain begins the wait for what is under way, with what all agents have sent.
	drain(sent *Meeting)
	// complete tells whether nothing more is to come.
	complete() bool
	// giveUp ends the wait.
	giveUp()

	// moved grows whenever something happens.
	moved() int64
	// counted is what the series shows.
	counted() (sent, received int64, latency *bench.Recorder)
	// progress is how far the measured part has come; total 0: not known.
	progress() (done, total int64, unit string)
	report() PartReport
}

// still is a role in which nothing happens, for others to build on.
type still struct{}

func (still) opened(*bench.Conn)                               {}
func (still) message(*bench.Conn, byte, []byte, time.Duration) {}
func (still) pong(*bench.Conn)                                 {}
func (still) gather(*Meeting)                                  {}
func (still) begin(time.Duration)                              {}
func (still) step(time.Duration) time.Duration                 { return -1 }
func (still) limited() bool                                    { return false }
func (still) sending() bool                                    { return false }
func (still) pacing() bool                                     { return false }
func (still) waiting() bool                                    { return false }
func (still) stop()                                            {}
func (still) sent() []uint32                                   { return nil }
func (still) drain(*Meeting)                                   {}
func (still) complete() bool                                   { return true }
func (still) giveUp()                                          {}
func (still) moved() int64                                     { return 0 }
func (still) counted() (int64, int64, *bench.Recorder)         { return 0, 0, nil }
func (still) progress() (int64, int64, string)                 { return 0, 0, "" }

// sooner is the earlier of two waits, where negative means never.
func sooner(a, b time.Duration) time.Duration {
	if a < 0 || (b >= 0 && b < a) {
		return b
	}
	return a
}
