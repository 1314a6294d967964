//go:build linux

package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"roost/conn/machine"
	"roost/conn/server"
	"roost/poller/socket"
)

// Config is everything the admin listener can be told.
type Config struct {
	// Server is what it tells of. Required. It need not have been started.
	Server *server.Server
	// Metrics are the histograms that Server feeds by its hooks. Nil leaves them empty.
	Metrics *Metrics
	// Addr is the address to listen on: "host:port", or "unix:/path" for a unix
	// socket, which only its owner may connect to. Port 0 lets the kernel choose.
	// Required. An address that other machines can reach demands a Token.
	Addr string
	// Token is what clients have to bring as "Authorization: Bearer TOKEN", or as the
	// password of HTTP Basic: browsers can do only that. At least [MinToken] characters;
	// "" means that everybody may ask who can reach Addr.
	Token string
	// PublishToken is what lets a client publish, and nothing else: Token lets it, too. At
	// least [MinToken] characters; "" leaves publishing to whoever may ask for everything.
	PublishToken string
	// PublishMax is the longest message that may be published, in bytes, and the longest line
	// of a batch. 0 means that only the bytes that may wait to be broadcast bound it
	// (server.Config.BroadcastQueueBytes), which they do in any case.
	PublishMax int64
	// PublishWindow is for how long an Idempotency-Key is remembered. 0 means that such
	// keys are ignored.
	PublishWindow time.Duration
	// Version is what roost_info and the dashboard show. "" takes the one that the Go
	// command has put into the binary.
	Version string
	// Machine is where limits and memory are read. The zero value is this one.
	Machine machine.Machine
	// Log receives what an operator has done, and the faults of the listener. Nil
	// means slog.Default.
	Log *slog.Logger
}

// MinToken is the least length of a token, in bytes: guessing a random one of that
// length takes longer than anybody lives.
const MinToken = 16

// Errors of Validate. None of them, nor any other of this package, contains a token.
var (
	ErrTokenMissing = errors.New("an address that other machines can reach needs a token")
	ErrTokenShort   = fmt.Errorf("the token is too short; want %d characters or more, as from 'openssl rand -hex 16'", MinToken)
)

// unixPrefix marks the path of a unix socket.
const unixPrefix = "unix:"

// Validate reports every fault at once, each with what would be right.
func (c Config) Validate() error {
	var errs []error
	if c.Server == nil {
		errs = append(errs, errors.New("no server"))
	}
	if err := CheckAddr(c.Addr); err != nil {
		errs = append(errs, fmt.Errorf("admin listener: %w", err))
	}
	if c.PublishMax < 0 {
		errs = append(errs, fmt.Errorf("longest message to publish: %d is out of range; want 0 or more bytes", c.PublishMax))
	}
	if err := CheckPublishWindow(c.PublishWindow); err != nil {
		errs = append(errs, fmt.Errorf("window of idempotency keys: %w", err))
	}
	return errors.Join(append(errs, CheckToken(c.Addr, c.Token), CheckPublishToken(c.PublishToken))...)
}

// CheckPublishToken says whether token will do for publishing.
func CheckPublishToken(token string) error {
	if token != "" && len(token) < MinToken {
		return ErrTokenShort
	}
	return nil
}

// CheckPublishWindow says whether an Idempotency-Key may be remembered for so long.
func CheckPublishWindow(window time.Duration) error {
	if window != 0 && (window < time.Second || window > 24*time.Hour) {
		return fmt.Errorf("%v is out of range; want 0, or 1s to 24h", window)
	}
	return nil
}

// CheckAddr says what is wrong with an address to listen on.
func CheckAddr(addr string) error {
	if _, ok, err := socket.UnixPath(addr); ok {
		return err
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%q is no address; want host:port, as in 127.0.0.1:8001, or unix:/path", addr)
	}
	return nil
}

// CheckToken says whether token will do for addr.
func CheckToken(addr, token string) error {
	switch {
	case token != "" && len(token) < MinToken:
		return ErrTokenShort
	case token == "" && !private(addr):
		return ErrTokenMissing
	}
	return nil
}

// private reports whether only this machine can reach addr. A name other than
// localhost might be anybody's.
func private(addr string) bool {
	if strings.HasPrefix(addr, unixPrefix) {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	return err == nil && loopback(host)
}

// loopback reports whether host is a name or address of this machine for itself.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

func (c Config) withDefaults() Config {
	if c.Metrics == nil {
		c.Metrics = NewMetrics()
	}
	if c.Version == "" {
		c.Version = "unknown"
		if build, ok := debug.ReadBuildInfo(); ok {
			c.Version = build.Main.Version
		}
	}
	if c.Machine.Root == nil {
		c.Machine = machine.This()
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}
