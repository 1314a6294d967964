//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"roost/conn/admin"
	"roost/conn/server"
)

// adminFlags are those of the admin listener.
type adminFlags struct {
	Admin      string `group:"Admin" default:"127.0.0.1:8001" placeholder:"HOST:PORT" help:"Address of the admin listener: dashboard, metrics, health, publishing, the slowest connections, profiles. Never a public one: those that other machines can reach need --admin-token. 'unix:/path' is a unix socket for its owner, an empty one switches it off. When the default is taken, or with --reuseport any, roost serves without it until it comes free."`
	AdminToken string `group:"Admin" secret:"" reload:"" placeholder:"TOKEN" help:"What clients of the admin listener have to bring, as 'Authorization: Bearer TOKEN' or as the password that a browser asks for; not for /healthz and /readyz. 16 characters or more. Better set in the environment: everybody on a machine can read command lines."`

	PublishToken  string   `group:"Admin" secret:"" reload:"" placeholder:"TOKEN" help:"What a client may bring in place of the admin token to publish (POST /publish), and for nothing else: for back ends. Without it, publishing asks for the admin token if there is one. 16 characters or more. Better set in the environment."`
	PublishMax    size     `group:"Admin" default:"1MiB" placeholder:"BYTES" help:"Longest message that may be published through the admin listener, and longest line of a batch; longer ones are answered with 413. 0 means no limit but --broadcast-queue-bytes, which holds in any case."`
	PublishWindow duration `group:"Admin" default:"5m" placeholder:"TIME" help:"For how long an Idempotency-Key is remembered, so that a message sent again is not published again. The last 65,536 keys are. 0 means that keys are ignored."`

	asked bool // for an address by name
}

func (f *adminFlags) faults() (errs []error) {
	if f.Admin == "" {
		return nil
	}
	if err := admin.CheckAddr(f.Admin); err != nil {
		return []error{fmt.Errorf("--admin: %w", err)}
	}
	if err := admin.CheckToken(f.Admin, f.AdminToken); err != nil {
		errs = append(errs, fmt.Errorf("--admin-token: %w", err))
	}
	if err := admin.CheckPublishToken(f.PublishToken); err != nil {
		errs = append(errs, fmt.Errorf("--publish-token: %w", err))
	}
	if err := admin.CheckPublishWindow(f.PublishWindow.n); err != nil {
		errs = append(errs, fmt.Errorf("--publish-window: %w", err))
	}
	return errs
}

// desk is the admin listener of a serving process; it may be off, and its zero value is.
type desk struct {
	*admin.Listener
	metrics *admin.Metrics // nil when it is off
	cancel  context.CancelFunc
	waiting sync.WaitGroup
}

// newDesk has config feed the metrics, before the server is made.
func newDesk(f *adminFlags, config *server.Config) *desk {
	if f.Admin == "" {
		return &desk{}
	}
	d := &desk{metrics: admin.NewMetrics()}
	config.OnFanOut, config.OnWait = d.metrics.FanOut, d.metrics.Wait
	return d
}

// adminAgain is how long to wait before the default address is tried again.
const adminAgain = time.Second

// open starts the listener. With patient, an address that is taken is no fault: it may be
// that of the process which this one is about to replace, and is tried again until it
// comes free.
func (d *desk) open(f *adminFlags, patient bool, log *slog.Logger, srv *server.Server) (err error) {
	if d.metrics == nil {
		return nil
	}
	d.Listener, err = admin.New(admin.Config{
		Server: srv, Metrics: d.metrics, Addr: f.Admin, Token: f.AdminToken,
		PublishToken: f.PublishToken, PublishMax: f.PublishMax.n, PublishWindow: f.PublishWindow.n,
		Version: thisBuild().Version, Log: log,
	})
	if err != nil {
		return err
	}
	if err = d.Start(); err == nil || !patient || !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	log.Warn("serving without the admin listener until its address comes free", "admin", f.Admin, "err", err,
		"remedy", "none, when the server that has it is about to stop; else choose another address with --admin, or '' for none")
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	d.waiting.Go(func() {
		ticker := time.NewTicker(adminAgain)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if d.Start() == nil {
					log.Info("the admin listener is open", "admin", d.url())
					return
				}
			}
		}
	})
	return nil
}

// setTokens replaces the tokens of a listener that is not off.
func (d *desk) setTokens(f *adminFlags) error {
	if d.Listener == nil {
		return nil
	}
	return errors.Join(d.SetToken(f.AdminToken), d.SetPublishToken(f.PublishToken))
}

// url is where a person on this machine opens the dashboard.
func (d *desk) url() string {
	switch {
	case d.Listener == nil:
		return "off"
	case d.Addr() == "":
		return "waiting"
	case strings.HasPrefix(d.Addr(), "unix:"):
		return d.Addr()
	}
	return pageAt(d.Addr())
}

func (d *desk) close() {
	if d.cancel != nil {
		d.cancel()
		d.waiting.Wait()
	}
	if d.Listener != nil {
		_ = d.Close()
	}
}

// adminRemedy is what helps when the admin listener cannot start.
func adminRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another process listens there: stop it, choose another address with --admin, or '' for none"
	case errors.Is(err, syscall.ENOTSOCK):
		return "remove the file if nobody needs it, or choose another path with --admin"
	case errors.Is(err, syscall.EACCES):
		return "the address needs privileges: choose another with --admin"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address: choose another with --admin"
	}
	return "choose another address with --admin, or '' for none"
}
