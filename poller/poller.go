//go:build linux

package poller

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a Poller is built. Only OnError has no default.
type Config struct {
	// Reactors is the number of epoll instances. 0 means one for every four
	// processors, and at least one.
	Reactors int
	// Workers is the number of goroutines that run handlers beside the reactors. 0
	// means one per processor.
	Workers int
	// Buffer is the size in bytes of each worker's Buffer. 0 means none.
	Buffer int
	// Help is how many ready registrations may wait for a worker before reactors take
	// some of them. 0 means 64; a negative number means that reactors run no handlers
	// at all.
	Help int
	// Blocking says that handlers may wait. Reactors then run none, and workers take
	// one registration at a time.
	Blocking bool
	// NewScratch makes the Scratch of one worker; it is called once per worker and
	// reactor, before any handler runs. Nil means no scratch.
	NewScratch func() any
	// OnWait is told how long a registration has waited for a worker, of one at a time.
	// It is called under the lock of the queue, so it must be quick and not call the
	// poller. Nil means that nobody wants to know.
	OnWait func(time.Duration)
	// OnError is told once when a reactor's wait loop has ended by an error: its
	// connections will see no further event, and the program should end. It is
	// called from the reactor's goroutine, so it must not call Close. Required.
	OnError func(error)
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var errs []error
	if c.Reactors < 0 || c.Reactors > 1024 {
		errs = append(errs, fmt.Errorf("reactors: %d; want 1 to 1024, or 0 for one per four processors", c.Reactors))
	}
	if c.Workers < 0 || c.Workers > 1<<16 {
		errs = append(errs, fmt.Errorf("workers: %d; want 1 to 65536, or 0 for one per processor", c.Workers))
	}
	if c.Buffer < 0 {
		errs = append(errs, fmt.Errorf("buffer: %d bytes; want 0 or more", c.Buffer))
	}
	if c.OnError == nil {
		errs = append(errs, errors.New("OnError is nil; a reactor must be able to report its end"))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Reactors == 0 {
		c.Reactors = max(1, runtime.GOMAXPROCS(0)/4)
	}
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Help == 0 {
		c.Help = 64
	}
	if c.Blocking {
		c.Help = -1
	}
	return c
}

// Poller watches descriptors and runs their handlers. All methods may be called
// from any goroutine.
type Poller struct {
	// Static after New.
	config   Config
	reactors []*reactor

	pool pool
	turn atomic.Uint32 // picks the next reactor

	closeOnce sync.Once
	closed    atomic.Bool
	closeErr  error
}

// New starts the reactors and workers of a poller. Close ends them.
func New(config Config) (*Poller, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	p := &Poller{config: config.withDefaults()}
	var once sync.Once // netpoll may report the end of a loop twice
	onError := func(err error) { once.Do(func() { config.OnError(err) }) }
	p.pool.help = p.config.Help
	p.pool.onWait = p.config.OnWait
	p.pool.most = int64(batchMost * p.config.Workers)
	p.pool.batch = batchMost
	if p.config.Blocking {
		p.pool.batch = 1
	}
	p.pool.wake = sync.NewCond(&p.pool.mu)
	for range p.config.Reactors {
		re := &reactor{poller: p, between: pause, worker: p.newWorker()}
		ep, err := openEpoll(onError)
		if err != nil {
			_ = p.Close()
			return nil, err
		}
		re.epoll = ep
		p.reactors = append(p.reactors, re)
	}
	for range p.config.Workers {
		p.pool.done.Add(1)
		go p.pool.work(p.newWorker())
	}
	return p, nil
}

func (p *Poller) newWorker() *Worker {
	w := &Worker{Buffer: make([]byte, p.config.Buffer)}
	if p.config.NewScratch != nil {
		w.Scratch = p.config.NewScratch()
	}
	return w
}

// Register gives fd, a non-blocking stream socket, to r and watches it from now
// on; h.Ready may run at once. r must be new. After an error h was not and will not
// be called, r cannot be used again, and fd is still the caller's.
func (p *Poller) Register(r *Registration, fd int, h Handler) error {
	return p.register(r, fd, h, p.reactors[p.turn.Add(1)%uint32(len(p.reactors))])
}

func (p *Poller) register(r *Registration, fd int, h Handler, re *reactor) error {
	if p.closed.Load() {
		return ErrClosed
	}
	r.handler = h
	r.reactor = re
	r.fd = int32(fd)
	// Held until it is certain that the descriptor is in epoll: netpoll publishes the
	// callback before, and a stale event for this number must not run the handler.
	r.state.Store(uint32(scheduled))
	if err := r.reactor.add(r, fd); err != nil {
		r.state.Store(uint32(gone))
		r.fd = -1
		return fmt.Errorf("register descriptor: %w", err)
	}
	if !r.release() {
		p.pool.push(r)
	}
	return nil
}

// Reactors tells how many epoll instances there are.
func (p *Poller) Reactors() int { return len(p.reactors) }

// Workers tells how many goroutines run handlers.
func (p *Poller) Workers() int { return p.config.Workers }

// Close ends the reactors, then the workers, after they have run what was
// queued. Registrations that are still open keep their descriptors: close them
// first, listeners included. Close must not be called from a handler or OnError.
func (p *Poller) Close() error {
	p.closeOnce.Do(func() {
		p.closed.Store(true)
		var errs []error
		for _, re := range p.reactors {
			errs = append(errs, re.epoll.Close())
		}
		p.pool.close()
		p.closeErr = errors.Join(errs...)
	})
	return p.closeErr
}
