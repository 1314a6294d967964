package auth

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWhereTokensAre(t *testing.T) {
	for _, c := range []struct {
		target  string
		headers []string
		want    string
		err     error
	}{
		{"/ws", nil, "", ErrNoToken},
		{"/ws?token=", []string{"Authorization: Bearer ", "Cookie: token="}, "", ErrNoToken},
		{"/ws?token=q", []string{"Authorization: Bearer h", "Cookie: token=c"}, "h", nil},
		{"/ws?token=q", []string{"Authorization: Basic h", "Cookie: token=c"}, "q", nil},
		{"/ws?Token=q&tokens=q", []string{"Cookie: a=b; token=c;d"}, "c", nil},
		{"/ws", []string{"Cookie: a=b", `cookie: xtoken=1; token="c"`}, "c", nil},
		{"/ws", []string{"Cookie: Token=c"}, "", ErrNoToken},
		{"/ws", []string{"authorization: BEARER   h"}, "h", nil},
		{"/ws?a=b&token=%61%2e", nil, "a.", nil},
		{"/ws?token=%zz", nil, "", ErrInvalid},
		{"/ws?token=a&token=a", nil, "a", nil},
		{"/ws?token=a&token=b", nil, "", ErrInvalid},
		{"/ws?token=a", []string{"Authorization: Bearer x", "Authorization: Bearer y"}, "", ErrInvalid},
		{"/ws", []string{"Cookie: token=x; token=y"}, "", ErrInvalid},
	} {
		got, err := Token(request(t, c.target, c.headers...), "token")
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s %q: %q, %v", c.target, c.headers, got, err)
		}
	}
	if got, err := Token(request(t, "/ws", "Cookie: token=c; -=d"), NoCookie); got != "" || !errors.Is(err, ErrNoToken) {
		t.Errorf("without cookies: %q, %v", got, err)
	}
}

func TestConfigFaults(t *testing.T) {
	for want, c := range map[string]Config{
		"choose":                {Keys: "a", URL: "http://a"},
		"give the key":          {URL: "http://a", Audience: "x"},
		"give the key, too":     {Leeway: time.Second},
		"want http://":          {URL: "ftp://a"},
		"auth URL: \"a\"":       {URL: "a"},
		"auth key: \"http:///":  {Keys: "http:///a"},
		"user and password":     {Keys: "https://me:hush@a/keys"},
		"auth URL: a URL shows": {URL: "https://hush@a/"},
		"no URL":                {URL: "http://a b:hush/%"},
		"name of a cookie":      {Keys: "a", Cookie: "a b"},
		"name of a header":      {URL: "http://a", Forward: []string{"a:b"}},
		"Host is not":           {URL: "http://a", Forward: []string{"Host"}},
		"client's to say":       {URL: "http://a", Forward: []string{"x-original-uri"}},
		"32":                    {URL: "http://a", Forward: strings.Split(strings.Repeat("a", 33), "")},
		"auth timeout: 9ms":     {URL: "http://a", Timeout: 9 * time.Millisecond},
		"auth timeout: 1m0":     {URL: "http://a", Timeout: time.Minute + 1},
		"auth refresh: 29s":     {Keys: "a", Refresh: 29 * time.Second},
		"auth refresh: 24h":     {Keys: "a", Refresh: 24*time.Hour + 1},
		"auth leeway: 10m":      {Keys: "a", Leeway: 10*time.Minute + 1},
		"auth leeway: -1":       {Keys: "a", Leeway: -1},
		"concurrency: 4097":     {URL: "http://a", Concurrency: 4097},
		"concurrency: -1":       {URL: "http://a", Concurrency: -1},
		"queue: 1048577":        {URL: "http://a", Queue: 1<<20 + 1},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	for _, c := range []Config{
		{}, {Keys: "/a/b", Cookie: "token"}, {Keys: "http://a/b", Refresh: -1, Leeway: 10 * time.Minute},
		{Keys: "https://a/b?c=d", Refresh: 30 * time.Second, Audience: "a", Issuer: "b"}, {URL: "http://a", Forward: []string{"X-A"}, Timeout: 10 * time.Millisecond, Concurrency: 4096, Queue: 1 << 20},
	} {
		if err := c.Validate(); err != nil || c.On() != (c.Keys+c.URL != "") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
