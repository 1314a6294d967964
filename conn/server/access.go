//go:build linux

package server

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"roost/conn"
	"roost/conn/auth"
	"roost/conn/frame"
	"roost/conn/handshake"
)

// StatusTokenExpired closes a connection whose token, or what the back end has allowed,
// has expired. It is from the range for private use (RFC 6455 section 7.4.2) and
// resembles 401.
const StatusTokenExpired frame.StatusCode = 4401

// access knows what each client may do, where somebody is asked about that: by a token or
// a back end. Without Config.Auth it is empty.
type access struct {
	// Static after Start.
	on       bool
	verifier *auth.Verifier // nil without keys
	backend  *auth.Backend  // nil without a URL
	now      func() time.Time
	expiry   time.Duration // a deadline for the sweeper, see sweepsPerDeadline; 0 when off

	// Each entry is written by whoever runs its connection, up to the end of that.
	grants    table[atomic.Pointer[auth.Grant]]
	questions table[*auth.Question] // in progress, or just answered
	away      notice                // the back end gives no answers
}

// expiryEvery makes the sweeper close connections within 5 s of their expiry.
const expiryEvery = sweepsPerDeadline * 5 * time.Second

func (a *access) open(config auth.Config) (err error) {
	if config.Keys != "" {
		if a.verifier, err = auth.Open(config); err != nil {
			return &AuthKeysError{err}
		}
	}
	if config.URL != "" {
		a.backend = auth.NewBackend(config)
	}
	return nil
}

// close comes after the last connection has gone.
func (a *access) close() {
	if a.verifier != nil {
		a.verifier.Close()
	}
	if a.backend != nil {
		a.backend.Close()
	}
}

func (a *access) waiting() int64 {
	if a.backend == nil {
		return 0
	}
	return int64(a.backend.Waiting())
}

// AuthKeysError is returned by Start when the keys of tokens cannot be had.
type AuthKeysError struct{ err error }

func (e *AuthKeysError) Error() string { return "the keys of tokens: " + e.err.Error() }

// Unwrap is the cause.
func (e *AuthKeysError) Unwrap() error { return e.err }

// ReloadKeys has the keys of tokens and the certificates read again, if there are any, and
// does not wait for that; the log tells what came of it.
func (s *Server) ReloadKeys() {
	if !s.running.Load() {
		return
	}
	if s.access.verifier != nil {
		s.access.verifier.Reload()
	}
	if s.keyring.asked != nil {
		s.keyring.asked.Ring()
	}
}

// Grant is what the client of c may do, nil when nobody is asked about clients: then it may
// do everything. It is [auth.Nothing] before OnOpen and when c has ended, which it has in OnClose.
func (s *Server) Grant(c *conn.Conn) *auth.Grant {
	if !s.access.on {
		return nil
	}
	if e := s.access.grants.get(c.Slot()); e != nil {
		// In this order: unless c has ended behind it, what was loaded is not another's.
		if g := e.Load(); g != nil && c.State() < conn.StateHandedOff {
			return g
		}
	}
	return auth.Nothing
}

// Answers to those who may not come in. They say no more than the client knows.
var (
	tokenMissing = conn.NewRefusal(http.StatusUnauthorized, conn.ReasonUnauthorized,
		"a token is needed, as 'Authorization: Bearer TOKEN' or ?token=TOKEN.")
	tokenExpired  = conn.NewRefusal(http.StatusUnauthorized, conn.ReasonUnauthorized, "the token has expired; get a new one.")
	tokenInvalid  = conn.NewRefusal(http.StatusUnauthorized, conn.ReasonUnauthorized, "the token is not valid.")
	notLetIn      = conn.NewRefusal(http.StatusUnauthorized, conn.ReasonUnauthorized, "who is asking? Log in first.")
	forbidden     = conn.NewRefusal(http.StatusForbidden, conn.ReasonUnauthorized, "you may not connect here.")
	topicRefused  = conn.NewRefusal(http.StatusForbidden, conn.ReasonUnauthorized, "you may not subscribe to this topic; ask for others, as in ?topic=NAME.")
	nobodyToAsk   = conn.NewRefusal(http.StatusServiceUnavailable, conn.ReasonAuthUnavailable, "nobody can tell now whether you may connect; try again later.")
	tooManyToAsk  = conn.NewRefusal(http.StatusServiceUnavailable, conn.ReasonAuthUnavailable, "too many clients are connecting; try again later.")
	refusedByRule = map[int]*conn.Refusal{http.StatusUnauthorized: notLetIn, http.StatusForbidden: forbidden}
)

