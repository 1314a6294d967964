//go:build linux

package bench

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialsPerTurn bounds the connect calls between two looks at the events, so
	// that dialling does not delay the handshakes it measures.
	dialsPerTurn = 32
	// failuresInRow ends the dialling: nobody is there, or nobody wants us.
	failuresInRow = 100
)

// dialer opens connections in free slots at the configured pace.
type dialer struct {
	cl      *Client
	target  unix.Sockaddr
	sources []unix.Sockaddr // empty: the kernel chooses

	todo     queue[int32] // slots to open
	recycle  bool         // a slot that ends is opened again
	since    time.Duration
	paced    int64 // attempts since then, for the rate
	inFlight int
	waiting  deadlines // handshakes in flight

	attempted, opened, failed int64
	failedInRow               int
	gaveUp                    bool
	first, last               time.Duration // first attempt, last outcome
	latency                   *Recorder     // connect to checked answer
}

func (d *dialer) init(cl *Client) {
	d.cl = cl
	d.target = sockaddr(cl.plan.target)
	for _, s := range cl.plan.SourceAddresses {
		d.sources = append(d.sources, sockaddr(netip.AddrPortFrom(netip.MustParseAddr(s), 0)))
	}
	d.latency = NewRecorder()
	d.first = -1
}

// Open opens every slot and returns when each has succeeded or failed, when
// nothing but failures came for long, or when ctx ends, whose error it returns.
func (cl *Client) Open(ctx context.Context) error {
	cl.SetPhase("open", func() (int64, int64, string) { return cl.dialer.opened, int64(len(cl.conns)), "connections" })
	cl.dialer.begin(cl.Now(), false)
	return cl.Drive(ctx, func(time.Duration) (time.Duration, bool) { return -1, cl.dialer.done() })
}

// StartChurn opens every slot, and again whenever its connection ends. It
// returns at once; Drive does the work until StopDialling.
func (cl *Client) StartChurn() { cl.dialer.begin(cl.Now(), true) }

// StopDialling lets the handshakes in flight finish and starts no other.
func (cl *Client) StopDialling() { cl.dialer.stop() }

// Churning tells whether slots are still to be opened, in flight, or opened
// again when their connection ends.
func (cl *Client) Churning() bool {
	return !cl.dialer.done() || (cl.dialer.recycle && cl.sockets > 0)
}

// begin queues every slot.
func (d *dialer) begin(now time.Duration, recycle bool) {
	d.recycle, d.since, d.paced = recycle, now, 0
	for i := range d.cl.conns {
		d.todo.push(int32(i))
	}
}

func (d *dialer) stop() {
	d.recycle = false
	d.todo = queue[int32]{}
}

func (d *dialer) done() bool { return d.todo.len() == 0 && d.inFlight == 0 }

// advance starts what the pace allows, ends what took too long, and returns
// the wait until it wants to be called again.
func (d *dialer) advance(now time.Duration) time.Duration {
	d.waiting.expire(d.cl, now, func(c *Conn) {
		switch c.state {
		case stateConnecting:
			d.fail(c, ErrConnectTimeout)
		case stateHandshaking:
			d.fail(c, ErrHandshakeTimeout)
		}
	})
	wait := time.Duration(-1)
	for n := 0; d.todo.len() > 0 && d.inFlight < d.cl.cfg.Handshakes; n++ {
		if n == dialsPerTurn {
			return 0
		}
		if due := d.due(); due > now {
			wait = due - now
			break
		}
		d.dial(&d.cl.conns[d.todo.pop()])
	}
	return sooner(wait, d.waiting.next(d.cl, now))
}

// due is when the next attempt may start.
func (d *dialer) due() time.Duration {
	if d.cl.cfg.Rate == 0 {
		return 0
	}
	return d.since + time.Duration(float64(d.paced)/d.cl.cfg.Rate*float64(time.Second))
}

// dial starts one attempt.
func (d *dialer) dial(c *Conn) {
	now := d.cl.Now()
	if d.first < 0 {
		d.first = now
	}
	var source unix.Sockaddr
	if len(d.sources) > 0 {
		source = d.sources[int(d.attempted)%len(d.sources)]
	}
	d.attempted++
	d.paced++
	d.inFlight++
	c.state, c.started, c.code = stateConnecting, int64(now), 0
	fd, err := connectSocket(d.target, source)
	if err == nil {
		c.fd = int32(fd)
		d.cl.sockets++
		err = d.cl.loop.add(fd, c.token())
	}
	if err != nil {
		d.fail(c, err)
		return
	}
	d.waiting.push(c.token(), now+d.cl.cfg.HandshakeTimeout)
}

// connected sends the request once TCP is connected. It returns false when the
// attempt has failed.
func (cl *Client) connected(c *Conn, ended bool) bool {
	if ended {
		if err := socketError(int(c.fd)); err != nil {
			cl.dialer.fail(c, err)
			return false
		}
	}
	c.state = stateHandshaking
	cl.flush()
	cl.out = cl.handshake.appendRequest(cl.out[:0], c.token())
	cl.outConn = c
	cl.flush()
	return true
}

// succeed counts a complete handshake and hands the connection over.
func (d *dialer) succeed(c *Conn, now time.Duration) {
	c.state = stateOpen
	d.cl.open++
	d.inFlight--
	d.opened++
	d.failedInRow = 0
	d.last = now
	d.latency.Record(now - time.Duration(c.started))
	d.cl.handler.Opened(c)
}

// fail counts a failed attempt by its reason.
func (d *dialer) fail(c *Conn, err error) {
	d.inFlight--
	d.failed++
	d.failedInRow++
	d.last = d.cl.Now()
	d.cl.tally.failed(err, d.cl.plan)
	d.cl.drop(c)
	d.freed(c)
	if d.failedInRow >= failuresInRow {
		d.gaveUp = true
		d.stop()
	}
}

// abandon gives up an attempt in flight without counting it.
func (d *dialer) abandon(c *Conn) {
	d.inFlight--
	d.attempted--
	d.cl.drop(c)
}

// freed is called when a slot is idle again.
func (d *dialer) freed(c *Conn) {
	if d.recycle {
		d.todo.push(c.index)
	}
}
