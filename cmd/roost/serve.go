//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"roost/conn/server"
	"roost/poller/socket"
)

// serve is the command of that name: it serves until a signal comes.
func serve(line *commandLine, stderr io.Writer, signals <-chan os.Signal) int {
	f := &line.Serve
	level := new(slog.LevelVar)
	level.Set(f.level())
	direct := f.logger(stderr, level)
	out := newLogWriter(stderr, func(lost uint64) {
		direct.Warn("log lines were lost: whoever reads the log is too slow", "lines", lost)
	})
	defer out.flush(time.Second) // behind everything else that is deferred
	log := f.logger(out, level)
	descriptors := raiseLimit(log, f)
	setHeadroom(len(f.TLSCert) > 0)
	f.limitMemory()

	systemd := newSystemd(log)
	config := f.config()
	config.Log = log
	config.Inherited = inherited(log, f.Listen)
	var srv *server.Server
	config.HTTP = f.pages(func() int { return srv.Clients() })
	desk := newDesk(&f.adminFlags, &config)
	srv, err := server.New(config)
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		log.Error("cannot start", "err", err, "remedy", remedy(err))
		return exitFailure
	}
	defer systemd.attend(srv)()
	defer desk.close() // the last to go: it tells of the stop as well
	if err := desk.open(&f.adminFlags, !f.asked || f.ReusePort, log, srv); err != nil {
		_ = srv.Close()
		log.Error("cannot start the admin listener", "admin", f.Admin, "err", err, "remedy", adminRemedy(err))
		return exitFailure
	}
	settings := srv.Settings()
	log.Info("roost is listening", "url", url(srv, f.Path), "admin", desk.url(), "handler", string(f.Handler), "auth", cmp.Or(f.way(), "off"),
		"reactors", settings.Reactors, "workers", settings.Workers, "descriptors", descriptors)
	systemd.ready()

	reloader := newReloader(line, log, level, srv, desk, systemd)
	defer reloader.close()
	for {
		select {
		case err := <-srv.Failed():
			_ = srv.Close()
			log.Error("cannot go on", "err", err)
			return exitFailure
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				reloader.ask()
				continue
			}
			return stop(log, f, srv, systemd, sig, signals)
		}
	}
}

// limitMemory gives Go's memory limit 90 % of --max-memory, unless the environment says
// otherwise: the heap is collected before a client has to go. The defaults of
// --write-queue-total and --read-buffer-total follow.
func (f *flags) limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(math.MaxInt64) // none, also after a reload
	if f.MaxMemory.n > 0 {
		limit = f.MaxMemory.n / 10 * 9
	}
	debug.SetMemoryLimit(limit)
}

// stop shuts down gracefully, or at once on a second signal.
func stop(log *slog.Logger, f *flags, srv *server.Server, systemd *systemd, sig os.Signal, signals <-chan os.Signal) int {
	limit := f.ShutdownTimeout.n
	ctx, cancel := context.WithCancel(context.Background())
	if limit > 0 {
		limit += f.DrainDelay.n + f.DrainTime.n
		ctx, cancel = context.WithTimeout(context.Background(), limit)
	}
	defer cancel()
	log.Info("stopping; a second signal ends at once", "signal", sig.String(), "clients", srv.Clients(), "timeout", limit)
	systemd.stopping(limit)
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(ctx) }()
	var err error
wait:
	for {
		select {
		case err = <-done:
			break wait
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				log.Warn("SIGHUP is ignored: the server is stopping")
				continue
			}
			cancel()
			err = <-done
			break wait
		}
	}
	ended := []any{}
	for reason, n := range srv.Ended() {
		ended = append(ended, slog.Uint64(reason.String(), n))
	}
	if err != nil {
		log.Warn("stopped before every client had answered; the rest were cut off", "err", err, slog.Group("ended", ended...))
		return exitFailure
	}
	log.Info("stopped", slog.Group("ended", ended...))
	return exitOK
}

// reserved descriptors are kept for everything that is not a client: standard
// streams, listeners, two per reactor, files that are being served.
const reserved = 64

// raiseLimit raises the descriptor limit as far as it goes and says what to do
// when max-conns does not fit in it.
func raiseLimit(log *slog.Logger, f *flags) uint64 {
	n, err := socket.RaiseDescriptorLimit()
	if err != nil {
		log.Warn("cannot raise the descriptor limit", "err", err)
	}
	if need := uint64(f.MaxConns.n) + reserved; f.MaxConns.n > 0 && need > n {
		log.Warn("--max-conns does not fit in the descriptor limit",
			"max-conns", f.MaxConns.n, "limit", n,
			"remedy", fmt.Sprintf("start with 'ulimit -n %d' or LimitNOFILE=%d in the systemd unit; "+
				"if that is refused, first 'sysctl fs.nr_open=%d' as root", need, need, need))
	}
	return n
}

// url is where a person on this machine opens the page.
func url(srv *server.Server, path string) string {
	var urls []string
	secure := srv.Secure()
	for i, addr := range srv.Addrs() {
		_, tcp := addr.(*net.TCPAddr)
		switch {
		case tcp && secure[i]:
			urls = append(urls, "https"+strings.TrimPrefix(pageAt(addr.String()), "http"))
		case tcp:
			urls = append(urls, pageAt(addr.String()))
		case secure[i]:
			urls = append(urls, "tls:"+addr.Network()+":"+addr.String())
		default:
			urls = append(urls, addr.Network()+":"+addr.String())
		}
	}
	return strings.Join(urls, " ") + " (WebSocket at " + path + ")"
}

// pageAt is the page of a listener. The address of all hosts is this one's, too.
func pageAt(addr string) string {
	host, port, _ := net.SplitHostPort(addr) // a listener's always has both
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

func remedy(err error) string {
	keys, certs, kernel := new(server.AuthKeysError), new(server.TLSError), new(server.KernelTLSError)
	switch {
	case errors.As(err, &kernel):
		return "load the module (as root, on the node of a container: modprobe tls) and start again, or do without it: --ktls auto"
	case errors.As(err, &certs):
		return "have --tls-cert and --tls-key name files in PEM that this user may read, the key of each certificate in the same place as it, and --tls-client-ca likewise"
	case errors.As(err, &keys):
		return "have --auth-jwt-key name a file that this user may read, or a URL that answers, with a JSON Web Key Set, public keys in PEM, or in a file a secret"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another process listens there: stop it, choose another address with --listen, or start both with --reuseport to share a port"
	case errors.Is(err, syscall.EACCES):
		return "ports below 1024 need privileges: choose another with --listen, or grant CAP_NET_BIND_SERVICE; a unix socket needs a folder that this user may write to"
	case errors.Is(err, syscall.ENOTSOCK):
		return "remove the file if nobody needs it, or choose another path with --listen"
	case errors.Is(err, server.ErrNotInherited):
		return "start it by a systemd socket unit, whose FileDescriptorName= is the NAME in systemd:NAME, or give an address with --listen"
	case errors.Is(err, socket.ErrNotListening):
		return "the socket unit must have ListenStream= and Accept=no, and nothing else"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address: choose another with --listen"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "no descriptors left: raise the limit with ulimit -n"
	}
	return "see the error; roost -h explains the flags"
}
