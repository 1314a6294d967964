//go:build linux

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"roost/conn/conntest"
	"roost/conn/conntest/browser"
)

const authSecret = "a secret that is 32 bytes long or longer"

// authToken is good for a minute.
func authToken(t *testing.T, secret string, claims map[string]any) string {
	t.Helper()
	claims["exp"] = time.Now().Unix() + 60
	return conntest.Token(t, secret, claims)
}

func status(t *testing.T, addr, target string, headers ...string) int {
	t.Helper()
	c := conntest.Connect(t, addr)
	defer c.Close()
	c.Raw([]byte(conntest.Request(addr, target, headers...)))
	return c.Response().StatusCode
}

// TestTokens has every flag about tokens, and the keys change on SIGHUP.
func TestTokens(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	rewrite(t, keys, authSecret)
	c := execute(t, "--auth-jwt-key", keys, "--auth-audience", "roost", "--auth-issuer", "me", "--auth-cookie", "session", "--auth-leeway", "10m", "--log-level", "debug")
	claims := func() map[string]any { return map[string]any{"aud": "roost", "iss": "me", "pub": true} }
	good := authToken(t, authSecret, claims())
	other, another := claims(), claims()
	other["aud"], another["iss"] = "x", "x"
	early := claims()
	early["nbf"] = time.Now().Unix() + 300
	for target, want := range map[string]int{
		"/ws": 401, "/ws?token=" + good: 101, "/ws?token=" + good + "x": 401, "/ws?topic=news&token=" + good: 403,
		"/ws?token=" + authToken(t, authSecret, other): 401, "/ws?token=" + authToken(t, authSecret, another): 401,
		"/ws?token=" + authToken(t, authSecret, early): 101,
	} {
		if got := status(t, c.addr, target); got != want {
			t.Errorf("%s: %d, want %d", target, got, want)
		}
	}
	if status(t, c.addr, "/ws", "Cookie: session="+good) != 101 || status(t, c.addr, "/ws", "Cookie: token="+good) != 401 {
		t.Error("the cookie has another name")
	}
	const next = "the next secret, also of 32 bytes or more"
	rewrite(t, keys, next)
	log := c.hangUp(t)
	for deadline := time.Now().Add(conntest.Patience); status(t, c.addr, "/ws?token="+authToken(t, next, claims())) != 101; {
		if time.Now().After(deadline) {
			t.Fatal("the new key is not taken")
		}
	}
	if got := status(t, c.addr, "/ws?token="+good); got != 401 {
		t.Errorf("the old key: %d", got)
	}
	log += c.first + c.end(t)
	if !strings.Contains(log, "reading the keys of tokens") || !strings.Contains(log, "were read again") {
		t.Errorf("silent about it:\n%s", log)
	}
	for _, secret := range []string{authSecret, next, good, strings.Split(good, ".")[1], strings.Split(good, ".")[2]} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log:\n%s", secret, log)
		}
	}
}

// TestAuthURL has every flag about the back end.
func TestAuthURL(t *testing.T) {
	release := make(chan struct{})
	came := make(chan http.Header, 10)
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		came <- r.Header
		if r.Header.Get("X-App") == "slow" {
			<-release
		}
	}))
	defer web.Close()
	defer close(release)
	c := execute(t, "--auth-url", web.URL, "--auth-forward", "X-App", "--auth-timeout", "200ms", "--auth-concurrency", "1", "--auth-queue", "1")
	if got := status(t, c.addr, "/ws?a=b", "X-App: 7", "Cookie: no"); got != 101 {
		t.Errorf("answered %d", got)
	}
	if h := <-came; h.Get("X-App") != "7" || h.Get("Cookie") != "" || h.Get("X-Original-URI") != "/ws?a=b" || h.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("asked with %v", h)
	}
	ask := func() *conntest.Client {
		client := conntest.Connect(t, c.addr)
		client.Raw([]byte(conntest.Request(c.addr, "/ws", "X-App: slow")))
		return client
	}
	all := []*conntest.Client{ask()}
	<-came
	all = append(all, ask(), ask(), ask())
	for _, client := range all { // timed out, timed out while waiting, and two who had to go
		if res := client.Response(); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("answered %s", res.Status)
		}
		_ = client.Close()
	}
	if log := c.end(t); !strings.Contains(log, "auth back end gives no good answer") || !strings.Contains(log, "auth-unavailable=4") {
		t.Errorf("silent about it:\n%s", log)
	}
}

