package auth

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4/json"
)

// Why a token is refused. None of the errors of this package quotes a token or a claim.
var (
	// ErrNoToken is returned when a request has none.
	ErrNoToken = errors.New("no token")
	// ErrExpired is returned when it was good once.
	ErrExpired = errors.New("the token has expired")
	// ErrInvalid is returned for all other tokens, wrapped with what is wrong.
	ErrInvalid = errors.New("the token is not valid")
)

func invalid(why string) error { return fmt.Errorf("%w: %s", ErrInvalid, why) }

// claims are those of RFC 7519 section 4.1 that count here, and two of our own. The JSON
// package tells upper from lower case and refuses names that come twice.
type claims struct {
	Subject   string   `json:"sub"`
	Issuer    string   `json:"iss"`
	Audience  oneOrAll `json:"aud"`
	Expires   *seconds `json:"exp"`
	NotBefore *seconds `json:"nbf"`
	Topics    *list    `json:"topics"`
	Publish   publish  `json:"pub"`
}

// grant is what the claims of a token that is good otherwise allow.
func (c *Config) grant(text []byte, now time.Time) (*Grant, error) {
	var got claims
	if err := json.Unmarshal(text, &got); err != nil {
		return nil, invalid("its claims are malformed")
	}
	leeway, at := c.Leeway.Seconds(), float64(now.Unix())
	switch {
	case got.Expires == nil:
		return nil, invalid("it has no exp")
	case at >= math.Floor(float64(*got.Expires)+leeway):
		return nil, ErrExpired
	case got.NotBefore != nil && at < math.Ceil(float64(*got.NotBefore)-leeway):
		return nil, invalid("it is not valid yet, by its nbf")
	case c.Issuer != "" && got.Issuer != c.Issuer:
		return nil, invalid("its iss is another")
	case c.Audience != "" && !slices.Contains(got.Audience, c.Audience):
		return nil, invalid("its aud is another")
	}
	return c.allow(&got)
}

// allow makes a Grant of claims whose times have been judged.
func (c *Config) allow(got *claims) (*Grant, error) {
	topics := []string{c.DefaultTopic}
	if got.Topics != nil {
		topics = *got.Topics
	}
	switch {
	case len(got.Subject) > mostSubject:
		return nil, invalid("its sub is too long")
	case !checkPatterns(topics):
		return nil, invalid("its topics are no patterns, or too many")
	case !checkPatterns(got.Publish):
		return nil, invalid("its pub is no list of patterns, or too long")
	}
	expires := int64(0)
	if got.Expires != nil {
		expires = int64(math.Floor(float64(*got.Expires) + c.Leeway.Seconds()))
	}
	return newGrant(got.Subject, expires, topics, got.Publish), nil
}

// seconds is a NumericDate: seconds since 1970, maybe with a fraction.
type seconds float64

func (s *seconds) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || !(f >= 0 && f <= 1<<53) {
		return errors.New("no date")
	}
	*s = seconds(f)
	return nil
}

// oneOrAll is a string or a list of them (RFC 7519 section 4.1.3).
type oneOrAll []string

func (a *oneOrAll) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = oneOrAll{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

type list []string

// publish is a list of patterns, or true for all topics.
type publish []string

func (p *publish) UnmarshalJSON(b []byte) error {
	var all bool
	if json.Unmarshal(b, &all) == nil {
		*p = nil
		if all {
			*p = publish{"*"}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(p))
}
