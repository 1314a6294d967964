package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialsPerTurn bounds the connect calls between two looks at the events, so
	// that dialling does not delay the handshakes it measures.
	dialsPerTurn = 32
	// failuresInRow ends a dialling that does not try again: nobody is there, or
	// nobody wants us.
	failuresInRow = 100
)

// Dial says which slots are opened, and how. One that is not free yet is waited for.
type Dial struct {
	From, To int  // slots, To excluded
	Pace     Pace // of attempts; the zero value is as fast as Config.Handshakes allows
	// Recycle opens a slot again whenever its connection ends, until StopDialling.
	Recycle bool
	// Retry is the pause after which a failed attempt is made again; 0: never, and
	// a hundred failures in a row end the dialling.
	Retry time.Duration
	// Raw opens connections without a WebSocket handshake: Opened is called when TCP
	// is connected, or TLS of a wss URL, and what the server sends is thrown away.
	Raw bool
	// Plain leaves out TLS also where the URL is wss.
	Plain bool
	// ReceiveBytes is the kernel's receive buffer, SO_RCVBUF; 0 leaves it alone.
	ReceiveBytes int
}

// Dialling is a Dial under way. It belongs to its client.
type Dialling struct {
	Dial
	cl    *Client
	index uint16

	todo     queue[int32] // slots to open
	later    queue[retry] // slots to open again after a failure
	since    time.Duration
	pacer    Pacer
	inFlight int
	sockets  int  // slots with a descriptor
	stopped  bool // no slot is queued any more

	report      Dialled
	failedInRow int
}

// Dialled is what a dialling has come to. Those of several processes can be
// added up.
type Dialled struct {
	Wanted, Attempted, Opened, Failed int64

	GaveUp      bool          // after too many failures in a row
	First, Last time.Duration // first attempt, -1 without one; last outcome
	Latency     *Recorder     // connect to checked answer, TLS included
}

type retry struct {
	slot int32
	due  time.Duration
}

// Add adds what another process has dialled.
func (d *Dialled) Add(other Dialled) {
	d.Wanted += other.Wanted
	d.Attempted += other.Attempted
	d.Opened += other.Opened
	d.Failed += other.Failed
	d.GaveUp = d.GaveUp || other.GaveUp
	if other.First >= 0 && (d.First < 0 || other.First < d.First) {
		d.First = other.First
	}
	d.Last = max(d.Last, other.Last)
	d.Latency.Merge(other.Latency)
}

// NoneDialled is the sum of nothing.
func NoneDialled() Dialled { return Dialled{First: -1, Latency: NewRecorder()} }

// Elapsed is the time from the first attempt to the last outcome.
func (d *Dialled) Elapsed() time.Duration {
	if d.First < 0 {
		return 0
	}
	return d.Last - d.First
}

// dialer opens connections in free slots at the pace of each Dial.
type dialer struct {
	cl      *Client
	targets []unix.Sockaddr // of Client.targets
	sources []unix.Sockaddr // empty: the kernel chooses

	diallings []*Dialling
	attempts  int       // of all
	inFlight  int       // of all
	waiting   deadlines // handshakes in flight

	opened, failed int64     // of all
	latency        *Recorder // of all, for the series
}

func (d *dialer) init(cl *Client) error {
	d.cl, d.latency = cl, NewRecorder()
	for _, t := range cl.targets {
		d.targets = append(d.targets, sockaddr(t.address))
	}
	sources, err := chooseSources(cl.cfg.Sources, cl.cfg.Conns, cl.targets)
	for _, s := range sources {
		d.sources = append(d.sources, sockaddr(s))
	}
	return err
}

// Dial starts to open slots and returns at once; Drive does the work.
func (cl *Client) Dial(dial Dial) *Dialling {
	d := &Dialling{
		Dial: dial, cl: cl, index: uint16(len(cl.dialer.diallings)),
		since: cl.Now(), pacer: NewPacer(dial.Pace), report: NoneDialled(),
	}
	d.report.Wanted = int64(dial.To - dial.From)
	for i := dial.From; i < dial.To; i++ {
		cl.conns[i].dialling = d.index
		d.todo.push(int32(i))
	}
	cl.dialer.diallings = append(cl.dialer.diallings, d)
	return d
}

// StopDialling lets the handshakes in flight finish and starts no other.
func (cl *Client) StopDialling() {
	for _, d := range cl.dialer.diallings {
		d.Stop()
	}
}

// Stop lets the handshakes in flight finish and starts no other.
func (d *Dialling) Stop() {
	d.stopped, d.Recycle = true, false
	d.todo, d.later = queue[int32]{}, queue[retry]{}
}

// Done tells whether every slot has been opened or has failed.
func (d *Dialling) Done() bool { return d.todo.len() == 0 && d.later.len() == 0 && d.inFlight == 0 }

// Active tells whether slots are still to be opened, in flight, or opened again
// when their connection ends.
func (d *Dialling) Active() bool { return !d.Done() || (d.Recycle && d.sockets > 0) }

// Report is what came of it so far. The Recorder in it is shared.
func (d *Dialling) Report() Dialled { return d.report }

