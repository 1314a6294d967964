package scenario

import (
	"context"
	"errors"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"roost/bench"
)

// interruptedTimeout ends the wait for what is under way after an interrupt.
const interruptedTimeout = 2 * time.Second

// slowReceiveBytes is the kernel's receive buffer of those who read slowly or
// never: nearly the least that Linux has, so that the server notices soon.
const slowReceiveBytes = 4096

// session is one agent's part of a run.
type session struct {
	cl     *bench.Client
	cfg    bench.Config
	spec   Spec
	seat   Seat
	expect *regexp.Regexp // nil: every message is looked at

	parts  []role
	owner  []uint8 // index in parts, by slot
	ranges []slots // by group
	dials  []*bench.Dialling

	start, from time.Duration // traffic begins; latencies and rates count
	measured    bool
	interrupted bool
	phases      []bench.Phase
	mark        bench.Mark
	effort      Effort
}

// slots are those of a group, to excluded.
type slots struct{ from, to int }

// Play plays one agent's share of a run and returns what it found. It ends early,
// in order, when ctx ends. The error is about the run as such: wrong values,
// limits of the machine; what the server did wrong is in the report.
func Play(ctx context.Context, cfg bench.Config, spec Spec, seat Seat) (*Report, error) {
	spec = spec.withDefaults()
	cfg.Conns = spec.Conns()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &session{cfg: cfg, spec: spec, seat: seat, owner: make([]uint8, cfg.Conns), effort: Effort{Processes: 1}}
	if spec.Expect != "" {
		s.expect = regexp.MustCompile(spec.Expect)
	}
	s.effort.RSSBefore = ownRSS()
	var err error
	if s.cl, err = bench.NewClient(cfg, s); err != nil {
		return nil, err
	}
	defer func() { _ = s.cl.Release() }() // the report is complete by then
	if err := s.assign(); err != nil {
		return nil, err
	}
	if err := s.play(ctx); err != nil {
		return nil, err
	}
	return s.report(), nil
}

// assign gives every group its slots and its role.
func (s *session) assign() error {
	at, room := 0, -1
	for _, g := range s.spec.Groups {
		s.ranges = append(s.ranges, slots{at, at + g.Conns})
		at += g.Conns
	}
	for i, own := range s.ranges {
		g := &s.spec.Groups[i]
		part := len(s.parts)
		switch g.Role {
		case Hold:
			s.parts = append(s.parts, &hold{s: s, name: g.Name, slots: own})
		case Echo:
			w, err := newEcho(s, i)
			if err != nil {
				return err
			}
			s.parts = append(s.parts, w)
		case Churn:
			s.parts = append(s.parts, &churn{s: s, group: g, slots: own})
		case Hostile:
			s.parts = append(s.parts, &hostile{s: s, group: g, slots: own})
		case Storm:
			s.parts = append(s.parts, &storm{s: s, group: g, slots: own, back: bench.NewRecorder()})
		default:
			if room >= 0 {
				part = room
				break
			}
			room = part
			w, err := newRoom(s, g.Name)
			if err != nil {
				return err
			}
			s.parts = append(s.parts, w)
		}
		for slot := own.from; slot < own.to; slot++ {
			s.owner[slot] = uint8(part)
		}
	}
	return nil
}

func (s *session) play(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	opened, err := s.meet(Opened, s.openShare())
	if err != nil {
		return err
	}
	s.effort.RSSOpen = ownRSS()
	if !opened.interrupted() && (opened.open() > 0 || s.comesAndGoes()) {
		if err := s.work(ctx, opened); err != nil {
			return err
		}
	}
	return s.close(ctx)
}