func TestAuthFaults(t *testing.T) {
	for want, args := range map[string][]string{
		"choose tokens":                      {"--auth-jwt-key=a", "--auth-url=http://a"},
		"give the key, too":                  {"--auth-audience=a"},
		"auth URL: ":                         {"--auth-url=a"},
		"user and password":                  {"--auth-jwt-key=https://a:hush@b"},
		"auth forward: ":                     {"--auth-url=http://a", "--auth-forward=Host"},
		"auth cookie: ":                      {"--auth-cookie=a;b"},
		"auth refresh: 1s is":                {"--auth-jwt-refresh=1s"},
		"auth leeway: 11m0s is":              {"--auth-jwt-key=a", "--auth-leeway=11m"},
		"auth timeout: 1ms is":               {"--auth-timeout=1ms"},
		"auth concurrency: 5000":             {"--auth-concurrency=5000"},
		"auth queue: 2000000":                {"--auth-queue=2000000"},
		`--auth-timeout: "x" is not a time`:  {"--auth-timeout=x"},
		`--auth-queue: "-1" is not a count`:  {"--auth-queue=-1"},
		`--auth-leeway: "1" is not a time`:   {"--auth-leeway=1"},
		`--auth-jwt-refresh: "" is not`:      {"--auth-jwt-refresh="},
		`--auth-concurrency: "" is not a co`: {"--auth-concurrency="},
	} {
		_, err := parse(args, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	for _, args := range [][]string{
		{"--auth-jwt-refresh=0", "--auth-jwt-key=http://a/b", "--auth-cookie="}, {"--auth-url=http://a/b", "--auth-timeout=0", "--auth-concurrency=0", "--auth-queue=0"},
	} {
		line, err := parse(args, io.Discard)
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		if c := line.Serve.authFlags.config().WithDefaults(); c.Timeout != 3*time.Second || c.Concurrency != 64 || c.Queue != 1024 || c.Refresh != 10*time.Minute && c.Refresh >= 0 || c.Cookie != map[bool]string{true: "token", false: "-"}[c.URL != ""] {
			t.Errorf("%v: %+v", args, c)
		}
	}
}

// Keys that cannot be had at the start are a fault, and no secret is told.
func TestStartWithoutKeys(t *testing.T) {
	short := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(short, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	for keys, want := range map[string]string{
		"/nonexistent/keys": "no such file", short: "a secret of 4 bytes", "http://127.0.0.1:1/keys?hush": "refused",
	} {
		var stderr strings.Builder
		code := run([]string{"--listen=127.0.0.1:0", "--admin=", "--auth-jwt-key", keys}, io.Discard, &stderr, nil)
		if text := stderr.String(); code != exitFailure || !strings.Contains(text, want) || !strings.Contains(text, "have --auth-jwt-key name") || strings.Contains(text, "hush") {
			t.Errorf("%s: %d, %s", keys, code, text)
		}
	}
}

// TestREADMEToken runs the commands of its section "Who may connect", and connects with
// the token that they print.
func TestREADMEToken(t *testing.T) {
	for _, program := range []string{"bash", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### Who may connect\n")
	_, block, _ := strings.Cut(section, "\n```sh\n")
	block, _, ok := strings.Cut(block, "\n```\n")
	if !ok || !strings.Contains(block, "hmac") {
		t.Fatal("README.md has lost its commands for a token")
	}
	cmd := exec.Command("bash", "-euc", "set -o pipefail\n"+block)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	_, query, ok := strings.Cut(strings.TrimSpace(string(out)), "http://localhost:8000/")
	if !ok {
		t.Fatalf("it printed %q", out)
	}
	c := execute(t, "--auth-jwt-key", filepath.Join(cmd.Dir, "secret"))
	for query, want := range map[string]int{
		query: http.StatusSwitchingProtocols, query + "&topic=sports": http.StatusForbidden, query + "x": http.StatusUnauthorized, "": http.StatusUnauthorized,
	} {
		if got := status(t, c.addr, "/ws"+query); got != want {
			t.Errorf("/ws%s: %d, want %d", query, got, want)
		}
	}
	c.end(t)
}

// TestTopicAndTokenInBrowser: the page takes over both from its own URL.
func TestTopicAndTokenInBrowser(t *testing.T) {
	chromium := browser.Start(t)
	keys := filepath.Join(t.TempDir(), "keys")
	rewrite(t, keys, authSecret)
	c := execute(t, "--auth-jwt-key", keys)
	token := authToken(t, authSecret, map[string]any{"topics": []string{"news/*", "sports"}, "pub": []string{"*"}})
	open := func(name, query string) tab {
		return tab{browser.Open(t, chromium, name, "http://"+c.addr+"/"+query, observe)}
	}
	ann, bob := open("ann", "?topic=news/de&token="+token), open("bob", "?topic=news/de&topic=sports&token="+token)
	other, stranger := open("other", "?topic=sports&token="+token), open("stranger", "?topic=sports")
	ann.Wait(connected)
	bob.Wait(connected)
	other.Wait(connected)
	stranger.Wait(`document.body.dataset.state === "reconnecting" && document.getElementById("reason").textContent.includes("wants a token")`)
	ann.Wait(text("#fate", "What you send reaches everyone in news/de."))
	bob.Wait(text("#fate", "What you send reaches everyone in news/de and sports."))
	ann.typeIn("to news")
	ann.pressEnter()
	bob.Wait(lastMessage("to news"))
	bob.typeIn("to both")
	bob.pressEnter()
	ann.Wait(lastMessage("to both"))
	other.Wait(lastMessage("to both") + ` && document.querySelectorAll(".message").length === 1`)
	for _, who := range []tab{ann, bob, other} {
		who.Wait(`faults.length === 0`)
		who.Do(chromedp.Navigate("about:blank"))
	}
	stranger.Do(chromedp.Navigate("about:blank"))
	c.end(t)
}
