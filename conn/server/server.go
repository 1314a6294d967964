//go:build linux

package server

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"roost/conn"
	"roost/conn/cluster"
	"roost/conn/hub"
	"roost/poller"
)

// ErrStarted is returned by Start when the server has been started or stopped before.
var ErrStarted = errors.New("server has been started or stopped already")

// ErrStopping is returned by Shutdown when another Shutdown or Close came first.
var ErrStopping = errors.New("server is stopping or has stopped already")

// Server is a running server. Its methods may be called from any goroutine.
type Server struct {
	// Static after New.
	config Config
	group  *conn.Group
	hub    *hub.Hub     // nil before Start
	bus    *cluster.Bus // nil when there is no fleet
	doors  *handoff
	clock  func() time.Duration // since some moment

	topicRefusals topicRefusals

	// Static after Start.
	poller *poller.Poller

	running   atomic.Bool                // hub and poller are there
	listeners atomic.Pointer[[]listener] // grows during Start

	mu      sync.Mutex
	started bool // guarded by mu
	stopped bool // guarded by mu

	limits    atomic.Pointer[Limits] // in force; written under mu
	admission admission
	clients   clients
	access    access
	memory    *memory
	keyring   keyring
	kernelTLS kernelTLS
	shakes    *handshakes
	sweeper   sweeper
	pulse     pulse
	shedder   *shedder
	summary   *summary
	draining  atomic.Bool   // Shutdown or Close has begun
	sealed    atomic.Bool   // no connection and no message is taken any more
	empty     chan struct{} // signalled when the last connection has gone while draining
	failed    chan error    // the first error that ends the server by itself
	http      *http.Server
	httpDone  chan struct{} // closed when net/http has ended
}

// New checks config and prepares a server. It opens nothing; a Server that is
// never started needs no Close.
func New(config Config) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	s := &Server{
		config:   config,
		doors:    newHandoff(config.MaxHTTPConns),
		empty:    make(chan struct{}, 1),
		failed:   make(chan error, 1),
		httpDone: make(chan struct{}),
	}
	s.topicRefusals = newTopicRefusals(config.MaxTopics)
	var err error
	if s.bus, err = s.newBus(); err != nil {
		return nil, err
	}
	began := time.Now()
	s.clock = func() time.Duration { return time.Since(began) }
	s.limits.Store(&config.Limits)
	s.clients.trusted, _ = parseProxies(config.TrustedProxies) // checked by Validate
	s.access.on, s.access.now = config.Auth.On(), time.Now
	if s.access.on {
		s.access.expiry = expiryEvery
	}
	s.shedder = &shedder{server: s, wake: make(chan struct{}, 1)}
	s.summary = newSummary(s)
	s.shakes = newHandshakes(config.TLS.Handshakes)
	s.sweeper.slowest = time.Second
	s.listeners.Store(new([]listener))
	s.http = s.newHTTP()
	compressor, _ := config.compressor() // checked by Validate
	s.group = conn.NewGroup(conn.Config{
		Handler:          &paced{Handler: s.control(config.Handler), server: s},
		Policy:           config.policy(),
		Log:              config.Log,
		Blocking:         config.Blocking,
		MaxMessage:       orNone(config.MaxMessage),
		Compress:         compressor,
		ReadBudget:       config.ReadBuffer,
		WriteQueueFrames: orNone(config.WriteQueueFrames),
		WriteQueueBytes:  orNone(config.WriteQueueBytes),
		WriteQueueTotal:  orNone(config.WriteQueueTotal),
		ReadBufferTotal:  orNone(config.ReadBufferTotal),
		Exceeded:         s.shedder.alarm,
		Slow:             s.summary.slowConsumer,
		SlowConsumer:     config.SlowConsumer,
		HandshakeTimeout: orNone(config.HandshakeTimeout),
		PingInterval:     orNone(config.PingInterval),
		IdleTimeout:      orNone(config.IdleTimeout),
		CloseTimeout:     orNone(config.CloseTimeout),
		ShutdownCode:     config.DrainCode,
		Admit:            s.admit,
		Prelude:          s.prelude,
		Seat:             s.seat,
		Client:           s.clients.of,
		Secure:           s.keyring.session,
		Shake:            s.shakes.shake,
		KernelTLS:        config.TLS.Kernel,
		HandOff:          s.handOff,
		Gone:             s.gone,
	})
	s.shedder.bounds, s.shedder.silent = s.shedder.all(s.group), s.shedder.silentOnes(s.group)
	s.memory = newMemory(s)
	return s, nil
}