// authorize finds out what the client of c may do, and whether it may be in the topics, or
// in the default topic if it asks for none. The refusal is conn.Later while that
// is being asked.
func (s *Server) authorize(c *conn.Conn, r *handshake.Request, topics []string) *conn.Refusal {
	a := &s.access
	var grant *auth.Grant
	var refusal *conn.Refusal
	switch {
	case a.verifier != nil:
		grant, refusal = s.byToken(c, r)
	case a.backend != nil:
		grant, refusal = s.byBackend(c, r)
	default:
		return nil
	}
	if refusal != nil {
		return refusal
	}
	if len(topics) == 0 {
		topics = []string{s.config.DefaultTopic}
	}
	for _, topic := range topics {
		if !grant.MaySubscribe(topic) {
			return topicRefused
		}
	}
	a.grants.at(c.Slot()).Store(grant)
	return nil
}

func (s *Server) byToken(c *conn.Conn, r *handshake.Request) (*auth.Grant, *conn.Refusal) {
	token, err := auth.Token(r, s.config.Auth.Cookie)
	var grant *auth.Grant
	if err == nil {
		grant, err = s.access.verifier.Verify(token, s.access.now())
	}
	if err == nil {
		return grant, nil
	}
	s.config.Log.Debug("handshake refused", "why", err, "peer", conn.Address(s.Client(c)))
	switch {
	case errors.Is(err, auth.ErrNoToken):
		return nil, tokenMissing
	case errors.Is(err, auth.ErrExpired):
		return nil, tokenExpired
	}
	return nil, tokenInvalid
}

// byBackend asks when it is called first, and knows the answer when it is called again.
func (s *Server) byBackend(c *conn.Conn, r *handshake.Request) (*auth.Grant, *conn.Refusal) {
	a := &s.access
	e := a.questions.at(c.Slot())
	c.Hold() // before anybody can release it
	if *e == nil {
		*e = a.backend.Ask(r, s.Client(c).Addr(), c.Release)
		if *e == nil {
			c.Release()
			return nil, tooManyToAsk
		}
		return nil, conn.Later
	}
	answer := (*e).Answer()
	if answer == nil {
		return nil, conn.Later // somebody else has released it
	}
	c.Release()
	*e = nil
	if answer.Err != nil {
		if a.away.begin(a.now()) {
			s.config.Log.Warn("clients are refused: the auth back end gives no good answer", "err", answer.Err,
				"remedy", "see whether it works at --auth-url, and in --auth-timeout")
		}
		return nil, nobodyToAsk
	}
	if a.away.end() {
		s.config.Log.Info("the auth back end answers again")
	}
	if answer.Grant == nil {
		return nil, refusedByRule[answer.Status]
	}
	return answer.Grant, nil
}

// forget is called when c has ended, while its slot is still its own.
func (a *access) forget(c *conn.Conn) {
	if e := a.grants.get(c.Slot()); e != nil {
		e.Store(nil)
	}
	if e := a.questions.get(c.Slot()); e != nil && *e != nil {
		(*e).Cancel()
		*e = nil
	}
}

// sweep closes c when its grant is over.
func (a *access) sweep(c *conn.Conn, now int64) {
	e := a.grants.get(c.Slot())
	if e == nil || c.State() != conn.StateOpen {
		return
	}
	// When c ends meanwhile, the grant may be another's, but then End does nothing.
	if e.Load().Expired(now) {
		c.End(StatusTokenExpired, "token expired", conn.ReasonTokenExpired)
	}
}
