//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn/conntest"
)

// publishing runs the publish command with standard input.
func publishing(t *testing.T, stdin io.Reader, signals <-chan os.Signal, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	line, err := parse(append([]string{"publish"}, args...), &out)
	if err != nil {
		return exitUsage, out.String(), err.Error()
	}
	code = runPublish(&line.Publish, stdin, &out, &errs, signals)
	return code, out.String(), errs.String()
}

func TestPublishCommand(t *testing.T) {
	const secret = "a token for publishing"
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	socket := filepath.Join(dir, "admin")
	c := execute(t, "--admin", "unix:"+socket, "--publish-token", secret, "--publish-max", "100")
	all, news := conntest.Dial(t, c.addr, "/ws"), conntest.Dial(t, c.addr, "/ws?topic=news")
	at := "--url=unix:" + socket
	t.Setenv("ROOST_PUBLISH_TOKEN", secret)
	for _, s := range []struct {
		args   string
		stdin  string
		stdout string // an expression
		stderr string
		code   int
		to     *conntest.Client
		op     ws.OpCode
		want   string
	}{
		{"hello", "not this", `^published to all as 1: 1 subscriber\n$`, "", exitOK, all, ws.OpText, "hello"},
		{"- --topic news", "from a pipe\n", `^published to news as 2: 1 subscriber\n$`, "", exitOK, news, ws.OpText, "from a pipe\n"},
		{"--topic news,all --wait 1m", "ü", `^published to news, all as 3: 2 subscribers, 2 delivered, 0 dropped, 0 closed, 0 pending; p50 [0-9.]+ ms, p99 [0-9.]+ ms, max [0-9.]+ ms\n$`, "", exitOK, news, ws.OpText, "ü"},
		{"--topic nobody --topic none x", "", `^published to nobody, none as 4: 0 subscribers\n$`, "", exitOK, nil, 0, ""},
		{"--binary --topic news --file " + write("raw", "\xff\x00"), "", `as 5: 1 subscriber\n$`, "", exitOK, news, ws.OpBinary, "\xff\x00"},
		{"--json --topic news --key k --text x", "", `^{"topic":"news","seq":6,"subscribers":1}\n$`, "", exitOK, news, ws.OpText, "x"},
		{"--idempotency-key 1 --topic news x", "", `as 7: 1 subscriber\n$`, "", exitOK, news, ws.OpText, "x"},
		{"--idempotency-key 1 --topic news x", "", `as 7: 1 subscriber \(not again: `, "", exitOK, nil, 0, ""},
		{"--idempotency-key 1 --topic news y", "", `^$`, "roost: 422 Unprocessable Entity: this Idempotency-Key came with another message", exitFailure, nil, 0, ""},
		{"", "\xff", `^$`, "send it with --binary", exitFailure, nil, 0, ""},
		{"", strings.Repeat("x", 101), `^$`, "413 Request Entity Too Large: the message is too long: 100 bytes", exitFailure, nil, 0, ""},
		{"--topic= x", "", `^$`, "--topic: a name is empty", exitUsage, nil, 0, ""},
		{"--topic news,, x", "", `^$`, "--topic: a name is empty", exitUsage, nil, 0, ""},
		{"--topic a;b x", "", `^$`, "400 Bad Request: a topic has 1 to 128", exitFailure, nil, 0, ""},
		{"--publish-token wrong x", "", `^$`, "401 Unauthorized: the publish token is missing or wrong", exitFailure, nil, 0, ""},
		{"--publish-token wrong --topic news --token-file " + write("token", secret+"\nmore") + " x", "", `as 8: 1 subscriber\n$`, "", exitOK, news, ws.OpText, "x"},
		{"--token-file " + write("empty", "\n") + " x", "", `^$`, "the first line has no token", exitFailure, nil, 0, ""},
		{"--token-file " + dir + "/none x", "", `^$`, "--token-file: ", exitFailure, nil, 0, ""},
		{"--file " + dir + "/none", "", `^$`, "no such file", exitFailure, nil, 0, ""},
		{"--batch", `{"topic":"news","data":"1"}` + "\n" + `{"topic":"news","data":2}`, `^published 2 messages\n$`, "", exitOK, news, ws.OpText, "1"},
		{"--batch --file " + write("lines", "{\"data\":1}\nx\n{\"data\":3}\n"), "", `^published 2 messages\n$`, "roost: line 2: the line is no message", exitFailure, all, ws.OpText, "ü"},
		{"--batch --json -", `{"topic":"nobody","data":1}`, `^{"line":1,"seq":13,"subscribers":0}\n$`, "", exitOK, nil, 0, ""},
		{"--batch --publish-token wrong", "{}", `^$`, "401 Unauthorized", exitFailure, nil, 0, ""},
		{"--batch --topic a", "", `^$`, "--batch: each line has its own topic", exitUsage, nil, 0, ""},
		{"--batch x", "", `^$`, "--batch: each line has its own topic", exitUsage, nil, 0, ""},
		{"--text --binary x", "", `^$`, "can't be used together", exitUsage, nil, 0, ""},
		{"--file a x", "", `^$`, "--file: there is a message already", exitUsage, nil, 0, ""},
		{"--url nowhere x", "", `^$`, "--url: \"nowhere\" is no address", exitUsage, nil, 0, ""},
		{"--url ftp://a x", "", `^$`, "--url: want http://host:port", exitUsage, nil, 0, ""},
		{"--url http://me:mine@a x", "", `^$`, "--url: want http://host:port", exitUsage, nil, 0, ""},
		{"--url http://" + c.addr + " x", "", `^$`, "404 Not Found: 404 page not found: is this the admin listener", exitFailure, nil, 0, ""},
		{"--admin 127.0.0.1:1 x", "", `^$`, "is roost running", exitFailure, nil, 0, ""}, // as health calls it
		{"--url 127.0.0.1:1 x", "", `^$`, "is roost running", exitFailure, nil, 0, ""},
		{"--wait soon x", "", `^$`, "--wait: \"soon\" is not a time", exitUsage, nil, 0, ""},
	} {
		args := strings.Fields(s.args)
		if !strings.Contains(s.args, "--url") && !strings.Contains(s.args, "--admin") {
			args = append([]string{at}, args...)
		}
		code, stdout, stderr := publishing(t, strings.NewReader(s.stdin), nil, args...)
		if code != s.code || !regexp.MustCompile(s.stdout).MatchString(stdout) || !strings.Contains(stderr, s.stderr) || s.stderr == "" && stderr != "" {
			t.Errorf("publish %s: exit code %d, %q, %q; want %d, %s, %q", s.args, code, stdout, stderr, s.code, s.stdout, s.stderr)
		}
		if strings.Contains(stdout+stderr, secret) || strings.Contains(stderr, "mine") {
			t.Errorf("publish %s: the token is told: %q, %q", s.args, stdout, stderr)
		}
		if s.to != nil {
			s.to.Expect(s.op, s.want)
		}
	}
	_ = all.Close()
	_ = news.Close()
	if log := c.end(t); strings.Contains(log, secret) {
		t.Errorf("the token is in the log: %s", log)
	}
}

