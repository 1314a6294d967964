package bench

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	receiveBytes = 256 << 10 // the receive buffer shared by all connections
	// headroom lies before it: an incomplete frame kept from the last recv is
	// copied there, so that it and the new bytes can be parsed in one piece. It
	// is as long as the longest handshake answer, which only read can continue.
	headroom = maxAnswerBytes
	// readBudget bounds the full buffers taken from one connection before the others get their turn.
	readBudget = 4
	// lingerTime is how long a server that has answered our close frame may take
	// to close TCP first, as section 7.1.1 asks of it; then the client does. It
	// only decides on which side the port stays in TIME_WAIT.
	lingerTime = 10 * time.Millisecond
	// progressEvery is the pause between two calls of Config.Progress.
	progressEvery = 100 * time.Millisecond
)

// Handler gives meaning to what a Client receives. Its methods are called by
// the goroutine that drives the client and must not block.
type Handler interface {
	// Opened is called once per connection, when its handshake is complete.
	Opened(c *Conn)
	// Message is called for every complete text or binary message. at is when
	// recv returned its last byte; payload is valid until Message returns.
	Message(c *Conn, op byte, payload []byte, at time.Duration)
	// Pong is called for every pong; payload is valid until Pong returns.
	Pong(c *Conn, payload []byte)
	// Ended is called once for every connection that was opened, when its
	// descriptor is closed. c.CloseCode tells how.
	Ended(c *Conn)
}

// Client is a table of connections and the loop that drives them. Use it from
// one goroutine: NewClient, Dial, any number of Drive, CloseAll, Release. Only
// Wake may be called from others.
type Client struct {
	cfg       Config
	handler   Handler
	targets   []target
	handshake handshake
	start     time.Time
	loop      loop

	conns     []Conn
	open      int      // connections in stateOpen
	sockets   int      // slots with a descriptor
	again     []uint64 // tokens whose read budget ran out before their bytes
	turn      []uint64 // the again of the turn before
	free      []*held
	receive   []byte // headroom, then receiveBytes
	out       []byte // frames for outConn, not yet written
	outConn   *Conn
	maskState uint64

	sessions []*session    // by slot; nil without TLS
	shaking  queue[uint64] // tokens whose TLS handshake goes on
	sealed   []byte        // records that no socket was offered yet
	deflator *deflator     // nil before the first message to compress
	inflator *inflator     // nil before the first message to inflate

	dialer  dialer
	slow    slowReaders
	closing deadlines // of closing handshakes, either side's
	linger  deadlines // of the server's closing TCP after it has answered our close frame
	busy    meter
	tally   tally
	series  series

	phase      string
	phaseStart time.Duration
	phaseCount func() (done, total int64, unit string)
	progressAt time.Duration
}

// NewClient makes a client that has no connection yet. It resolves the URLs and
// raises the process's soft limit of descriptors to the hard one. Release must
// be called in the end.
func NewClient(cfg Config, handler Handler) (*Client, error) {
	targets, err := resolve(cfg.URLs, cfg.TLS)
	if err != nil {
		return nil, err
	}
	if _, err := raiseDescriptorLimit(); err != nil {
		return nil, err
	}
	var random [16]byte
	rand.Read(random[:])
	epoll, err := newEpoll()
	if err != nil {
		return nil, err
	}
	cl := &Client{
		cfg:       cfg.withDefaults(),
		handler:   handler,
		targets:   targets,
		handshake: newHandshake(binary.LittleEndian.Uint64(random[:8]), targets, cfg.Header, cfg.Subprotocols, cfg.Compress),
		start:     startOf(cfg.Epoch),
		loop:      epoll,
		conns:     make([]Conn, cfg.Conns),
		receive:   make([]byte, headroom+receiveBytes),
		maskState: binary.LittleEndian.Uint64(random[8:]),
	}
	for i := range cl.conns {
		cl.conns[i].index, cl.conns[i].fd = int32(i), -1
	}
	cl.handshake.sample = cfg.SampleKey
	if err := cl.dialer.init(cl); err != nil {
		return nil, errors.Join(err, epoll.close())
	}
	cl.tally.init()
	cl.series.init(cl)
	return cl, nil
}

// Monotonic reads the clock that Config.Epoch is on.
func Monotonic() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail with a clock that exists
	return time.Duration(now.Nano())
}

// startOf is the moment of an epoch.
func startOf(epoch time.Duration) time.Time {
	now := time.Now()
	if epoch == 0 {
		return now
	}
	return now.Add(epoch - Monotonic())
}

// Now is the time on the run's clock.
func (cl *Client) Now() time.Duration { return time.Since(cl.start) }

// Wake makes Drive call its step soon. Any goroutine may call it, as often as it
// likes, also after Release.
func (cl *Client) Wake() { cl.loop.wake() }

// Conn is the connection in slot i.
func (cl *Client) Conn(i int) *Conn { return &cl.conns[i] }

// OpenCount is the number of connections open now.
func (cl *Client) OpenCount() int { return cl.open }