// open dials every group that stays; publishers come last: a server that walks
// its connections in the order of joining serves them last, so that a publisher
// which has its own message back knows most others have it.
func (s *session) open(ctx context.Context) error {
	s.phase("open", func() (done, total int64, unit string) {
		for _, d := range s.dials {
			done += d.Report().Opened
		}
		return done, int64(s.cfg.Conns), "connections"
	})
	for _, publishers := range []bool{false, true} {
		conns := 0
		for _, g := range s.spec.Groups {
			if stays(g) && (g.Role == Publish) == publishers {
				conns += g.Conns
			}
		}
		for i, g := range s.spec.Groups {
			if g.Conns == 0 || !stays(g) || (g.Role == Publish) != publishers {
				continue
			}
			dial := bench.Dial{From: s.ranges[i].from, To: s.ranges[i].to, Pace: g.Ramp}
			if !g.Ramp.Limited() {
				dial.Pace = s.spec.Ramp.Share(float64(g.Conns) / float64(conns))
			}
			if g.ReadRate > 0 {
				dial.ReceiveBytes = slowReceiveBytes
			}
			s.dials = append(s.dials, s.cl.Dial(dial))
		}
		err := s.drive(ctx, func(time.Duration) (time.Duration, bool) {
			for _, d := range s.dials {
				if !d.Done() {
					return -1, false
				}
			}
			return -1, true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stays tells whether a group opens its connections before the traffic.
func stays(g Group) bool { return g.Role != Churn && g.Role != Hostile }

// comesAndGoes tells whether some group opens connections later.
func (s *session) comesAndGoes() bool {
	for _, g := range s.spec.Groups {
		if !stays(g) {
			return true
		}
	}
	return false
}

func (s *session) openShare() Share {
	share := Share{Interrupted: s.interrupted, Open: int64(s.cl.OpenCount())}
	for i, g := range s.spec.Groups {
		count := 0
		for slot := s.ranges[i].from; slot < s.ranges[i].to; slot++ {
			if s.cl.Conn(slot).Open() {
				count++
			}
		}
		if g.ReadRate == 0 && (g.Role == Listen || g.Role == Publish) {
			share.Members += int64(count)
		}
		if g.PublishURL != "" {
			count++
		} else if g.Role != Publish {
			count = 0
		}
		share.Publishers = append(share.Publishers, count)
	}
	return share
}

// work settles, sends, and waits for what is under way.
func (s *session) work(ctx context.Context, opened *Meeting) error {
	s.phase("settle", s.timed(s.spec.Settle))
	until := s.cl.Now() + s.spec.Settle
	err := s.drive(ctx, func(now time.Duration) (time.Duration, bool) { return until - now, now >= until })
	if err != nil {
		return err
	}
	if s.spec.WarmUp > 0 {
		s.from = math.MaxInt64 // what another agent sends before this one has begun is warm-up
	}
	for _, p := range s.parts {
		p.gather(opened)
	}
	settled, err := s.meet(Settled, Share{Interrupted: s.interrupted})
	if err != nil || settled.interrupted() {
		return err
	}
	if err := s.measure(ctx, settled.At); err != nil {
		return err
	}
	var sent []uint32
	for _, p := range s.parts {
		p.stop()
		sent = append(sent, p.sent()...)
	}
	if !s.spec.HasTraffic() {
		s.measureEffort()
	}
	all, err := s.meet(Sent, Share{Sent: sent})
	if err != nil {
		return err
	}
	if err := s.drain(ctx, all); err != nil {
		return err
	}
	if s.spec.HasTraffic() {
		s.measureEffort()
	}
	_, err = s.meet(Drained, Share{})
	return err
}

// HasTraffic tells whether some group waits for messages: then the measured part
// includes the draining.
func (s Spec) HasTraffic() bool {
	for _, g := range s.Groups {
		if g.Role == Listen || g.Role == Publish || g.Role == Echo {
			return true
		}
	}
	return false
}

// measure drives the traffic until it has ended or its time is over. start is the
// same for all agents: what one sends, another must count alike.
func (s *session) measure(ctx context.Context, start time.Duration) error {
	s.start = start
	s.from, s.measured = s.start+s.spec.WarmUp, true
	s.mark = s.cl.Mark()
	warm := s.spec.WarmUp > 0
	if warm {
		s.phase("warm-up", s.timed(s.spec.WarmUp))
	} else {
		s.phase("measure", s.progress)
	}
	s.cl.Count(s.counts)
	for _, p := range s.parts {
		p.begin(s.start)
	}
	quiet := idleTimeout{limit: s.timeout()}
	return s.drive(ctx, func(now time.Duration) (time.Duration, bool) {
		wait := time.Duration(-1)
		for _, p := range s.parts {
			wait = sooner(wait, p.step(now))
		}
		if warm && now >= s.from {
			warm = false
			s.mark = s.cl.Mark()
			s.phase("measure", s.progress)
		}
		if warm {
			wait = sooner(wait, s.from-now)
		}
		done, left := s.finished(now)
		if done {
			return 0, true
		}
		wait = sooner(wait, left)
		if s.silenceIsAFault() {
			left, over := quiet.expired(now, s.moved())
			return sooner(wait, left), over
		}
		return wait, false
	})
}

// finished tells whether the sending is over, and else how long the time that
// bounds it lasts, negative without one.
func (s *session) finished(now time.Duration) (done bool, left time.Duration) {
	limited, sending, dialling := false, false, false
	for _, p := range s.parts {
		limited = limited || p.limited()
		sending = sending || (p.limited() && p.sending())
		switch p.(type) {
		case *churn, *storm:
			dialling = dialling || p.sending()
		}
	}
	left = -1
	if !limited && s.spec.Duration > 0 {
		left = max(0, s.from+s.spec.Duration-now)
	}
	switch {
	case s.cl.OpenCount() == 0 && !dialling, left == 0:
		return true, left
	case s.spec.ExpectClose != 0:
		return false, left // the server is to close first
	}
	return limited && !sending, left
}

// silenceIsAFault tells whether something should be moving all the time.
func (s *session) silenceIsAFault() bool {
	fault := s.spec.ExpectClose != 0
	for _, p := range s.parts {
		if p.pacing() {
			return false
		}
		fault = fault || p.waiting()
	}
	return fault
}

// drain waits for what is under way.
func (s *session) drain(ctx context.Context, sent *Meeting) error {
	s.phase("drain", s.arrived)
	for _, p := range s.parts {
		p.drain(sent)
	}
	quiet := idleTimeout{limit: s.timeout()}
	begun := s.cl.Now()
	step := func(now time.Duration) (time.Duration, bool) {
		complete := true
		wait := time.Duration(-1)
		for _, p := range s.parts {
			wait = sooner(wait, p.step(now))
			complete = complete && p.complete()
		}
		if complete {
			return 0, true
		}
		left, over := quiet.expired(now, s.moved())
		if s.spec.Drain > 0 {
			bound := begun + s.spec.Drain - now
			left, over = min(left, bound), over || bound <= 0
		}
		if over {
			for _, p := range s.parts {
				p.giveUp()
			}
		}
		return sooner(wait, left), over
	}
	if err := s.drive(ctx, step); err != nil {
		return err
	}
	if !s.interrupted {
		return nil
	}
	quiet = idleTimeout{limit: min(s.timeout(), interruptedTimeout)}
	return s.cl.Drive(context.WithoutCancel(ctx), step)
}

// close ends every connection. An interrupt has been obeyed by coming here; the
// closing is bounded anyway.
func (s *session) close(ctx context.Context) error {
	s.endPhase()
	for i, g := range s.spec.Groups {
		if g.ReadRate == 0 && g.Role != Hostile {
			continue
		}
		for slot := s.ranges[i].from; slot < s.ranges[i].to; slot++ {
			s.cl.Abort(s.cl.Conn(slot), true) // those would not see an answer
		}
	}
	return s.cl.CloseAll(context.WithoutCancel(ctx))
}

// drive is Client.Drive. The end of ctx is noted and is no error.
func (s *session) drive(ctx context.Context, step func(time.Duration) (time.Duration, bool)) error {
	if s.interrupted {
		return nil
	}
	err := s.cl.Drive(ctx, step)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		s.interrupted = true
		return nil
	}
	return err
}

// meet waits for the other agents, and serves the connections meanwhile.
func (s *session) meet(stage Stage, share Share) (*Meeting, error) {
	var released atomic.Pointer[Meeting]
	s.seat.Meet(stage, share, func(m Meeting) {
		released.Store(&m)
		s.cl.Wake()
	})
	err := s.cl.Drive(context.Background(), func(time.Duration) (time.Duration, bool) {
		return -1, released.Load() != nil
	})
	return released.Load(), err
}

// phase names what happens from now on.
func (s *session) phase(name string, count func() (done, total int64, unit string)) {
	s.endPhase()
	s.phases = append(s.phases, bench.Phase{Name: name, Start: s.cl.Now().Seconds()})
	s.cl.SetPhase(name, count)
}

func (s *session) endPhase() {
	if n := len(s.phases); n > 0 {
		if p := &s.phases[n-1]; p.Length == 0 {
			p.Length = s.cl.Now().Seconds() - p.Start
		}
	}
}

// timed is the progress of a phase of known length.
func (s *session) timed(length time.Duration) func() (done, total int64, unit string) {
	start := s.cl.Now()
	return func() (int64, int64, string) {
		return min(s.cl.Now()-start, length).Milliseconds(), length.Milliseconds(), "milliseconds"
	}
}

// progress is that of the first part that ends by itself, else the time's.
func (s *session) progress() (done, total int64, unit string) {
	limited := slices.ContainsFunc(s.parts, role.limited)
	if limited || s.spec.Duration == 0 {
		return s.arrived()
	}
	passed := max(0, min(s.cl.Now()-s.from, s.spec.Duration))
	return passed.Milliseconds(), s.spec.Duration.Milliseconds(), "milliseconds"
}

// arrived is the progress of the first part that ends by itself, else of the first.
func (s *session) arrived() (done, total int64, unit string) {
	return s.parts[max(0, slices.IndexFunc(s.parts, role.limited))].progress()
}

// counts is the traffic so far. Latencies are those of the first part that has
// any: those of different parts are different things.
func (s *session) counts() (c bench.Counts) {
	for _, p := range s.parts {
		sent, received, latency := p.counted()
		c.Sent += sent
		c.Received += received
		if latency == nil {
			continue
		}
		if q, spread := latency.Cut(); c.Latency == nil {
			c.Latency, c.Spread = q, spread
		}
	}
	return c
}

func (s *session) moved() (sum int64) {
	for _, p := range s.parts {
		sum += p.moved()
	}
	return sum
}

// inMeasure tells whether a message is in rates and latencies: those of the warm-up
// are not.
func (s *session) inMeasure(stamp bench.Stamp) bool {
	return stamp.Sent >= s.from && int(stamp.Sequence) > s.spec.WarmUpMessages
}

func (s *session) measureEffort() {
	load := s.cl.Since(s.mark)
	s.effort.Elapsed, s.effort.CPU, s.effort.Busy = load.Elapsed, load.CPU, load.Busy
}

func (s *session) report() *Report {
	r := &Report{
		Dialled: bench.NoneDialled(), Ending: s.cl.Ending(), Phases: s.phases, Seconds: s.cl.Seconds(),
		Effort: s.effort, Interrupted: s.interrupted,
	}
	for _, d := range s.dials {
		r.Dialled.Add(d.Report())
	}
	for _, p := range s.parts {
		r.Parts = append(r.Parts, p.report())
	}
	return r
}

// Opened, Message, Pong and Ended hand the client's events to the part that owns
// the connection.
func (s *session) Opened(c *bench.Conn) {
	if s.spec.Subscribe != "" {
		text := strings.ReplaceAll(s.spec.Subscribe, "{{conn}}", strconv.Itoa(s.number(c)))
		s.cl.Send(c, bench.OpText, []byte(text))
	}
	s.part(c).opened(c)
}

// number is that of a connection among those of all agents.
func (s *session) number(c *bench.Conn) int {
	i := slices.IndexFunc(s.ranges, func(own slots) bool { return c.Index() < own.to })
	return s.spec.Groups[i].First + c.Index() - s.ranges[i].from
}

// Message is called by the client.
func (s *session) Message(c *bench.Conn, op byte, payload []byte, at time.Duration) {
	if s.expect == nil || s.expect.Match(payload) {
		s.part(c).message(c, op, payload, at)
	}
}

// Pong is called by the client.
func (s *session) Pong(c *bench.Conn, _ []byte) { s.part(c).pong(c) }

// Ended is called by the client.
func (s *session) Ended(c *bench.Conn) { s.part(c).ended(c) }

func (s *session) part(c *bench.Conn) role { return s.parts[s.owner[c.Index()]] }

func (s *session) timeout() time.Duration {
	if s.cfg.Timeout == 0 {
		return bench.DefaultTimeout
	}
	return s.cfg.Timeout
}

// idleTimeout tells when a phase in which nothing moves is over.
type idleTimeout struct {
	limit time.Duration
	seen  int64
	since time.Duration
}

// expired is called with a number that grows whenever something moves. left is
// the time until the phase would be over.
func (t *idleTimeout) expired(now time.Duration, progress int64) (left time.Duration, over bool) {
	if progress != t.seen || t.since == 0 {
		t.seen, t.since = progress, now
	}
	left = t.since + t.limit - now
	return left, left <= 0
}

// ownRSS is the resident set of this process in bytes; 0: not known.
func ownRSS() int64 {
	usage, _ := bench.ReadProcess(os.Getpid())
	return usage.RSSBytes
}