// advance starts what the paces allow, ends what took too long, and returns the
// wait until it wants to be called again.
func (d *dialer) advance(now time.Duration) time.Duration {
	d.waiting.expire(d.cl, now, func(c *Conn) {
		switch c.state {
		case stateConnecting:
			d.fail(c, ErrConnectTimeout)
		case stateSecuring:
			d.fail(c, ErrTLSTimeout)
		case stateHandshaking:
			d.fail(c, ErrHandshakeTimeout)
		}
	})
	wait := time.Duration(-1)
	for _, dialling := range d.diallings {
		wait = sooner(wait, dialling.advance(now))
	}
	return sooner(wait, d.waiting.next(d.cl, now))
}

func (d *Dialling) advance(now time.Duration) time.Duration {
	for d.later.len() > 0 && d.later.front().due <= now {
		d.todo.push(d.later.pop().slot)
	}
	wait := time.Duration(-1)
	if d.later.len() > 0 {
		wait = d.later.front().due - now
	}
	for n := 0; d.todo.len() > 0 && d.cl.dialer.inFlight < d.cl.cfg.Handshakes; n++ {
		if n == dialsPerTurn {
			return 0
		}
		if c := &d.cl.conns[*d.todo.front()]; c.state != stateIdle {
			d.later.push(retry{d.todo.pop(), now + lingerTime})
			wait = sooner(wait, lingerTime)
			continue
		}
		if d.Pace.Limited() {
			if due := d.since + d.pacer.Due(); due > now {
				return sooner(wait, due-now)
			}
			d.pacer.Next()
		}
		d.dial(&d.cl.conns[d.todo.pop()])
	}
	return wait
}

// dial starts one attempt.
func (d *Dialling) dial(c *Conn) {
	all := &d.cl.dialer
	now := d.cl.Now()
	if d.report.First < 0 {
		d.report.First = now
	}
	var source unix.Sockaddr
	if len(all.sources) > 0 {
		source = all.sources[all.attempts%len(all.sources)]
	}
	all.attempts++
	all.inFlight++
	d.report.Attempted++
	d.inFlight++
	c.state, c.started, c.code = stateConnecting, int64(now), 0
	fd, err := connectSocket(all.targets[int(c.index)%len(all.targets)], source, d.ReceiveBytes)
	if err == nil {
		c.fd = int32(fd)
		d.cl.sockets++
		d.sockets++
		err = d.cl.loop.add(fd, c.token())
	}
	if err != nil {
		all.fail(c, err)
		return
	}
	all.waiting.push(c.token(), now+d.cl.cfg.HandshakeTimeout)
}

// connected goes on once TCP is connected. It returns false when nothing more of
// the event matters.
func (cl *Client) connected(c *Conn, ended bool) bool {
	if ended {
		if err := socketError(int(c.fd)); err != nil {
			cl.dialer.fail(c, err)
			return false
		}
	}
	dial := &cl.dialer.of(c).Dial
	if t := cl.targetOf(c); t.tls != nil && !dial.Plain {
		cl.secure(c, t)
		return false
	}
	return cl.request(c)
}

// request sends the request, or hands over a raw connection. It returns false
// when that has ended it.
func (cl *Client) request(c *Conn) bool {
	if c.raw = cl.dialer.of(c).Raw; c.raw {
		cl.dialer.succeed(c, cl.Now())
		return c.state == stateOpen
	}
	c.state = stateHandshaking
	cl.flush()
	cl.out = cl.handshake.appendRequest(cl.out[:0], c.token())
	cl.outConn = c
	cl.flush()
	return true
}

// targetOf is where c goes.
func (cl *Client) targetOf(c *Conn) *target { return &cl.targets[int(c.index)%len(cl.targets)] }

// of is the dialling that made or makes c.
func (d *dialer) of(c *Conn) *Dialling { return d.diallings[c.dialling] }

// succeed counts a complete handshake and hands the connection over.
func (d *dialer) succeed(c *Conn, now time.Duration) {
	c.state = stateOpen
	d.cl.open++
	d.inFlight--
	d.opened++
	took := now - time.Duration(c.started)
	dialling := d.of(c)
	if !dialling.Raw {
		d.latency.Record(took)
	}
	dialling.inFlight--
	dialling.failedInRow = 0
	dialling.report.Opened++
	dialling.report.Last = now
	dialling.report.Latency.Record(took)
	d.cl.handler.Opened(c)
}

// fail counts a failed attempt by its reason.
func (d *dialer) fail(c *Conn, err error) {
	now := d.cl.Now()
	d.inFlight--
	d.failed++
	d.cl.tally.failed(err, d.cl.targets)
	dialling := d.of(c)
	dialling.inFlight--
	dialling.failedInRow++
	dialling.report.Failed++
	dialling.report.Last = now
	d.cl.drop(c)
	switch {
	case dialling.Retry > 0:
		if !dialling.stopped {
			dialling.later.push(retry{c.index, now + dialling.Retry})
		}
		return
	case dialling.failedInRow >= failuresInRow:
		dialling.report.GaveUp = true
		dialling.Stop()
	}
	d.freed(c)
}

// abandon gives up an attempt in flight without counting it.
func (d *dialer) abandon(c *Conn) {
	d.inFlight--
	dialling := d.of(c)
	dialling.inFlight--
	dialling.report.Attempted--
	d.cl.drop(c)
}

// freed is called when a slot is idle again.
func (d *dialer) freed(c *Conn) {
	if dialling := d.of(c); dialling.Recycle {
		dialling.todo.push(c.index)
	}
}

// left is called when a connection has given up its descriptor.
func (d *dialer) left(c *Conn) { d.of(c).sockets-- }