// SetPhase names what happens from now on for Config.Progress. count may be nil.
// The phase before is reported once more, as it ended.
func (cl *Client) SetPhase(name string, count func() (done, total int64, unit string)) {
	cl.progress(cl.Now())
	cl.phase, cl.phaseStart, cl.phaseCount, cl.progressAt = name, cl.Now(), count, 0
}

// Drive serves the connections until step says done, or ctx ends, whose error
// it then returns. step is called before every wait; it may send and close, and
// returns how long nothing needs it, negative for as long as no event comes.
func (cl *Client) Drive(ctx context.Context, step func(now time.Duration) (wait time.Duration, done bool)) error {
	defer context.AfterFunc(ctx, cl.loop.wake)()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		// What time brings about comes before step, so that step sees it and
		// nothing is left that only an event could wake; how long to wait is
		// asked after step, which may have set deadlines.
		now := cl.Now()
		dial := cl.dialer.advance(now)
		cl.expire(now)
		slow := cl.slow.advance(cl, now)
		wait, done := step(now)
		wait = sooner(sooner(wait, dial), slow)
		wait = sooner(wait, cl.closing.next(cl, now))
		wait = sooner(wait, cl.linger.next(cl, now))
		wait = sooner(wait, cl.report(now))
		wait = sooner(wait, cl.series.advance(now))
		cl.flush()
		if done {
			return nil
		}
		if err := cl.poll(wait); err != nil {
			return fmt.Errorf("event loop: %w", err)
		}
	}
}

// sooner is the earlier of two waits, where negative means never.
func sooner(a, b time.Duration) time.Duration {
	if a < 0 || (b >= 0 && b < a) {
		return b
	}
	return a
}

// poll waits once and serves what is ready.
func (cl *Client) poll(wait time.Duration) error {
	cl.turn, cl.again = cl.again, cl.turn[:0]
	if len(cl.turn) > 0 || cl.shaking.len() > 0 {
		wait = 0
	}
	before := cl.Now()
	events, err := cl.loop.wait(wait)
	cl.busy.waited += cl.Now() - before
	if err != nil {
		return err
	}
	for _, token := range cl.turn {
		if c := cl.lookup(token); c != nil {
			cl.serve(c, true)
		}
	}
	for i := range events {
		if c := cl.lookup(events[i].token); c != nil {
			cl.dispatch(c, &events[i])
		}
	}
	cl.shakeHands()
	return nil
}

// lookup finds the connection of a token, nil when the slot has moved on.
func (cl *Client) lookup(token uint64) *Conn {
	c := &cl.conns[uint32(token)]
	if c.token() != token || c.state == stateIdle {
		return nil
	}
	return c
}

// dispatch acts on one event. The order matters: what was written before comes
// before answers to what is read now.
func (cl *Client) dispatch(c *Conn, ev *event) {
	if c.state == stateConnecting {
		if !ev.writable && !ev.ended {
			return
		}
		if !cl.connected(c, ev.ended) {
			return
		}
	}
	if ev.writable && c.Pending() > 0 {
		cl.writeHeld(c)
	}
	if c.state == stateSecuring {
		if ev.readable {
			cl.shaking.push(c.token())
		}
		return
	}
	if c.deaf {
		if ev.ended {
			cl.end(c)
		}
		return
	}
	if ev.readable && !c.slow {
		cl.serve(c, ev.ended)
	}
}

// serve reads what is there. A short read means that nothing is left and the
// next arrival makes a new edge, epoll(7) question 9; that does not hold for an
// end of stream this event has already told of.
func (cl *Client) serve(c *Conn, ended bool) {
	for range readBudget {
		n, full := cl.read(c, receiveBytes)
		if c.state == stateIdle || c.slow || n == 0 || (!full && !ended) {
			return
		}
	}
	cl.again = append(cl.again, c.token())
}

// report calls Config.Progress when it is time and returns the wait until the next call.
func (cl *Client) report(now time.Duration) time.Duration {
	if cl.cfg.Progress == nil || cl.phase == "" {
		return -1
	}
	if now >= cl.progressAt {
		cl.progressAt = now + progressEvery
		cl.progress(now)
	}
	return cl.progressAt - now
}

// progress tells Config.Progress how the phase stands.
func (cl *Client) progress(now time.Duration) {
	if cl.cfg.Progress == nil || cl.phase == "" {
		return
	}
	s := Snapshot{
		Phase: cl.phase, Elapsed: now - cl.phaseStart, Conns: cl.cfg.Conns, Open: cl.open,
		Failed: cl.dialer.failed, Closed: cl.dialer.opened - int64(cl.open),
	}
	if n := len(cl.series.seconds); n > 0 {
		s.Last = &cl.series.seconds[n-1]
	}
	if cl.phaseCount != nil {
		s.Done, s.Total, s.Unit = cl.phaseCount()
	}
	cl.cfg.Progress(s)
}

// Release closes every descriptor at once, without closing handshakes.
func (cl *Client) Release() error {
	cl.progress(cl.Now())
	cl.phase = ""
	cl.StopDialling()
	for i := range cl.conns {
		if cl.conns[i].state != stateIdle {
			cl.drop(&cl.conns[i])
		}
	}
	return cl.loop.close()
}
