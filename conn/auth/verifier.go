package auth

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"roost/conn/keyfile"
)

// Verifier judges tokens by keys that it keeps up to date. Its methods may be called
// from any goroutine.
type Verifier struct {
	config Config // static
	client *http.Client

	keys   atomic.Pointer[keySet]
	asked  chan struct{} // Reload was called; has room for one
	wanted chan struct{} // a key was not known; has room for one

	cancel context.CancelFunc
	done   sync.WaitGroup

	source source // owned by keep
}

// Open reads the keys of a Config that is valid, and goes on to watch them until Close.
// It is an error when they cannot be had.
func Open(config Config) (*Verifier, error) {
	v := &Verifier{
		config: config.WithDefaults(), client: newClient(1),
		asked: make(chan struct{}, 1), wanted: make(chan struct{}, 1),
		source: source{file: keyfile.File{Path: config.Keys}},
	}
	if u, err := url.Parse(config.Keys); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		v.config.Log.Warn("the keys of tokens come over plain http: whoever is on the way can let everybody in", "from", config.Keys)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := v.load(ctx); err != nil {
		cancel()
		return nil, err
	}
	v.cancel = cancel
	v.done.Go(func() { v.keep(ctx) })
	return v, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Close ends the watching. Verify goes on with the keys there are.
func (v *Verifier) Close() {
	v.cancel()
	v.done.Wait()
	v.client.CloseIdleConnections()
}

// Reload has the keys read again. It does not wait for that; when they cannot be had, the
// old ones stay and the log says so.
func (v *Verifier) Reload() { ring(v.asked) }

// Keys is how many there are.
func (v *Verifier) Keys() int { return v.keys.Load().size }

// ring does not wait: a bell that rings already will do.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// Verify makes a Grant of a token that is good at that time. It waits for nothing. The
// error wraps ErrExpired or ErrInvalid, and is fit for a log.
func (v *Verifier) Verify(token string, now time.Time) (*Grant, error) {
	if len(token) > mostToken {
		return nil, invalid("it is too long")
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return nil, invalid("it is malformed, or its alg is not taken")
	}
	header := signed.Signatures[0].Protected
	keys, err := v.keys.Load().choose(header.KeyID, jose.SignatureAlgorithm(header.Algorithm))
	if err != nil {
		if errors.Is(err, errNoKey) {
			ring(v.wanted)
		}
		return nil, err
	}
	for _, k := range keys {
		if claims, err := signed.Verify(k.verifies); err == nil {
			return v.config.grant(claims, now)
		}
	}
	return nil, invalid("its signature is wrong")
}
