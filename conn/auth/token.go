package auth

import (
	"net/url"
	"slices"
	"strings"

	"roost/conn/handshake"
)

// Token finds the token of a request: in the header Authorization (RFC 6750 section 2.1),
// else in the query as token=, else in the cookie of that name. The first place that has one
// decides; two different ones in the same place are not valid.
func Token(r *handshake.Request, cookie string) (string, error) {
	for _, place := range []func(*handshake.Request, string) ([]string, bool){bearers, queried, cookies} {
		found, ok := place(r, cookie)
		found = slices.DeleteFunc(found, func(t string) bool { return t == "" })
		switch {
		case !ok:
			return "", invalid("it is malformed")
		case len(found) == 0:
			continue
		}
		for _, other := range found[1:] {
			if other != found[0] {
				return "", invalid("there are two different ones")
			}
		}
		return found[0], nil
	}
	return "", ErrNoToken
}

// bearers are the tokens in Authorization. Other schemes are for somebody else.
func bearers(r *handshake.Request, _ string) (found []string, ok bool) {
	for name, value := range r.Headers() {
		if !strings.EqualFold(string(name), "Authorization") {
			continue
		}
		if scheme, token, _ := strings.Cut(string(value), " "); strings.EqualFold(scheme, "Bearer") {
			found = append(found, strings.TrimSpace(token))
		}
	}
	return found, true
}

func queried(r *handshake.Request, _ string) (found []string, ok bool) {
	for pair := range strings.SplitSeq(string(r.Query), "&") {
		if value, is := strings.CutPrefix(pair, "token="); is {
			value, err := url.QueryUnescape(value)
			if err != nil {
				return nil, false
			}
			found = append(found, value)
		}
	}
	return found, true
}

func cookies(r *handshake.Request, cookie string) (found []string, ok bool) {
	if cookie == NoCookie {
		return nil, true
	}
	for name, value := range r.Headers() {
		if !strings.EqualFold(string(name), "Cookie") {
			continue
		}
		for pair := range strings.SplitSeq(string(value), ";") {
			if name, token, _ := strings.Cut(strings.TrimSpace(pair), "="); name == cookie {
				found = append(found, strings.Trim(token, `"`)) // RFC 6265 section 4.1.1
			}
		}
	}
	return found, true
}
