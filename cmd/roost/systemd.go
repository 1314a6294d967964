//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"roost/conn/server"
)

// inherited returns the sockets that a systemd socket unit has opened for this
// process (sd_listen_fds(3)), nil when there are none.
func inherited(log *slog.Logger, listen []string) []*os.File {
	const most = 1000 // a file each is made, whether it is open or not
	if n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS")); n > most {
		log.Warn("inherited sockets are ignored: LISTEN_FDS is out of range", "sockets", n, "most", most)
		return nil
	}
	files := activation.Files(true)
	wanted := slices.ContainsFunc(listen, func(addr string) bool {
		addr, _ = server.ParseAddress(addr)
		return addr == "systemd" || strings.HasPrefix(addr, "systemd:")
	})
	if len(files) > 0 && !wanted {
		log.Warn("a socket unit has opened sockets that nobody listens on", "sockets", len(files), "remedy", "start with --listen systemd")
	}
	return files
}

// statusEvery is how often 'systemctl status' gets a new line.
const statusEvery = 10 * time.Second

// systemd is the service manager, which is told how the server is (sd_notify(3)).
// When there is none its methods do nothing. They may be called from any goroutine.
type systemd struct {
	log      *slog.Logger
	socket   string        // where it listens; "" when there is none
	watchdog time.Duration // 0 means none
	complain sync.Once
}

func newSystemd(log *slog.Logger) *systemd {
	s := &systemd{log: log, socket: os.Getenv("NOTIFY_SOCKET")}
	if s.socket != "" {
		var err error
		if s.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
			log.Warn("systemd's watchdog gets no signs of life", "err", err)
		}
	}
	return s
}

// ready says that the server serves: after the start, and at the end of a reload.
func (s *systemd) ready() { s.notify(daemon.SdNotifyReady) }

// reloading says that the configuration is being read again; ready must follow.
func (s *systemd) reloading() {
	s.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// stopping says that the server is about to end, within limit unless that is 0:
// systemd then waits as long, also beyond TimeoutStopSec=.
func (s *systemd) stopping(limit time.Duration) {
	state := daemon.SdNotifyStopping
	if limit > 0 {
		const slack = 5 * time.Second
		state += fmt.Sprintf("\nEXTEND_TIMEOUT_USEC=%d", (limit + slack).Microseconds())
	}
	s.notify(state)
}

// status is a line for people.
func (s *systemd) status(line string) { s.notify("STATUS=" + line) }

// notify is daemon.SdNotify, except that a manager that does not listen cannot hold the
// server up.
func (s *systemd) notify(state string) {
	if s.socket == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err == nil {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, err = c.Write([]byte(state))
		_ = c.Close()
	}
	if err != nil {
		s.complain.Do(func() { s.log.Warn("systemd cannot be told how the server is", "err", err) })
	}
}

// attend keeps systemd informed until the returned function is called: a status now
// and then, and signs of life for the watchdog, as long as the server works.
func (s *systemd) attend(srv *server.Server) (end func()) {
	if s.socket == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		s.status(condition(srv))
		every(ctx, statusEvery, func() { s.status(condition(srv)) })
	})
	if s.watchdog > 0 {
		done.Go(func() {
			alive := func() {
				// However long it takes: if it is too long, systemd acts.
				if srv.Progress(ctx) == nil {
					s.notify(daemon.SdNotifyWatchdog)
				}
			}
			alive() // while there are descriptors for it
			every(ctx, s.watchdog/2, alive)
		})
	}
	return func() {
		cancel()
		done.Wait()
	}
}

func every(ctx context.Context, d time.Duration, do func()) {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}

// condition is the server's status in a line.
func condition(srv *server.Server) string {
	clients := int64(srv.Clients())
	line := grouped(clients) + " " + plural(clients, "client", "clients")
	if srv.Draining() {
		return "draining, " + line + " left"
	}
	return line
}
