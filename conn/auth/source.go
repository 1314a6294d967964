package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"roost/conn/keyfile"
)

// source is what is known of where the keys are from.
type source struct {
	file    keyfile.File // when the keys are from one
	sum     [sha256.Size]byte
	fetched time.Time // when a URL was asked last, in vain or not
	failing bool      // the log knows that the keys cannot be had
}

// keep looks at the keys now and then until ctx ends: at a file when it has changed, at a
// URL in intervals, and sooner when a token names a key that is not known, but never
// more often than leastBetween: anybody can make up such tokens.
func (v *Verifier) keep(ctx context.Context) {
	remote := isURL(v.config.Keys)
	var due time.Time // for the next look
	timer := time.NewTimer(0)
	defer timer.Stop()
	lookAt := func(t time.Time) {
		due = t
		timer.Reset(time.Until(due))
	}
	lookAt(time.Now().Add(v.interval()))
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-v.asked:
			asked = true
		case <-v.wanted:
			if soon := v.source.fetched.Add(v.config.leastBetween); remote && soon.Before(due) {
				lookAt(soon)
			}
			continue
		case <-timer.C:
			if !remote && !v.source.file.Changed() {
				lookAt(time.Now().Add(v.interval()))
				continue
			}
		}
		changed, err := v.load(ctx)
		if ctx.Err() != nil {
			return
		}
		v.tell(changed, asked, err)
		lookAt(time.Now().Add(v.interval()))
	}
}

// never is far enough away.
const never = 365 * 24 * time.Hour

// interval is the time until the next look.
func (v *Verifier) interval() time.Duration {
	switch {
	case !isURL(v.config.Keys):
		return v.config.watchEvery
	case v.source.failing:
		return v.config.leastBetween
	case v.config.Refresh < 0:
		return never
	}
	return v.config.Refresh
}

// tell logs a change, a fault once, and the end of a fault.
func (v *Verifier) tell(changed, asked bool, err error) {
	log := v.config.Log
	switch {
	case err != nil && (asked || !v.source.failing):
		log.Error("the keys of tokens cannot be read again: those there are stay", "from", v.config.Keys, "err", err)
	case err == nil && (changed || asked || v.source.failing):
		log.Info("the keys of tokens were read again", "from", v.config.Keys, "keys", v.Keys(), "changed", changed)
	}
	v.source.failing = err != nil
}

// load gets the keys and puts them into force; changed is whether they are others than before.
func (v *Verifier) load(ctx context.Context) (changed bool, err error) {
	read := v.read
	if isURL(v.config.Keys) {
		read = v.fetch
	}
	text, err := read(ctx)
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256(text)
	if v.keys.Load() != nil && sum == v.source.sum {
		return false, nil
	}
	keys, err := parseKeys(text, isURL(v.config.Keys))
	if err != nil {
		return false, err
	}
	if keys.unusable != nil {
		v.config.Log.Warn("some keys of tokens are left out", "from", v.config.Keys, "used", keys.size, "the-first", keys.unusable)
	}
	v.source.sum = sum
	v.keys.Store(keys)
	v.config.Log.Debug("keys of tokens", "from", v.config.Keys, "keys", keys.size, "algorithms", keys.kinds())
	return true, nil
}

func (v *Verifier) read(context.Context) ([]byte, error) { return v.source.file.Read(mostKeyBytes) }

func (v *Verifier) fetch(ctx context.Context) ([]byte, error) {
	v.source.fetched = time.Now()
	ctx, cancel := context.WithTimeout(ctx, slowestFetch)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.config.Keys, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := v.client.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	defer func() { _ = res.Body.Close() }() // all that counts has been read
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s; want 200, and no redirect", res.Status)
	}
	text, err := keyfile.ReadAtMost(res.Body, mostKeyBytes)
	return text, plain(err)
}

// plain is an error of an http.Client without the URL, whose query may hold a secret.
func plain(err error) error {
	if of := new(url.Error); errors.As(err, &of) {
		return of.Err
	}
	return err
}

// newClient has connections for so many requests at once, and follows nobody elsewhere.
func newClient(most int) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = most, most, most
	t.MaxResponseHeaderBytes = mostAnswer
	t.DisableCompression = true // what is read is what was sent, so bounds hold
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
