//go:build linux

package admin_test

import (
	"encoding/base64"
	"io"
	"math/rand"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"roost/conn/admin"
	"roost/conn/server"
)

// Without a token only this machine is answered, under its own names.
func TestHostWithoutToken(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	for host, status := range map[string]int{
		"localhost": 200, "LocalHost:8001": 200, "127.0.0.1:1": 200, "127.3.4.5": 200, "[::1]:8001": 200, "[::1]": 200,
		"evil.example": 403, "evil.example:8001": 403, "localhost.evil.example": 403, "192.0.2.7:8001": 403, "0.0.0.0:8001": 403, "[::]:1": 403,
	} {
		for _, path := range []string{"/", "/metrics", "/events?", "/debug/conns", "/debug/pprof/"} {
			if path == "/events?" && status == 200 {
				continue // does not end
			}
			if res, body := r.do("GET", path, "Host", host); res.StatusCode != status {
				t.Errorf("%s of %s: status %d, want %d: %s", path, host, res.StatusCode, status, body)
			}
		}
	}
}

// A page of another site gets nothing done, with or without a token.
func TestOtherSites(t *testing.T) {
	for name, options := range map[string][]func(*admin.Config){"without token": nil, "with token": {withToken}} {
		t.Run(name, func(t *testing.T) {
			r := start(t, server.Config{Handler: server.Echo()}, options...)
			ask := func(status int, method, path string, headers ...string) {
				t.Helper()
				if res, body := r.do(method, path, append(headers, "Authorization", "Bearer "+token)...); res.StatusCode != status {
					t.Errorf("%s %s with %v: status %d, want %d: %s", method, path, headers, res.StatusCode, status, body)
				}
			}
			const closing = "/debug/conns/0-1/close"
			ask(404, "POST", closing) // no browser
			ask(404, "POST", closing, "Sec-Fetch-Site", "same-origin")
			ask(404, "POST", closing, "Origin", "http://"+r.admin.Addr())
			ask(403, "POST", closing, "Sec-Fetch-Site", "cross-site")
			ask(403, "POST", closing, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
			ask(403, "POST", closing, "Sec-Fetch-Site", "same-site")
			ask(403, "POST", closing, "Origin", "http://evil.example")
			ask(403, "POST", closing, "Origin", "null")
			ask(200, "GET", "/metrics", "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate")
			ask(403, "GET", "/debug/pprof/heap", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image")
			ask(403, "GET", "/", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe")
			ask(200, "GET", "/", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
		})
	}
}

func TestToken(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()}, withToken)
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	status := func(authorization string) int {
		t.Helper()
		var headers []string
		if authorization != "" {
			headers = []string{"Authorization", authorization}
		}
		res, body := r.do("GET", "/metrics", append(headers, "Host", "admin.example")...)
		if strings.Contains(body, token) {
			t.Error("the answer tells the token")
		}
		if res.StatusCode == http.StatusUnauthorized && !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Error("a browser is not told to ask for the token")
		}
		return res.StatusCode
	}
	for authorization, want := range map[string]int{
		"Bearer " + token: 200, "bearer " + token: 200, basic("", token): 200, basic("anybody", token): 200,
		"": 401, "Bearer": 401, "Bearer \t": 401, "Bearer " + token[:21]: 401, "Bearer " + token + "x": 401, token: 401,
		basic(token, ""): 401, basic("", token+"x"): 401, "Basic " + token: 401, "Digest " + token: 401,
	} {
		if got := status(authorization); got != want {
			t.Errorf("%q: status %d, want %d", authorization, got, want)
		}
	}

	const next = "the token after that one"
	if err := r.admin.SetToken("short"); err != admin.ErrTokenShort {
		t.Errorf("a short token: %v", err)
	}
	if got := status("Bearer " + token); got != 200 {
		t.Errorf("after a token that was refused, the old one gets %d", got)
	}
	if err := r.admin.SetToken(next); err != nil {
		t.Fatal(err)
	}
	if old, now := status("Bearer "+token), status("Bearer "+next); old != 401 || now != 200 {
		t.Errorf("the old token gets %d, the new one %d", old, now)
	}
	if err := r.admin.SetToken(""); err != nil { // a loopback address needs none
		t.Error(err)
	}
	r.want(http.StatusOK, "GET", "/metrics")
}

// Where other machines can reach it, the token cannot be taken away.
func TestTokenStaysOnPublicAddress(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()}, withToken, func(c *admin.Config) { c.Addr = "0.0.0.0:0" })
	if err := r.admin.SetToken(""); err != admin.ErrTokenMissing {
		t.Errorf("taken away: %v", err)
	}
	if res, _ := r.do("GET", "/metrics", "Authorization", "Bearer "+token); res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
}

// counting is a body that counts what is taken from it.
type counting struct {
	io.Reader
	n atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// A form behind the head is not kept, in memory or in a file.
func TestBodyIsBounded(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	const size, most = 256 << 20, 64 << 20 // what the sockets take is between
	for method, path := range map[string]string{"GET": "/debug/conns", "POST": "/debug/conns/1-1/close"} {
		form := io.MultiReader(strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\n"), rand.New(rand.NewSource(1)))
		body := &counting{Reader: io.LimitReader(form, size)}
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.admin.Addr()+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		if res, err := r.client.Do(req); err == nil { // else the connection was closed meanwhile
			_ = res.Body.Close()
		}
		if n := body.n.Load(); n > most {
			t.Errorf("%s %s: %d bytes of the body were taken", method, path, n)
		}
	}
}