// A server that has too much to do is asked again, with the same key, when it says; but not
// for ever.
func TestPublishTriesAgain(t *testing.T) {
	var asked atomic.Int64
	keys := make(chan string, 10)
	busy := int64(2)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys <- r.Header.Get("Idempotency-Key")
		if asked.Add(1) <= busy {
			w.Header().Set("Retry-After", "0") // at once
			http.Error(w, "too much", http.StatusTooManyRequests)
			return
		}
		_, _ = io.WriteString(w, `{"topic":"a","seq":1,"subscribers":2}`)
	}))
	defer s.Close()
	for _, c := range []struct {
		retries int
		code    int
		asked   int
	}{{2, exitOK, 3}, {1, exitFailure, 2}, {0, exitFailure, 1}} {
		asked.Store(0)
		code, stdout, stderr := publishing(t, nil, nil, "--url", s.URL, "--retries", fmt.Sprint(c.retries), "x")
		if code != c.code || int(asked.Load()) != c.asked || code != exitOK && !strings.Contains(stderr, "429 Too Many Requests: too much") {
			t.Errorf("%+v: exit code %d, asked %d times: %q, %q", c, code, asked.Load(), stdout, stderr)
		}
		first := <-keys
		if (first == "") != (c.retries == 0) {
			t.Errorf("%+v: key %q", c, first)
		}
		for range c.asked - 1 {
			if key := <-keys; key != first {
				t.Errorf("%+v: the key was %q, then %q", c, first, key)
			}
		}
	}
	busy = 0
	if code, _, stderr := publishing(t, strings.NewReader(""), nil, "--url", s.URL+"/x", "--batch"); code != exitFailure || !strings.Contains(stderr, "not that of a roost") {
		t.Errorf("another program's answer: %d, %q", code, stderr)
	}
}

