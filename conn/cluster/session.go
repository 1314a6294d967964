package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"roost/conn/frame"
)

const (
	// slowestNATS is how long NATS may take for each step of a connection, and for what
	// is written to it.
	slowestNATS = 2 * time.Second
	// slowestStart is how long NATS may take for all subscriptions.
	slowestStart = 30 * time.Second
	// pingEvery finds a NATS that vanished, when two pings in a row are not answered.
	pingEvery = 5 * time.Second
	// confirmEvery is how often NATS is asked whether it has what was sent.
	confirmEvery = 250 * time.Millisecond
	// awaitOthers is how long those who were known before a connection may take to come
	// back, before what waits is sent without them. It covers lastAgain.
	awaitOthers = 3 * time.Second
)

// session is one connection to NATS, from the first subscription to the end.
type session struct {
	bus    *Bus
	nc     *nats.Conn
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	gone   chan struct{}   // closed by nats.go when it has ended
	back   <-chan struct{} // closed when all others are there again

	topics  chan *nats.Msg // of all subscriptions to topics
	taken   chan struct{}  // holds one when something was taken out of it
	control chan *nats.Msg // announcements and requests

	greeted    atomic.Bool // somebody has just come and wants to know who is there
	complained atomic.Bool
}

// open connects to the first server that takes us.
func (b *Bus) open(ctx context.Context) (*session, error) {
	s := &session{
		bus: b, gone: make(chan struct{}), topics: make(chan *nats.Msg, 4*mostUnseen), control: make(chan *nats.Msg, 256),
		taken: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	options := []nats.Option{
		nats.Name("roost " + b.config.Name + " " + b.name), nats.NoEcho(), nats.NoReconnect(), nats.Timeout(slowestNATS),
		nats.FlusherTimeout(slowestNATS), nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(2),
		nats.SkipSubjectValidation(), nats.SkipHostLookup(), nats.SetCustomDialer(s),
		nats.ClosedHandler(func(*nats.Conn) { s.cancel(); close(s.gone) }),
		nats.ErrorHandler(s.fault),
	}
	c := &b.config
	if c.Creds != "" {
		options = append(options, nats.UserCredentials(c.Creds))
	}
	if c.CA != "" {
		options = append(options, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		options = append(options, nats.ClientCert(c.Cert, c.Key))
	}
	var err error
	if s.nc, err = nats.Connect(strings.Join(c.URLs, ","), options...); err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// remedy is what helps against an error of open.
func remedy(err error) string {
	for _, refusal := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, refusal) {
			return "NATS refuses this node: correct user:password@ in --cluster, or the file of --cluster-creds"
		}
	}
	switch text := err.Error(); {
	case errors.Is(err, nats.ErrNoServers):
		return "start nats-server, or correct the addresses in --cluster"
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted):
		return "NATS and this node do not agree on TLS: see tls:// in --cluster, and --cluster-tls-ca"
	case strings.Contains(text, "tls:"), strings.Contains(text, "x509:"):
		return "see --cluster-tls-ca, --cluster-tls-cert and --cluster-tls-key, and the name in the certificate of NATS"
	}
	return "see the error, and the log of nats-server"
}

// run serves the connection until it ends, and says why.
func (s *session) run() error {
	b := s.bus
	b.counters.connects.Add(1)
	b.out.rewind()
	b.interest.begin()
	s.back = b.nodes.begin()
	var all sync.WaitGroup
	all.Go(s.take)
	all.Go(s.answer)
	err := s.introduce()
	if err == nil {
		b.session.Store(s)
		b.counters.connected.Store(true)
		b.config.Log.Info("connected to NATS", "server", s.nc.ConnectedUrlRedacted(), "cluster", b.config.Name, "node", b.name)
		all.Go(s.send)
		all.Go(s.subscribe)
		all.Go(s.attend)
		<-s.ctx.Done()
	}
	b.counters.connected.Store(false)
	b.session.Store(nil)
	if err == nil {
		err = cmp.Or(s.nc.LastError(), io.EOF)
	}
	s.cancel()
	s.nc.Close()
	<-s.gone
	all.Wait()
	return err
}

// introduce subscribes to everything, and tells the others once NATS knows of it.
func (s *session) introduce() error {
	for _, subject := range []string{s.bus.subjects.node, s.bus.subjects.presence} {
		if _, err := s.nc.ChanSubscribe(subject, s.control); err != nil {
			return err
		}
	}
	if err := s.subscribeMissing(); err != nil {
		return err
	}
	if err := s.nc.FlushTimeout(slowestStart); err != nil {
		return fmt.Errorf("subscribing: %w", err)
	}
	return s.announce(announcement{Hello: true})
}

// subscribe follows the interest of this node.
func (s *session) subscribe() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-s.ctx.Done():
			return
		case <-s.bus.interest.wake:
			err = s.subscribeMissing()
		case <-ticker.C:
			for _, sub := range s.bus.interest.sweep() {
				err = errors.Join(err, sub.Unsubscribe())
			}
		}
		// A new connection subscribes to everything.
		if err != nil && s.ctx.Err() == nil {
			s.bus.config.Log.Warn("NATS takes no subscription", "err", err)
			s.cancel()
			return
		}
	}
}

