//go:build linux

package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/poller/socket"
)

// Listener is the admin listener of a server. Its methods may be called from any
// goroutine.
type Listener struct {
	// Static after New.
	config   Config
	registry *prometheus.Registry
	process  *process
	history  *history
	http     *http.Server
	csrf     *http.CrossOriginProtection
	places   chan struct{}      // holds one for each connection, and for the one that is to be accepted
	looking  chan struct{}      // holds one while somebody walks over the connections
	end      context.CancelFunc // of the context of every request

	publishing *publishing

	token        atomic.Pointer[string]
	publishToken atomic.Pointer[string]

	mu     sync.Mutex
	addr   net.Addr // guarded by mu; nil before Start
	closed bool     // guarded by mu
	done   sync.WaitGroup
}

// ErrStarted is returned by Start when it was called before, or after Close.
var ErrStarted = errors.New("admin listener has been started or closed already")

const (
	// mostConns is how many clients may be connected at once. More wait to be accepted.
	mostConns = 64
	// slowestHead is how long the head of a request may take to arrive.
	slowestHead = 5 * time.Second
	// slowestAnswer is how long an answer may take to be made and sent, where a
	// handler does not say otherwise.
	slowestAnswer = 30 * time.Second
	// idleConn is short: a kept-alive connection takes one of mostConns.
	idleConn = 10 * time.Second
	maxHead  = 16 << 10
)

// New checks config and prepares a Listener. It opens nothing; one that is never
// started needs no Close. What the process holds when New is called counts as what
// it holds without connections.
func New(config Config) (*Listener, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	l := &Listener{
		config:  config.withDefaults(),
		csrf:    http.NewCrossOriginProtection(),
		places:  make(chan struct{}, mostConns),
		looking: make(chan struct{}, 1),

		publishing: newPublishing(config.PublishWindow),
	}
	l.token.Store(&config.Token)
	l.publishToken.Store(&config.PublishToken)
	l.process = newProcess()
	l.history = newHistory(l)
	l.registry = l.newRegistry()
	ctx, end := context.WithCancel(context.Background())
	l.end = end
	l.http = &http.Server{
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: slowestHead,
		ReadTimeout:       slowestAnswer,
		IdleTimeout:       idleConn,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(l.config.Log.Handler(), slog.LevelDebug),
	}
	l.http.Handler = l.guard(l.routes())
	return l, nil
}

// Start opens the listener and returns; requests are answered from then on. After an
// error nothing is left open.
func (l *Listener) Start() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addr != nil || l.closed {
		return ErrStarted
	}
	nl, err := listen(l.config.Addr)
	if err != nil {
		return err
	}
	l.addr = nl.Addr()
	l.history.start(time.Now())
	l.done.Go(l.history.run)
	l.done.Go(func() {
		if err := l.http.Serve(&limited{Listener: nl, free: l.places}); !errors.Is(err, http.ErrServerClosed) {
			l.config.Log.Error("the admin listener has ended", "err", err)
		}
	})
	return nil
}

// listen opens addr. A unix socket is for its owner.
func listen(addr string) (net.Listener, error) {
	path, isUnix, err := socket.UnixPath(addr)
	switch {
	case err != nil:
		return nil, err
	case !isUnix:
		return net.Listen("tcp", addr)
	}
	fd, file, err := socket.ListenUnix(path, 0o600)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	l, err := net.FileListener(f) // on a descriptor of its own
	if err != nil {
		_ = file.Remove()
		return nil, err
	}
	return &unixListener{l, file}, nil
}

// unixListener removes its file when it is closed.
type unixListener struct {
	net.Listener
	file *socket.UnixFile
}

func (l *unixListener) Close() error {
	_ = l.file.Remove() // what cannot be removed is replaced at the next start
	return l.Listener.Close()
}

// Addr is where the listener listens, as a client would name it; "" before Start.
func (l *Listener) Addr() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addr == nil {
		return ""
	}
	if l.addr.Network() == "unix" {
		return unixPrefix + l.addr.String()
	}
	return l.addr.String()
}

// SetToken replaces the token from the next request on. It is refused like one that
// is given to New, and the old one stays then.
func (l *Listener) SetToken(token string) error {
	if err := CheckToken(l.config.Addr, token); err != nil {
		return err
	}
	l.token.Store(&token)
	return nil
}

// SetPublishToken replaces the publish token from the next request on, as SetToken does.
func (l *Listener) SetPublishToken(token string) error {
	if err := CheckPublishToken(token); err != nil {
		return err
	}
	l.publishToken.Store(&token)
	return nil
}

// Close ends the listener, its dashboards and what is being answered, for which it
// waits a moment. It may be called twice, and without Start.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.history.close()
	l.end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := l.http.Shutdown(ctx); err != nil {
		_ = l.http.Close()
	}
	l.done.Wait()
	return nil
}

// limited accepts so many connections at once as fit into free.
type limited struct {
	net.Listener
	free chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	// Whoever closes the listener also closes the connections, so that a place comes free.
	l.free <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &place{Conn: c, leave: sync.OnceFunc(func() { <-l.free })}, nil
}

// place is a connection that takes one of the places.
type place struct {
	net.Conn
	leave func()
}

func (p *place) Close() error {
	defer p.leave()
	return p.Conn.Close()
}

// text answers with a line or more of plain text.
func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body+"\n") // fails when the client has left
}