// A server that does not say when to come again, or nonsense, is not asked at once.
func TestRetryAfter(t *testing.T) {
	var header string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if header != "" {
			w.Header().Set("Retry-After", header)
		}
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer s.Close()
	p := &publisher{client: s.Client(), base: s.URL}
	for h, want := range map[string]time.Duration{
		"": defaultRetry, "0": 0, "7": 7 * time.Second, "31": longestRetry, "9000000000000000000": longestRetry,
		"-1": defaultRetry, "soon": defaultRetry, "Wed, 21 Oct 2015 07:28:00 GMT": defaultRetry,
	} {
		header = h
		req, err := p.request(t.Context(), "/publish", "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.do(req)
		var r *refused
		if !errors.As(err, &r) || r.after != want {
			t.Errorf("Retry-After %q: %v, %+v; want %v", h, err, r, want)
		}
	}
}

// A signal ends it, whatever it waits for.
func TestPublishIsInterrupted(t *testing.T) {
	reached := make(chan struct{}, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		if strings.Contains(r.URL.RawQuery, "busy") {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer s.Close()
	for _, args := range [][]string{{"x"}, {"--topic", "busy", "x"}, {"--batch"}, {"-"}} {
		stdin, end := io.Pipe()
		signals := make(chan os.Signal, 1)
		go func() {
			if args[0] != "-" {
				<-reached
			}
			signals <- syscall.SIGINT
		}()
		code, stdout, stderr := publishing(t, stdin, signals, append([]string{"--url", s.URL, "--timeout", "0"}, args...)...)
		if code != exitFailure || !strings.Contains(stderr, "ended by a signal: interrupt") || stdout != "" {
			t.Errorf("%v: exit code %d, %q, %q", args, code, stdout, stderr)
		}
		_ = end.Close()
	}
}

// The address and the token are in the server's config file already.
func TestPublishReadsTheConfigFile(t *testing.T) {
	line, err := parse([]string{"publish", "--config", writeConfig(t, "admin: ':8123'", "publish-token: abc", "max-conns: 5"), "x"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	base, _, err := line.Publish.target()
	if token, err2 := line.Publish.token(); err != nil || err2 != nil || base != "http://127.0.0.1:8123" || token != "abc" {
		t.Errorf("%s, %s, %v, %v", base, token, err, err2)
	}
}

// SIGHUP changes the token for publishing, and no other flag of it.
func TestPublishTokenReloads(t *testing.T) {
	const one, other = "one for publishing", "another for publishing"
	file := writeConfig(t, "publish-token: "+one)
	c := execute(t, "--config", file, "--admin", "127.0.0.1:0")
	at := "--url=" + c.adminOf(t)
	rewrite(t, file, "publish-token: "+other+"\n")
	log := c.hangUp(t)
	before, _, _ := publishing(t, nil, nil, at, "--publish-token", one, "x")
	after, _, _ := publishing(t, nil, nil, at, "--publish-token", other, "x")
	if before != exitFailure || after != exitOK || !strings.Contains(log, "publish-token") || strings.Contains(log, one) || strings.Contains(log, other) {
		t.Errorf("exit codes %d, %d; the log says %s", before, after, log)
	}
	rewrite(t, file, "publish-token: "+other+"\npublish-max: 5\n")
	c.signals <- syscall.SIGHUP
	if line := <-c.log; !strings.Contains(line, "publish-max cannot change at run time") {
		t.Errorf("the log says %s", line)
	}
	c.end(t)
	var out strings.Builder
	if code := run([]string{"--publish-token", "short", "--publish-window", "1ms", "--publish-max", "x"}, io.Discard, &out, nil); code != exitUsage ||
		!strings.Contains(out.String(), "--publish-token: the token is too short") || !strings.Contains(out.String(), "--publish-window: 1ms is out of range") || !strings.Contains(out.String(), "--publish-max: \"x\" is not a size") {
		t.Errorf("exit code %d: %s", code, out.String())
	}
}

// commandEnv makes the test binary the command roost.
const commandEnv = "ROOST_TEST_IS_COMMAND"

// TestREADMEPublishes runs the commands of its section "Publish from the back end".
func TestREADMEPublishes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash:", err)
	}
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n### Publish from the back end\n")
	section, _, ok2 := strings.Cut(section, "\n### ")
	_, block, ok3 := strings.Cut(section, "\n```sh\n")
	block, _, ok4 := strings.Cut(block, "\n```\n")
	if !ok || !ok2 || !ok3 || !ok4 || strings.Count(block, "\n") < 4 {
		t.Fatal("README.md has lost its commands for publishing")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		block = regexp.MustCompile(`(?m)^curl .*(\\\n.*)*$`).ReplaceAllString(block, "")
	}
	c := execute(t, "--admin", "127.0.0.1:0")
	admin := strings.Trim(strings.TrimPrefix(c.adminOf(t), "http://"), "/")
	client := conntest.Dial(t, c.addr, "/ws?topic=football&topic=news")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"roost":     "#!/bin/sh\nexec '" + self + "' \"$@\"\n",
		"goal.webp": "\xffbinary", "messages.ndjson": "{\"topic\":\"news\",\"data\":\"1\"}\n{\"topic\":\"news\",\"data\":{\"n\":2}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil { //nolint:gosec // one of them is a program
			t.Fatal(err)
		}
	}
	cmd := exec.Command(bash, "-euxc", "set -o pipefail\n"+strings.ReplaceAll(block, "127.0.0.1:8001", admin))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), commandEnv+"=1", "ROOST_URL=http://"+admin, "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(block, "curl") {
		client.ExpectText("Kick-off")
	}
	client.ExpectText("Goal!")
	client.Expect(ws.OpBinary, "\xffbinary")
	client.ExpectText("1:0")
	client.ExpectText("1")
	client.ExpectText(`{"n":2}`)
	for _, want := range []string{"published to football as ", ", 1 delivered, 0 dropped, 0 closed, 0 pending; p50 ", "published 2 messages"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	_ = client.Close()
	c.end(t)
}
