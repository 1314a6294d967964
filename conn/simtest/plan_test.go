//go:build roostsim

package simtest

import (
	"time"

	"roost/conn"
	"roost/conn/frame"
	"roost/conn/hub"
	"roost/poller"
	"roost/poller/sim"
)

// plan is what differs from seed to seed, apart from the order of steps.
type plan struct {
	poller  poller.Config
	hub     hub.Config
	conn    conn.Config
	clients int
	phases  int
	seats   int // more are refused with 503
	most    int // with more connections the listener waits
	chatty  bool

	compressor *frame.Compressor // nil without compression
}

// maxHead is a little more than the longest request of a client.
const maxHead = 256

// one of some values, all as likely.
func one[T any](of ...T) T { return of[sim.Pick(len(of))] }

func newPlan() plan {
	p := plan{
		poller: poller.Config{
			Reactors: 1 + sim.Pick(2),
			Workers:  1 + sim.Pick(3),
			Buffer:   maxHead + one(1, 5, 40, 300, 2000),
			Help:     one(-1, 0, 1, 2),
			Blocking: sim.Chance(5),
		},
		hub: hub.Config{
			Shards:      1 + sim.Pick(3),
			QueueFrames: one(1, 2, 5, 30),
			QueueBytes:  one(1, 60, 300, 5000),
			BatchFrames: one(1, 2, 5, 40),
			BatchBytes:  one(1, 50, 200, 3000),
		},
		conn: conn.Config{
			MaxMessage:       one[int64](0, 60, 300),
			ReadBudget:       one(0, 0, 300, 1000),
			WriteQueueFrames: one(0, 1, 2, 5, 20),
			WriteQueueBytes:  one(0, 1, 60, 300, 2000),
			WriteQueueTotal:  one[int64](0, 0, 0, 700, 3000),
			ReadBufferTotal:  one[int64](0, 0, 0, 300, 1000),
			SlowConsumer:     one(conn.Disconnect, conn.Drop, conn.Conflate),
			HandshakeTimeout: time.Duration(1+sim.Pick(5)) * time.Second,
			PingInterval:     time.Duration(one(0, 0, 2, 4)) * time.Second,
			IdleTimeout:      time.Duration(one(0, 0, 3, 9)) * time.Second,
			CloseTimeout:     time.Duration(1+sim.Pick(5)) * time.Second,
		},
		clients: 1 + sim.Pick(6),
		phases:  1 + sim.Pick(6),
		seats:   one(2, 5, 100, 100),
		most:    one(1, 3, 100, 100),
		chatty:  sim.Chance(2),
	}
	p.conn.Blocking = p.poller.Blocking
	if sim.Chance(2) {
		p.compressor = compressors[sim.Pick(len(compressors))]
	}
	p.conn.Compress, p.hub.Compress = p.compressor, p.compressor
	handlers := p.poller.Workers + p.poller.Reactors
	// Room for one message of each handler, as package server sees to it.
	p.hub.SlackFrames, p.hub.SlackBytes = handlers, handlers*(longest+20)
	return p
}

// pieces is a way of cutting a stream: the most bytes that are sent at once.
func pieces() int { return one(1, 3, 20, 200, 5000) }
