package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"roost/conn/handshake"
)

// request is a scanned handshake.
func request(t testing.TB, target string, headers ...string) *handshake.Request {
	t.Helper()
	p := &handshake.Policy{Path: "/ws", MaxHead: 8 << 10, MaxHeaders: 100}
	head := "GET " + target + " HTTP/1.1\r\nHost: roost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + strings.Join(append(headers, "", ""), "\r\n")
	res := p.Negotiate(nil, []byte(head))
	if res.Kind != handshake.Upgrade {
		t.Fatal(res.Reason)
	}
	return &res.Request
}

var client = netip.MustParseAddr("192.0.2.1")

// backendAt is a Backend before a page.
func backendAt(t *testing.T, config Config) (*Backend, *page) {
	t.Helper()
	web := new(page)
	server := httptest.NewServer(web)
	t.Cleanup(server.Close)
	config.URL = server.URL + "/auth?key=hush"
	b := NewBackend(config)
	t.Cleanup(b.Close)
	return b, web
}

// asks waits for an answer.
func asks(t *testing.T, b *Backend, r *handshake.Request) Answer {
	t.Helper()
	told := make(chan struct{})
	q := b.Ask(r, client, func() { close(told) })
	if q == nil {
		t.Fatal("too many wait")
	}
	select {
	case <-told:
		return *q.Answer()
	case <-time.After(patience):
		t.Fatal("no answer")
		return Answer{}
	}
}

func TestQuestion(t *testing.T) {
	b, web := backendAt(t, Config{Forward: []string{"authorization", "Cookie", "X-App"}})
	came := make(chan *http.Request, 1)
	web.set(func(_ http.ResponseWriter, r *http.Request) { came <- r })
	a := asks(t, b, request(t, "/ws?topic=a&token=t", "AUTHORIZATION: Bearer t", "Cookie: a=1", "Cookie: b=2", "X-Other: no",
		"X-Forwarded-For: 6.6.6.6", "X-Original-URI: /admin", "x-app: 7"))
	if a.Grant == nil {
		t.Fatalf("%+v", a)
	}
	got := <-came
	for name, want := range map[string]string{
		"Authorization": "[Bearer t]", "Cookie": "[a=1 b=2]", "X-App": "[7]", "X-Other": "[]",
		"X-Forwarded-For": "[192.0.2.1]", "X-Original-Uri": "[/ws?topic=a&token=t]", "Upgrade": "[]", "Sec-Websocket-Key": "[]",
	} {
		if fmt.Sprint(got.Header.Values(name)) != want {
			t.Errorf("%s: %v, want %v", name, got.Header.Values(name), want)
		}
	}
	if got.Method != "GET" || got.RequestURI != "/auth?key=hush" || got.ContentLength != 0 {
		t.Errorf("%s %s with %d bytes", got.Method, got.RequestURI, got.ContentLength)
	}
}