func (s *session) subscribeMissing() error {
	some := make([]string, 0, 256)
	for {
		some = s.bus.interest.next(some[:0])
		if len(some) == 0 {
			return nil
		}
		for _, topic := range some {
			sub, err := s.nc.ChanSubscribe(s.bus.subjects.of(topic), s.topics)
			if err != nil {
				return err
			}
			s.bus.interest.made(topic, sub)
		}
	}
}

// take looks at what comes, and never waits for those who get it.
func (s *session) take() {
	for {
		select {
		case m := <-s.topics:
			select {
			case s.taken <- struct{}{}:
			default:
			}
			s.bus.receive(m.Data, s.bus.subjects.topicOf(m.Subject))
		case <-s.ctx.Done():
			return
		}
	}
}

// receive takes a message on the subject of topic. One goroutine at a time calls it.
func (b *Bus) receive(data []byte, topic string) {
	m, err := parse(data, topic)
	switch {
	case err != nil:
		b.lose(LossMalformed)
		return
	case int64(len(m.payload)) > b.config.MaxMessage:
		b.lose(LossTooLarge)
		return
	case m.from == b.id:
		return
	case m.seq != 0 && !b.seen.fresh(m.from, m.seq):
		b.counters.repeats.Add(1)
		return
	}
	b.counters.in.Add(1)
	b.counters.bytesIn.Add(uint64(len(m.payload)))
	it := item{topics: m.topics, frame: frame.Prepare(m.opcode, m.payload), key: m.key}
	b.in.mu.Lock()
	ok := b.in.push(it, func(*item) { b.lose(LossHubBusy) })
	b.in.mu.Unlock()
	if !ok {
		b.lose(LossTooLarge)
	}
}

// send hands over what is published, in order.
func (s *session) send() {
	if !s.awaitOthers() {
		return
	}
	b := s.bus
	some := make([]item, 0, 64)
	var buffer []byte
	for {
		clear(some)
		some = b.out.batch(some[:0])
		if len(some) == 0 {
			select {
			case <-b.out.wake:
				continue
			case <-s.ctx.Done():
				return
			}
		}
		for i := range some {
			it := &some[i]
			if it.frame == nil {
				continue
			}
			buffer = appendMessage(buffer[:0], b.id, it)
			switch err := s.publish(it.topics, buffer); {
			case errors.Is(err, nats.ErrMaxPayload):
				b.lose(LossTooLarge)
				b.out.forget(it.seq)
			case err != nil:
				s.cancel() // it comes again in the next connection
				return
			case it.seq > b.sent:
				b.sent = it.seq
				b.counters.out.Add(1)
				b.counters.bytesOut.Add(uint64(len(it.frame.Payload())))
			}
		}
		if b.out.handed(some[len(some)-1].seq + 1) {
			b.hasten()
		}
		if cap(buffer) > 64<<10 {
			buffer = nil
		}
	}
}

// awaitOthers waits until those are back who would miss something; false when the connection ends.
func (s *session) awaitOthers() bool {
	timer := time.NewTimer(awaitOthers)
	defer timer.Stop()
	select {
	case <-s.back:
	case <-timer.C:
	case <-s.bus.closing:
	case <-s.ctx.Done():
		return false
	}
	return true
}

func (s *session) publish(topics []string, data []byte) error {
	for _, topic := range topics {
		if err := s.nc.Publish(s.bus.subjects.of(topic), data); err != nil {
			return err
		}
	}
	return nil
}

// attend asks NATS whether it has what was sent, and tells the others that this node is there. To those who
// have just come it does so within confirmEvery and once for all: after a restart of NATS everybody has.
func (s *session) attend() {
	ticker := time.NewTicker(confirmEvery)
	defer ticker.Stop()
	announced := time.Now()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.bus.hurry:
			s.confirm()
			continue
		case <-ticker.C:
			s.confirm()
		}
		due := time.Since(announced) >= announceEvery
		if due {
			announced = time.Now()
			s.bus.out.release()
		}
		if s.greeted.Swap(false) || due {
			_ = s.announce(announcement{}) // fails when the connection has ended
		}
	}
}

// confirm asks NATS whether it has what was sent.
func (s *session) confirm() {
	if mark, ok := s.bus.out.unconfirmed(); ok && s.nc.FlushTimeout(slowestNATS) == nil {
		s.bus.out.confirm(mark)
	}
}

// fault is told by nats.go of what does not end the connection. Of that, announcements and requests may
// have been more than there was room for; of messages for topics no more are read than there is.
func (s *session) fault(_ *nats.Conn, _ *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) && !s.complained.Swap(true) { // there may be one for each topic
		s.bus.config.Log.Warn("NATS does not let this node do everything", "err", err,
			"remedy", "the user of this node needs the right to publish and to subscribe to roost."+s.bus.config.Name+".>")
	}
}