// Start opens the listeners and returns; connections are served from then on.
// After an error nothing is left open.
func (s *Server) Start() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.stopped {
		return ErrStarted
	}
	defer func() {
		if err != nil {
			s.stopped = true
			s.release()
		}
	}()
	s.started = true
	c := s.config
	if err := s.access.open(c.Auth); err != nil {
		return err
	}
	if err := s.openTLS(); err != nil {
		return err
	}
	var mayPublish func(*conn.Conn, string) bool
	if s.access.on {
		mayPublish = func(c *conn.Conn, topic string) bool { return s.Grant(c).MayPublish(topic) }
	}
	config := hub.Config{
		MayPublish:   mayPublish,
		Open:         s.Clients,
		DefaultTopic: c.DefaultTopic,
		Shards:       c.Shards,
		QueueFrames:  c.BroadcastQueueFrames,
		QueueBytes:   c.BroadcastQueueBytes,
		// While a queue becomes full, each worker and reactor may be inside OnMessage.
		SlackFrames: c.Workers + c.Reactors,
		SlackBytes:  slack(c.Workers+c.Reactors, c.MaxMessage),
		// One batch must not fill a connection's queue by itself.
		BatchFrames: half(orNone(c.WriteQueueFrames), 256),
		BatchBytes:  half(orNone(c.WriteQueueBytes), 64<<10),
		OnFanOut:    c.OnFanOut,
		Compress:    s.group.Compress,
	}
	s.relay(&config)
	if s.hub, err = hub.New(config); err != nil {
		return err
	}
	if s.bus != nil {
		s.bus.Start(local{s.hub})
	}
	if h, ok := c.Handler.(Attacher); ok {
		h.Attach(s.hub)
	}
	s.poller, err = poller.New(poller.Config{
		Reactors:   c.Reactors,
		Workers:    c.Workers,
		Buffer:     c.ReadBuffer + maxHead,
		Blocking:   c.Blocking,
		NewScratch: conn.NewScratch,
		OnWait:     c.OnWait,
		OnError:    s.fail,
	})
	if err != nil {
		return err
	}
	s.running.Store(true)
	go s.serveHTTP()
	s.sweeper.start(s)
	return s.openListeners()
}

// slack is room for one message of each of n handlers; without a limit on
// messages there is none on their sum.
func slack(n int, maxMessage int64) int {
	const header = 10 // the longest of a server's frame, RFC 6455 section 5.2
	if maxMessage <= 0 || maxMessage > math.MaxInt/2/int64(n)-header {
		return math.MaxInt / 2
	}
	return n * (int(maxMessage) + header)
}

// half of limit, at most most; limit 0 means none.
func half(limit, most int) int {
	if limit == 0 {
		return most
	}
	return max(1, min(limit/2, most))
}

// Hub is the set of connections, to broadcast to. Nil before Start.
func (s *Server) Hub() *hub.Hub { return s.hub }

// Failed delivers an error when the server cannot go on: a reactor has ended.
// The program should call Close and exit.
func (s *Server) Failed() <-chan error { return s.failed }

func (s *Server) fail(err error) {
	s.config.Log.Error("a reactor has ended; its connections are lost", "err", err)
	select {
	case s.failed <- fmt.Errorf("reactor: %w", err):
	default:
	}
}

// Settings is the configuration in force, with defaults filled in. Handler, HTTP,
// Log, Inherited, Cluster and functions are left out.
func (s *Server) Settings() Config {
	c := s.config
	c.Limits = *s.limits.Load()
	c.Handler, c.HTTP, c.Log, c.Inherited, c.OnFanOut, c.OnWait, c.Auth.Log = nil, nil, nil, nil, nil, nil, nil
	c.Cluster = nil // it may hold a password
	return c
}