func TestAnswers(t *testing.T) {
	patient, web := backendAt(t, Config{})
	hasty, hastyWeb := backendAt(t, Config{Timeout: 100 * time.Millisecond}) // for those that take too long in any case
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	reply := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, c := range map[string]struct {
		serve  http.HandlerFunc
		status int
		err    string
		sub    string
	}{
		"empty":         {reply(200, "", ""), 0, "", ""},
		"204":           {reply(204, "", ""), 0, "", ""},
		"text":          {reply(200, "text/plain", "yes"), 0, "", ""},
		"JSON":          {reply(200, "application/json; charset=utf-8", `{"sub":"bob","exp":9999999999,"topics":["*"],"pub":true,"more":1}`), 0, "", "bob"},
		"empty JSON":    {reply(200, "application/json", ""), 0, "", ""},
		"401":           {reply(401, "", strings.Repeat("x", mostAnswer*2)), 401, "", ""},
		"403":           {reply(403, "text/html", "<html>"), 403, "", ""},
		"expired":       {reply(200, "application/json", `{"exp":1}`), 401, "", ""},
		"404":           {reply(404, "", ""), 0, "answered 404", ""},
		"500":           {reply(500, "", ""), 0, "answered 500", ""},
		"malformed":     {reply(200, "application/json", `{"sub":`), 0, "malformed", ""},
		"two types":     {reply(200, "application/json, application/json", `{"topics":[]}`), 0, "Content-Type", ""},
		"list":          {reply(200, "application/json", `[]`), 0, "malformed", ""},
		"bad exp":       {reply(200, "application/json", `{"exp":"soon"}`), 0, "malformed", ""},
		"bad topics":    {reply(200, "application/json", `{"topics":["a b"]}`), 0, "topics", ""},
		"long sub":      {reply(200, "application/json", `{"sub":"`+strings.Repeat("x", 257)+`"}`), 0, "sub", ""},
		"many patterns": {reply(200, "application/json", `{"topics":[`+strings.Repeat(`"a",`, 64)+`"a"]}`), 0, "topics", ""},
		"huge":          {reply(200, "application/json", `{"sub":"`+strings.Repeat("x", mostAnswer)+`"}`), 0, "longer than", ""},
		"huge text":     {reply(200, "text/plain", strings.Repeat("x", 1<<20)), 0, "longer than", ""},
		"huge header":   {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) }, 0, "header", ""},
		"redirect":      {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, 0, "answered 302", ""},
		"hangs":         {func(_ http.ResponseWriter, _ *http.Request) { <-release }, 0, "deadline", ""},
		"hangs in body": {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); <-release }, 0, "deadline", ""},
		"drips":         {func(w http.ResponseWriter, r *http.Request) { drip(w, r) }, 0, "deadline", ""},
		"closes":        {func(_ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, 0, "EOF", ""},
	} {
		b := patient
		if c.err == "deadline" {
			b = hasty
		}
		web.set(c.serve)
		hastyWeb.set(c.serve)
		a := asks(t, b, request(t, "/ws"))
		switch {
		case c.err != "":
			if a.Err == nil || !strings.Contains(a.Err.Error(), c.err) || strings.Contains(a.Err.Error(), "hush") || a.Grant != nil || a.Status != 0 {
				t.Errorf("%s: %+v, want %q", name, a, c.err)
			}
		case c.status != 0:
			if a.Status != c.status || a.Err != nil || a.Grant != nil {
				t.Errorf("%s: %+v, want %d", name, a, c.status)
			}
		case a.Grant == nil || a.Grant.Subject != c.sub || a.Err != nil || a.Status != 0:
			t.Errorf("%s: %+v", name, a)
		case !a.Grant.MaySubscribe("all") || a.Grant.MayPublish("all") != (c.sub != "") || a.Grant.MaySubscribe("x") != (c.sub != ""):
			t.Errorf("%s: other rights", name)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Who leaves while others are asked about may take a connection with it that one of these
// was given; that one is asked about again.
func TestOthersLeave(t *testing.T) {
	b, web := backendAt(t, Config{})
	web.set(func(http.ResponseWriter, *http.Request) {})
	next, failed := b.client.Transport, false
	b.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if !failed {
			failed = true
			return nil, context.Canceled
		}
		return next.RoundTrip(r)
	})
	if a := asks(t, b, request(t, "/ws")); a.Grant == nil || !failed {
		t.Errorf("%+v", a)
	}
}

// drip sends a byte now and then, as long as somebody listens.
func drip(w http.ResponseWriter, r *http.Request) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
			_, _ = w.Write([]byte("x"))
			w.(http.Flusher).Flush()
		}
	}
}

// Not more are asked at once, not more wait, and nobody waits longer than the timeout, his
// turn included.
func TestQuestionsAreBounded(t *testing.T) {
	b, web := backendAt(t, Config{Concurrency: 2, Queue: 3, Timeout: time.Second})
	var mu sync.Mutex
	now, most := 0, 0
	web.set(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		<-r.Context().Done()
		mu.Lock()
		now--
		mu.Unlock()
	})
	var told sync.WaitGroup
	var all []*Question
	ask := func() bool {
		told.Add(1)
		q := b.Ask(request(t, "/ws"), client, told.Done)
		if q == nil {
			told.Done()
			return false
		}
		all = append(all, q)
		return true
	}
	for range 2 {
		ask()
		eventually(t, "it is being asked", func() bool { return b.Waiting() == 0 })
	}
	for range 3 {
		if !ask() {
			t.Fatal("no place to wait")
		}
	}
	if ask() {
		t.Error("too many wait")
	}
	told.Wait()
	for i, q := range all {
		if a := q.Answer(); a == nil || a.Err == nil || !strings.Contains(a.Err.Error(), "deadline") {
			t.Errorf("%d: %+v", i, a)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if n := web.count(); most > 2 || n < 2 || n > 5 {
		t.Errorf("%d asked, %d at once", n, most)
	}
}

// A question that nobody waits for any more is given up, also by Close.
func TestQuestionsCancelled(t *testing.T) {
	for _, by := range []func(*Backend, *Question){
		func(_ *Backend, q *Question) { q.Cancel() },
		func(b *Backend, _ *Question) { b.Close() },
	} {
		b, web := backendAt(t, Config{Concurrency: 1, Timeout: time.Minute})
		asked, over := make(chan struct{}), make(chan struct{})
		web.set(func(_ http.ResponseWriter, r *http.Request) {
			close(asked)
			<-r.Context().Done()
			close(over)
		})
		q := b.Ask(request(t, "/ws"), client, func() {})
		<-asked
		by(b, q)
		<-over
	}
}

// One connection serves many questions.
func TestConnectionsAreReused(t *testing.T) {
	b, web := backendAt(t, Config{Concurrency: 1})
	came := make(chan string, 20)
	web.set(func(w http.ResponseWriter, r *http.Request) {
		came <- r.RemoteAddr
		_, _ = w.Write([]byte("ok"))
	})
	peers := map[string]bool{}
	for range 20 {
		asks(t, b, request(t, "/ws"))
		peers[<-came] = true
	}
	if len(peers) != 1 {
		t.Errorf("%d connections", len(peers))
	}
}
