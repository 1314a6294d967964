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
)

const (
	// slowestNATS is how long NATS may take for each step of a connection, and for what
	// is written to it.
	slowestNATS = 2 * time.Second
	// slowestStart is how long NATS may take for all subscriptions.
	slowestStart = 30 * time.Second
	// pingEvery finds a NATS that vanished, when two pings in a row are not answered.
	pingEvery = 5 * time.Second
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
func (c *Config) remedy(err error) string {
	for _, refusal := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, refusal) {
			return "NATS refuses this node: correct user:password@ in --cluster, or the file of --cluster-creds"
		}
	}
	switch {
	case errors.Is(err, nats.ErrNoServers):
		return "start nats-server, or correct the addresses in --cluster"
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted):
		return "NATS and this node do not agree on TLS: see tls:// in --cluster, and --cluster-tls-ca"
	case c.tls(): // what is wrong there has many errors
		return "see --cluster-tls-ca, --cluster-tls-cert and --cluster-tls-key, the name in the certificate of NATS, and its log"
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
		b.config.Log.Info("connected to NATS", "server", s.nc.ConnectedAddr(), "cluster", b.config.Name, "node", b.name)
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

// fault is told by nats.go of what does not end the connection. Of that, announcements and requests may
// have been more than there was room for; of messages for topics no more are read than there is.
func (s *session) fault(_ *nats.Conn, _ *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) && !s.complained.Swap(true) { // there may be one for each topic
		s.bus.config.Log.Warn("NATS does not let this node do everything", "err", err,
			"remedy", "the user of this node needs the right to publish and to subscribe to roost."+s.bus.config.Name+".>")
	}
}
