package cluster

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
)

// Config is everything a bus can be told. Except for URLs the zero value of each field is
// its default.
type Config struct {
	// URLs are servers of one NATS, as nats://host:4222 or tls://host:4222, with
	// user:password@ or token@ in front of the host where NATS wants that. One that can
	// be reached is enough. Required.
	URLs []string
	// Name tells fleets apart that share a NATS: letters, digits, '-' and '_', up to
	// [MaxName] bytes. "" means "roost".
	Name string
	// DefaultTopic is the topic of messages that name none. "" means "all".
	DefaultTopic string
	// Creds is a file with a user's JWT and seed, as nsc writes it. "" means none.
	Creds string
	// CA is a file with the certificates (PEM) that sign those of NATS. "" means the
	// system's. Cert and Key are files (PEM) with what this node shows to NATS. "" means none.
	// With any of them the connection must be TLS, whatever the URL says.
	CA, Cert, Key string
	// QueueBytes bounds what waits to be sent or is kept to be sent again, and as much
	// what waits to be delivered here. 0 means 16 MiB.
	QueueBytes int
	// MaxMessage is the longest payload that is taken from other nodes, in bytes. 0 means
	// 1 MiB, a negative number no limit but that of NATS.
	MaxMessage int64
	// Log receives what an operator wants to know. Nil means slog.Default.
	Log *slog.Logger
}

// MaxName is the length of the longest name of a fleet, in bytes.
const MaxName = 64

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "roost")
	c.DefaultTopic = cmp.Or(c.DefaultTopic, "all")
	c.QueueBytes = cmp.Or(c.QueueBytes, 16<<20)
	switch {
	case c.MaxMessage == 0:
		c.MaxMessage = 1 << 20
	case c.MaxMessage < 0:
		c.MaxMessage = math.MaxInt64
	}
	c.Log = cmp.Or(c.Log, slog.Default())
	return c
}

// Validate reports every fault at once. It reads the files. No error contains a password.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("cluster: "+format, args...))
	}
	if len(c.URLs) == 0 {
		bad("no server; give one, as in nats://127.0.0.1:4222")
	}
	for i, u := range c.URLs {
		if !validURL(u) {
			// The text may hold a password in a place where nobody looks for it.
			bad("server %d of %d is no address; want nats://host:port or tls://host:port, with user:password@ before the host if NATS wants it", i+1, len(c.URLs))
		}
	}
	if !validName(c.Name) {
		bad("name %q: want up to %d letters, digits, '-' and '_'", c.Name, MaxName)
	}
	if c.DefaultTopic != "" && !validTopic(c.DefaultTopic) {
		bad("default topic %q is none", c.DefaultTopic)
	}
	if c.QueueBytes < 0 || c.QueueBytes > 0 && c.QueueBytes < 64<<10 {
		bad("queue of %d bytes: want 64KiB or more, or 0 for 16MiB", c.QueueBytes)
	}
	if err := checkFiles(c); err != nil {
		bad("%w", err)
	}
	return errors.Join(errs...)
}

func validURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "nats" || u.Scheme == "tls") && u.Hostname() != "" && (u.Path == "" || u.Path == "/")
}

func validName(name string) bool {
	for _, c := range []byte(name) {
		if !alphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return len(name) <= MaxName
}

// checkFiles finds at the start what would make every attempt to connect fail.
func checkFiles(c Config) error {
	var errs []error
	if c.Creds != "" {
		text, err := os.ReadFile(c.Creds)
		if err == nil {
			if _, err = nkeys.ParseDecoratedJWT(text); err == nil {
				_, err = nkeys.ParseDecoratedNKey(text)
			}
			if err != nil {
				err = fmt.Errorf("%s holds no credentials of NATS; want a file as 'nsc generate creds' writes it", c.Creds)
			}
		}
		errs = append(errs, err)
	}
	if c.CA != "" {
		text, err := os.ReadFile(c.CA)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
			err = fmt.Errorf("%s holds no certificate in PEM", c.CA)
		}
		errs = append(errs, err)
	}
	switch {
	case (c.Cert == "") != (c.Key == ""):
		errs = append(errs, errors.New("a certificate and its key go together: give both files, or none"))
	case c.Cert != "":
		_, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// servers are the URLs as they may be shown to anybody.
func (c Config) servers() string {
	var all []string
	for _, text := range c.URLs {
		u, err := url.Parse(text)
		if err != nil {
			continue // refused by Validate
		}
		u.User = nil
		all = append(all, u.String())
	}
	return strings.Join(all, ",")
}

// tls reports whether the connection is to be TLS.
func (c *Config) tls() bool {
	return c.CA != "" || c.Cert != "" || slices.ContainsFunc(c.URLs, func(u string) bool { return strings.HasPrefix(u, "tls://") })
}
