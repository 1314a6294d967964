//go:build linux

// Package peer is what the comparison servers have in common: the command line,
// the limit of descriptors, TLS with net/http, the end by signal, and limits that
// must be the same for a fair comparison. It knows nothing of WebSocket.
//
// None of the servers sends pings or sets idle timeouts: a benchmark's clients
// are silent for as long as it wants. That spares every peer a timer per
// connection. Peers that vanish are left to TCP keep-alive, which net.Listen
// turns on.
package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// MaxMessageBytes is the longest message a server accepts.
	MaxMessageBytes = 1 << 20
	// QueueFrames is the length of a connection's outbound queue where the server
	// has to choose one: 50 publishers that keep 8 messages each in flight have
	// 400 under way. Publishers may still run ahead of the others, so a full queue
	// alone does not make a client slow; see WriteTimeout.
	QueueFrames = 512
	// HandshakeTimeout is the time from accept to the end of the request's head.
	HandshakeTimeout = 10 * time.Second
	// WriteTimeout is how long a write, or a full queue, may wait for a client that
	// does not read.
	WriteTimeout = 10 * time.Second
)

// Config is what the command line says.
type Config struct {
	Address string // to listen on, port 0 for any
	// Of servers that have both; see StartSecure.
	CertFile, KeyFile string // of a certificate and its key, in PEM; empty: no TLS
	Compress          bool   // agree to permessage-deflate with clients that offer it
}

// TLS tells whether clients speak TLS.
func (c Config) TLS() bool { return c.CertFile != "" }

// Start reads the command line, raises the limit of descriptors and returns the
// address to listen on. The context ends with SIGTERM or SIGINT. It ends the
// process when the command line is wrong.
func Start() (ctx context.Context, address string) {
	var config Config
	ctx = config.start()
	return ctx, config.Address
}

// StartSecure is Start for a server that has TLS and permessage-deflate.
func StartSecure() (context.Context, Config) {
	var config Config
	flag.StringVar(&config.CertFile, "tls-cert", "", "serve TLS with the certificate in this `file`; with -tls-key")
	flag.StringVar(&config.KeyFile, "tls-key", "", "`file` with the key of -tls-cert")
	flag.BoolVar(&config.Compress, "compress", false, "agree to permessage-deflate")
	ctx := config.start()
	if (config.CertFile == "") != (config.KeyFile == "") {
		Fail(errors.New("-tls-cert and -tls-key: want both or none"))
	}
	return ctx, config
}

func (c *Config) start() context.Context {
	flag.StringVar(&c.Address, "listen", "127.0.0.1:8100", "`address` to listen on, port 0 for any")
	flag.Parse()
	if flag.NArg() > 0 {
		Fail(fmt.Errorf("%q is no flag; -h lists them", flag.Arg(0)))
	}
	if err := raiseLimit(); err != nil {
		Fail(fmt.Errorf("raise the limit of open files: %w", err))
	}
	ctx, _ := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	return ctx
}

// raiseLimit raises RLIMIT_NOFILE's soft limit to the hard one, see getrlimit(2).
func raiseLimit() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

// Ready tells whoever started the server that address takes connections.
func Ready(address string) { fmt.Fprintln(os.Stderr, "listening on", address) }

// Fail reports err and ends the process with status 1.
func Fail(err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
	os.Exit(1)
}

// Serve runs a net/http server with h until ctx ends. Connections that h has
// taken over are not its business: they end with the process. TLS is as
// http.Server.ServeTLS sets it up: 1.2 and 1.3, session tickets, and a handshake
// in the goroutine of its connection. HTTP/2 is not for clients that ask for
// HTTP/1.1, or for nothing, in ALPN.
func Serve(ctx context.Context, config Config, h http.Handler) {
	l, err := net.Listen("tcp", config.Address)
	if err != nil {
		Fail(err)
	}
	server := http.Server{Handler: h, ReadHeaderTimeout: HandshakeTimeout}
	serve := server.Serve
	if config.TLS() {
		cert, err := tls.LoadX509KeyPair(config.CertFile, config.KeyFile)
		if err != nil {
			Fail(err)
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // the process ends
	defer stop()
	Ready(l.Addr().String())
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		Fail(err)
	}
}
