//go:build linux

package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/admin"
	"roost/conn/conntest"
	"roost/conn/server"
)

// post publishes body; headers are names and values in turn.
func (r *rig) post(path, contentType string, body io.Reader, headers ...string) (*http.Response, string) {
	r.t.Helper()
	res, text, err := r.tryPost(r.t.Context(), path, contentType, body, headers...)
	if err != nil {
		r.t.Fatal(err)
	}
	return res, text
}

func (r *rig) tryPost(ctx context.Context, path, contentType string, body io.Reader, headers ...string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.admin.Addr()+path, body)
	if err != nil {
		return nil, "", err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

// counted are the results of publishing so far, without those that are 0.
func (r *rig) counted() map[string]float64 {
	r.t.Helper()
	all := map[string]float64{}
	for name, v := range r.values() {
		if rest, ok := strings.CutPrefix(name, `roost_publish_requests_total{result="`); ok && v > 0 {
			all[strings.TrimSuffix(rest, `"}`)] = v
		}
	}
	return all
}

func wantCounts(t *testing.T, r *rig, want map[string]float64) {
	t.Helper()
	if got := r.counted(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// stalled has the only broadcaster of a server stand still from its first frame on, until
// release is called. More than one frame behind it is congestion.
type stalled struct {
	reached chan struct{}
	release func()
}

func stall(sc *server.Config) *stalled {
	gate := make(chan struct{})
	s := &stalled{make(chan struct{}), sync.OnceFunc(func() { close(gate) })}
	var once sync.Once
	sc.Shards, sc.BroadcastQueueFrames = 1, 1
	sc.OnFanOut = func(time.Duration) {
		once.Do(func() { close(s.reached) })
		<-gate
	}
	return s
}

// full publishes until the next is refused.
func (s *stalled) full(t *testing.T, r *rig) {
	t.Helper()
	t.Cleanup(s.release) // before the server is closed
	for _, wait := range []bool{true, false} {
		if res, body := r.post("/publish", "", strings.NewReader("x")); res.StatusCode != http.StatusAccepted {
			t.Fatalf("%d: %s", res.StatusCode, body)
		}
		if wait {
			<-s.reached
		}
	}
}

// What is published reaches those in its topics, as the frame that its type says, in order.
func TestPublish(t *testing.T) {
	r := start(t, server.Config{Handler: server.Push(), DefaultTopic: "lobby"})
	lobby, a, b := conntest.Dial(t, r.addr, "/ws"), conntest.Dial(t, r.addr, "/ws?topic=a"), conntest.Dial(t, r.addr, "/ws?topic=a&topic=b")
	for i, c := range []struct {
		path, contentType, body string
		answer                  string
		op                      ws.OpCode
		to                      []*conntest.Client
	}{
		{"/publish", "text/plain", "one", `{"topic":"lobby","seq":1,"subscribers":1}`, ws.OpText, []*conntest.Client{lobby}},
		{"/publish?topic=a", "text/html; charset=utf-8", "<b>ü</b>", `{"topic":"a","seq":2,"subscribers":2}`, ws.OpText, []*conntest.Client{a, b}},
		{"/publish?topic=b", "application/json", `{"x":1}`, `{"topic":"b","seq":3,"subscribers":1}`, ws.OpText, []*conntest.Client{b}},
		{"/publish?topic=b&topic=a&topic=b", "Application/Problem+JSON", "{}", `{"topics":["b","a"],"seq":4,"subscribers":3}`, ws.OpText, []*conntest.Client{a, b}},
		{"/publish?topic=a&key=k", "", "\xff\x00", `{"topic":"a","seq":5,"subscribers":2}`, ws.OpBinary, []*conntest.Client{a, b}},
		{"/publish?topic=a", "application/x-www-form-urlencoded", "topic=b", `{"topic":"a","seq":6,"subscribers":2}`, ws.OpBinary, []*conntest.Client{a, b}},
		{"/publish?topic=a", "text/plain; charset", "x", `{"topic":"a","seq":7,"subscribers":2}`, ws.OpText, []*conntest.Client{a, b}},
		{"/publish?topic=a", "a b", "x", `{"topic":"a","seq":8,"subscribers":2}`, ws.OpBinary, []*conntest.Client{a, b}},
		{"/publish?topic=lobby", "text/plain", "", `{"topic":"lobby","seq":9,"subscribers":1}`, ws.OpText, []*conntest.Client{lobby}},
		{"/publish?topic=nobody/is@here", "text/plain", "x", `{"topic":"nobody/is@here","seq":10,"subscribers":0}`, ws.OpText, nil},
		{"/publish?topic=nobody&wait=1m", "text/plain", "x", `{"topic":"nobody","seq":11,"subscribers":0,"delivered":0,"dropped":0,"closed":0,"pending":0,"p50_ms":0,"p99_ms":0,"max_ms":0}`, ws.OpText, nil},
	} {
		res, body := r.post(c.path, c.contentType, strings.NewReader(c.body))
		want := http.StatusAccepted
		if strings.Contains(c.path, "wait") {
			want = http.StatusOK
		}
		if res.StatusCode != want || body != c.answer+"\n" || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%d: %d %q %s, want %s", i, res.StatusCode, res.Header.Get("Content-Type"), body, c.answer)
		}
		for _, client := range c.to {
			client.Expect(c.op, c.body)
		}
	}
	wantCounts(t, r, map[string]float64{"accepted": 11})
}

func TestPublishRefuses(t *testing.T) {
	r := start(t, server.Config{Handler: server.Push()})
	many := "/publish?topic=" + strings.Join(numbered(256), "&topic=")
	for _, c := range []struct {
		path, contentType, body string
		headers                 []string
		status                  int
		want                    string
	}{
		{"/publish?topic=", "", "", nil, 400, "a topic has 1 to 128 letters"},
		{"/publish?topic=a&topic=b%20c", "", "", nil, 400, "a topic has 1 to 128 letters"},
		{"/publish?topic=" + strings.Repeat("x", 129), "", "", nil, 400, "a topic has 1 to 128 letters"},
		{many, "", "", nil, 400, "more than 255 topics"},
		{"/publish?topics=a", "", "", nil, 400, `"topics" is no parameter`},
		{"/publish?" + strings.Repeat("x", 5000), "", "", nil, 400, "is no parameter"},
		{"/publish?topic=a;b", "", "", nil, 400, "the query cannot be read"},
		{"/publish?topic=%zz", "", "", nil, 400, "the query cannot be read"},
		{"/publish?key=a&key=b", "", "", nil, 400, "key: say it once"},
		{"/publish?key=", "", "", nil, 400, "key: want 1 to 128"},
		{"/publish?key=" + strings.Repeat("k", 129), "", "", nil, 400, "key: want 1 to 128"},
		{"/publish?key=a%0d%0ab", "", "", nil, 400, "key: want 1 to 128"},
		{"/publish?wait=", "", "", nil, 400, "wait: "}, {"/publish?wait=2", "", "", nil, 400, "wait: "}, {"/publish?wait=0s", "", "", nil, 400, "wait: "},
		{"/publish?wait=-1s", "", "", nil, 400, "wait: "}, {"/publish?wait=60001ms", "", "", nil, 400, "up to 1m0s"}, {"/publish?wait=1s&wait=1s", "", "", nil, 400, "wait: say it once"},
		{"/publish", "text/plain", "a\xffb", nil, 400, "text has to be UTF-8"},
		{"/publish", "application/json", "\"\xed\xa0\x80\"", nil, 400, "text has to be UTF-8"},
		{"/publish", "", "x", []string{"Content-Encoding", "gzip"}, 415, "Content-Encoding"},
		{"/publish", "", "x", []string{"Idempotency-Key", ""}, 400, "want one Idempotency-Key"},
		{"/publish", "", "x", []string{"Idempotency-Key", "ü"}, 400, "want one Idempotency-Key"},
		{"/publish", "", "x", []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, "of 1 to 255"},
		{"/publish", "", "x", []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, 400, "want one Idempotency-Key"},
		{"/publish/batch?topic=a", "", "", nil, 400, "takes no parameters"},
		{"/publish?topic=a", "application/x-ndjson", "", nil, 400, "takes no parameters"},
		{"/publish/batch", "", "", []string{"Idempotency-Key", "a"}, 400, "takes no Idempotency-Key"},
		{"/publish/batch", "", "", []string{"Content-Encoding", "br"}, 415, "Content-Encoding"},
	} {
		res, body := r.post(c.path, c.contentType, strings.NewReader(c.body), c.headers...)
		if res.StatusCode != c.status || !strings.Contains(body, c.want) || len(body) > 400 {
			t.Errorf("%.40s %q: %d %s; want %d %s", c.path, c.headers, res.StatusCode, body, c.status, c.want)
		}
	}
	wantCounts(t, r, map[string]float64{"invalid": 29})
	if n := r.server.Stats().Hub.Published; n != 0 {
		t.Errorf("%d messages were published nevertheless", n)
	}
	// At the edges all is well.
	res, body := r.post("/publish?wait=60s&key="+strings.Repeat("k", 128)+"&topic="+strings.Repeat("t", 128)+"&topic="+strings.Join(numbered(254), "&topic="),
		"", nil, "Idempotency-Key", strings.Repeat("~", 255))
	if res.StatusCode != http.StatusOK {
		t.Errorf("%d: %s", res.StatusCode, body)
	}
	for _, path := range []string{"/publish", "/publish/batch"} {
		r.want(http.StatusMethodNotAllowed, "GET", path)
	}
	// What does not fit into a head ends there, often with a reset.
	published := r.server.Stats().Hub.Published
	if res, _, err := r.tryPost(t.Context(), "/publish?topic="+strings.Join(numbered(1_000_000), "&topic="), "", nil); err == nil && res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a million topics: %d", res.StatusCode)
	}
	if res, _, err := r.tryPost(t.Context(), "/publish", "", nil, "X", strings.Repeat("x", 1<<20)); err == nil && res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 1 MiB: %d", res.StatusCode)
	}
	if n := r.server.Stats().Hub.Published; n != published {
		t.Errorf("%d messages were published with such a head", n-published)
	}
}

func numbered(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(i)
	}
	return all
}

// The longest message is published, one byte more is not, whether its length is known
// before or not.
func TestPublishMax(t *testing.T) {
	for _, c := range []struct {
		max, queue int64
		most       int
	}{{1000, 0, 1000}, {1, 0, 1}, {0, 2000, 1990}, {1 << 20, 2000, 1990}, {1 << 20, 0, 1 << 20}} {
		r := start(t, server.Config{Handler: server.Push(), BroadcastQueueBytes: int(c.queue), WriteQueueBytes: -1}, func(ac *admin.Config) { ac.PublishMax = c.max })
		client := conntest.Dial(t, r.addr, "/ws")
		for _, chunked := range []bool{false, true} {
			body := func(n int) io.Reader {
				if text := strings.NewReader(strings.Repeat("x", n)); !chunked {
					return text
				} else { //nolint:revive // both have the same rank
					return struct{ io.Reader }{text}
				}
			}
			if res, text := r.post("/publish", "text/plain", body(c.most)); res.StatusCode != http.StatusAccepted {
				t.Errorf("%+v: %d: %s", c, res.StatusCode, text)
			}
			client.ExpectText(strings.Repeat("x", c.most))
			if err := r.server.Hub().Drain(t.Context()); err != nil { // the other broadcasters, too
				t.Fatal(err)
			}
			if res, text := r.post("/publish", "text/plain", body(c.most+1)); res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(text, fmt.Sprintf("%d bytes are the most", c.most)) {
				t.Errorf("%+v: one more, chunked %v: %d: %s", c, chunked, res.StatusCode, text)
			}
		}
		wantCounts(t, r, map[string]float64{"accepted": 2, "too-big": 2})
	}
}

// A body that ends early is not published.
func TestPublishHalfABody(t *testing.T) {
	r := start(t, server.Config{Handler: server.Push()})
	for _, c := range []string{
		"Content-Length: 10\r\n\r\nhello",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n",
	} {
		client := conntest.Connect(t, r.admin.Addr())
		client.Raw([]byte("POST /publish HTTP/1.1\r\nHost: localhost\r\n" + c))
		_ = client.Conn.(interface{ CloseWrite() error }).CloseWrite()
		if res := client.Response(); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %s", c, res.Status)
		}
		_ = client.Close()
	}
	wantCounts(t, r, map[string]float64{"cut-off": 3})
	if n := r.server.Stats().Hub.Published; n != 0 {
		t.Errorf("%d messages were published", n)
	}
}

// long is a message, in bytes, of which a client that does not read leaves a part in the server.
const long = 16 << 20

// patient has such a client stay.
func patient(sc *server.Config) {
	sc.Handler, sc.WriteQueueBytes, sc.BroadcastQueueBytes = server.Push(), -1, 4*long
}

// whole is an answer with everything.
type whole struct {
	Topic                               string
	Seq                                 uint64
	Subscribers                         int
	Delivered, Dropped, Closed, Pending int
	P50                                 float64 `json:"p50_ms"`
	P99                                 float64 `json:"p99_ms"`
	Max                                 float64 `json:"max_ms"`
}

func decode(t *testing.T, body string) (a whole) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return a
}

// Who waits learns what became of the message at each subscriber, or what is known when the time
// is over.
func TestPublishAndWait(t *testing.T) {
	var sc server.Config
	patient(&sc)
	r := start(t, sc)
	const n = 20
	for range n {
		conntest.Dial(t, r.addr, "/ws?topic=a")
	}
	res, body := r.post("/publish?topic=a&wait=1m", "text/plain", strings.NewReader("hello"))
	if a := decode(t, body); res.StatusCode != http.StatusOK || a.Topic != "a" || a.Seq != 1 || a.Subscribers != n || a.Delivered != n || a.Dropped+a.Closed+a.Pending != 0 ||
		a.P50 <= 0 || a.P99 < a.P50 || a.Max < a.P99 {
		t.Errorf("%d: %s", res.StatusCode, body)
	}
	deaf := conntest.DialNarrow(t, r.addr, "/ws?topic=b", 4096)
	for _, path := range []string{"/ws?topic=a&topic=b", "/ws?topic=b"} {
		reader := conntest.Dial(t, r.addr, path)
		go func() { _, _ = io.Copy(io.Discard, reader) }()
	}
	res, body = r.post("/publish?topic=b&wait=100ms", "", bytes.NewReader(make([]byte, long)))
	if a := decode(t, body); res.StatusCode != http.StatusOK || a.Subscribers != 3 || a.Pending < 1 || a.Delivered+a.Dropped+a.Closed+a.Pending != 3 {
		t.Errorf("%d: %s", res.StatusCode, body)
	}
	// One that goes, does so during the wait.
	done := make(chan string, 1)
	go func() {
		_, body, err := r.tryPost(t.Context(), "/publish?topic=b&wait=1m", "", bytes.NewReader(make([]byte, 10)))
		done <- fmt.Sprint(body, err)
	}()
	eventually(t, "published", func() bool { return r.server.Stats().Hub.Published == 3 })
	if err := r.server.Hub().Drain(t.Context()); err != nil { // the message is with everybody
		t.Fatal(err)
	}
	_ = deaf.Close()
	body, _, _ = strings.Cut(<-done, "<nil>")
	if a := decode(t, body); a.Closed != 1 || a.Pending != 0 {
		t.Errorf("%s", body)
	}
}

// Waits that are over leave little behind in the queues of those who do not read.
func TestWaitsAreForgotten(t *testing.T) {
	var sc server.Config
	patient(&sc)
	r := start(t, sc)
	conntest.DialNarrow(t, r.addr, "/ws", 4096)
	if res, body := r.post("/publish?wait=1ms", "", bytes.NewReader(make([]byte, long))); res.StatusCode != http.StatusOK {
		t.Fatal(body)
	}
	alive := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := alive()
	const messages, most = 400, 4 << 10
	for range messages {
		if res, body := r.post("/publish?wait=1ms", "", strings.NewReader("x")); res.StatusCode != http.StatusOK || decode(t, body).Pending != 1 {
			t.Fatal(body)
		}
	}
	if each := (alive() - before) / messages; each > most {
		t.Errorf("each of %d messages that wait for a client keeps %d bytes, want up to %d", messages, each, most)
	}
}

// A wait ends with its client and with the listener, and does not hold either up.
func TestWaitEnds(t *testing.T) {
	var sc server.Config
	patient(&sc)
	r := start(t, sc, func(ac *admin.Config) { ac.PublishWindow = time.Hour })
	conntest.DialNarrow(t, r.addr, "/ws", 4096)
	payload := make([]byte, long)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _, _ = r.tryPost(ctx, "/publish?wait=1m", "", bytes.NewReader(payload), "Idempotency-Key", "1")
	}()
	eventually(t, "published", func() bool { return r.server.Stats().Hub.Published == 1 })
	if res, body := r.post("/publish?wait=1m", "", bytes.NewReader(payload), "Idempotency-Key", "1"); res.StatusCode != http.StatusConflict || res.Header.Get("Retry-After") != "1" {
		t.Errorf("while the first waits: %d %s", res.StatusCode, body)
	}
	leave()
	<-gone
	eventually(t, "the wait ends when the client leaves", func() bool {
		res, body := r.post("/publish?wait=1m", "", bytes.NewReader(payload), "Idempotency-Key", "1")
		if res.StatusCode == http.StatusConflict {
			return false
		}
		if a := decode(t, body); res.StatusCode != http.StatusOK || a.Pending != 1 || res.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%d: %s", res.StatusCode, body)
		}
		return true
	})
	answer := make(chan string, 1)
	go func() {
		_, body, err := r.tryPost(t.Context(), "/publish?wait=1m", "", strings.NewReader("x"))
		answer <- fmt.Sprint(body, err)
	}()
	eventually(t, "published", func() bool { return r.server.Stats().Hub.Published == 2 })
	began := time.Now()
	_ = r.admin.Close()
	if got := <-answer; !strings.Contains(got, `"pending":1`) {
		t.Errorf("at the end: %s", got)
	}
	if took := time.Since(began); took > conntest.Patience {
		t.Errorf("it took %v", took)
	}
}

// A queue that is full refuses, says so once in the log, and the room for handlers stays.
func TestPublishBusy(t *testing.T) {
	var sc server.Config
	var log conntest.Log
	s := stall(&sc)
	sc.Handler = server.Chat()
	r := start(t, sc, func(c *admin.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)); c.PublishWindow = time.Hour })
	client := conntest.Dial(t, r.addr, "/ws")
	s.full(t, r)
	for range 3 {
		res, body := r.post("/publish", "", strings.NewReader("y"), "Idempotency-Key", "1")
		if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "1" || !strings.Contains(body, "the broadcast queue is full") {
			t.Errorf("%d %q: %s", res.StatusCode, res.Header.Get("Retry-After"), body)
		}
	}
	if st := r.server.Stats().Hub; st.Published != 2 || st.Refused != 0 {
		t.Errorf("%+v", st)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "remedy=") {
		t.Errorf("%d warnings: %s", n, log.String())
	}
	s.release()
	for range 2 {
		client.Expect(ws.OpBinary, "x")
	}
	// A refusal is not remembered.
	eventually(t, "room", func() bool {
		res, _ := r.post("/publish", "", strings.NewReader("y"), "Idempotency-Key", "1")
		return res.StatusCode == http.StatusAccepted && res.Header.Get("Idempotency-Replayed") == ""
	})
	client.Expect(ws.OpBinary, "y")
	if got := r.counted(); got["accepted"] != 3 || got["busy"] < 3 {
		t.Errorf("counted %v", got)
	}
}

// While a server drains those that are left get what is published; then, and before it starts, 503.
func TestPublishToNoServer(t *testing.T) {
	r := start(t, server.Config{Handler: server.Push(), DrainTime: time.Hour}, func(c *admin.Config) { c.PublishWindow = time.Hour })
	client := conntest.Dial(t, r.addr, "/ws")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.server.Shutdown(ctx) }()
	eventually(t, "draining", r.server.Draining)
	if res, body := r.post("/publish", "text/plain", strings.NewReader("bye")); res.StatusCode != http.StatusAccepted {
		t.Errorf("while it drains: %d %s", res.StatusCode, body)
	}
	client.ExpectText("bye")
	stop()
	<-done
	for range 2 {
		if res, body := r.post("/publish", "", strings.NewReader("x"), "Idempotency-Key", "1"); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "publish at another one") {
			t.Errorf("after the end: %d %s", res.StatusCode, body)
		}
	}
	if res, body := r.post("/publish/batch", "", strings.NewReader("{\"data\":1}\n{\"data\":2}\n")); res.StatusCode != http.StatusOK || !strings.HasPrefix(body, `{"line":1,"error":"this server is not serving`) || !strings.Contains(body, "lines behind this one are not published") || strings.Contains(body, `"line":2`) {
		t.Errorf("a batch after the end: %d %s", res.StatusCode, body)
	}
	srv, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Handler: server.Echo()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := admin.New(admin.Config{Server: srv, Addr: "127.0.0.1:0"})
	if err == nil {
		err = l.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	early := &rig{t: t, server: srv, admin: l, client: r.client}
	if res, body := early.post("/publish", "", strings.NewReader("x")); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("before the start: %d %s", res.StatusCode, body)
	}
	wantCounts(t, early, map[string]float64{"unavailable": 1})
}

// Whatever waits, half of the places are for those who look.
func TestPublishingIsBounded(t *testing.T) {
	var sc server.Config
	patient(&sc)
	r := start(t, sc)
	conntest.DialNarrow(t, r.addr, "/ws", 4096)
	if res, body := r.post("/publish", "", bytes.NewReader(make([]byte, long))); res.StatusCode != http.StatusAccepted {
		t.Fatal(res.StatusCode, body)
	}
	const most = 32
	ctx, leave := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range most {
		waiting.Go(func() { _, _, _ = r.tryPost(ctx, "/publish?wait=1m", "", strings.NewReader("x")) })
	}
	eventually(t, "all wait", func() bool { return r.server.Stats().Hub.Published == 1+most })
	for _, path := range []string{"/publish", "/publish/batch"} {
		if res, body := r.post(path, "", strings.NewReader("x")); res.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, "at once, 32") {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	r.want(http.StatusOK, "GET", "/metrics")
	leave()
	waiting.Wait()
	if res, body := r.post("/publish", "", strings.NewReader("x")); res.StatusCode != http.StatusAccepted {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// Connections of publishers are kept, as long as half of the places are free.
func TestPublishersMakeRoom(t *testing.T) {
	r := start(t, server.Config{Handler: server.Push()})
	for i, others := range []int{0, 30, 0} {
		for range others {
			other := conntest.Connect(t, r.admin.Addr())
			other.Raw([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"))
			other.Response() // it has been accepted
		}
		c := conntest.Connect(t, r.admin.Addr())
		c.Raw([]byte("POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"))
		if res := c.Response(); res.StatusCode != http.StatusAccepted || res.Close != (i == 2) {
			t.Errorf("%d: %s, closed %v", i, res.Status, res.Close)
		}
	}
}

// Without a token of its own publishing takes the admin token, with one either.
func TestPublishToken(t *testing.T) {
	const own = "for publishing only"
	for _, c := range []struct {
		admin, publish string
		given          string
		host           string
		publishes      int
		looks          int
	}{
		{"", "", "", "", 202, 200}, {"", "", "any", "", 202, 200}, {"", "", "", "evil.example", 403, 403},
		{"", own, "", "", 401, 200}, {"", own, own, "", 202, 200}, {"", own, own, "push.internal", 202, 403}, {"", own, own + "x", "", 401, 200}, {"", own, "", "evil.example", 401, 403},
		{token, "", token, "", 202, 200}, {token, "", "", "", 401, 401}, {token, "", token, "push.internal", 202, 200},
		{token, own, token, "", 202, 200}, {token, own, own, "", 202, 401}, {token, own, own[1:], "", 401, 401}, {token, own, "", "", 401, 401}, {token, own, own + token, "", 401, 401},
	} {
		r := start(t, server.Config{Handler: server.Push()}, func(ac *admin.Config) { ac.Token, ac.PublishToken = c.admin, c.publish })
		var headers []string
		if c.given != "" {
			headers = append(headers, "Authorization", "Bearer "+c.given)
		}
		if c.host != "" {
			headers = append(headers, "Host", c.host)
		}
		for _, path := range []string{"/publish", "/publish/batch"} {
			want := c.publishes
			if want == 202 && path == "/publish/batch" {
				want = 200
			}
			res, body := r.post(path, "", strings.NewReader(`{"data":1}`), headers...)
			if res.StatusCode != want || strings.Contains(body, own) || strings.Contains(body, token) {
				t.Errorf("%+v, %s: %d %s, want %d", c, path, res.StatusCode, body, want)
			}
			if c.publish != "" && want == 401 && !strings.Contains(body, "--publish-token") {
				t.Errorf("no word of what to do: %s", body)
			}
		}
		if res, body := r.do("GET", "/metrics", headers...); res.StatusCode != c.looks {
			t.Errorf("%+v: /metrics: %d %s, want %d", c, res.StatusCode, body, c.looks)
		}
	}

	r := start(t, server.Config{Handler: server.Push()}, func(ac *admin.Config) { ac.PublishToken = own })
	if err := r.admin.SetPublishToken("short"); err != admin.ErrTokenShort {
		t.Errorf("a short one: %v", err)
	}
	const next = "for publishing, the next"
	if err := r.admin.SetPublishToken(next); err != nil {
		t.Fatal(err)
	}
	old, _ := r.post("/publish", "", nil, "Authorization", "Bearer "+own)
	now, _ := r.post("/publish", "", nil, "Authorization", "Bearer "+next)
	if old.StatusCode != http.StatusUnauthorized || now.StatusCode != http.StatusAccepted {
		t.Errorf("the old one gets %d, the new one %d", old.StatusCode, now.StatusCode)
	}
	wantCounts(t, r, map[string]float64{"accepted": 1, "unauthorized": 1})
	for _, bad := range []func(*admin.Config){
		func(c *admin.Config) { c.PublishToken = "x" }, func(c *admin.Config) { c.PublishMax = -1 },
		func(c *admin.Config) { c.PublishWindow = time.Second - 1 }, func(c *admin.Config) { c.PublishWindow = 24*time.Hour + 1 }, func(c *admin.Config) { c.PublishWindow = -1 },
	} {
		ac := admin.Config{Server: r.server, Addr: "127.0.0.1:0"}
		bad(&ac)
		if _, err := admin.New(ac); err == nil {
			t.Errorf("taken: %+v", ac)
		}
	}
}

// No page of another site publishes, whatever token the browser has.
func TestOtherSitesDoNotPublish(t *testing.T) {
	r := start(t, server.Config{Handler: server.Push()})
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://evil.example"}, {"Origin", "null"},
		{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"},
	} {
		for _, path := range []string{"/publish", "/publish/batch", "/%70ublish"} {
			if res, body := r.post(path, "text/plain", strings.NewReader("x"), headers...); res.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %v: %d %s", path, headers, res.StatusCode, body)
			}
		}
	}
	if n := r.server.Stats().Hub.Published; n != 0 {
		t.Errorf("%d messages were published", n)
	}
	if res, _ := r.post("/publish", "text/plain", strings.NewReader("x"), "Sec-Fetch-Site", "same-origin"); res.StatusCode != http.StatusAccepted {
		t.Errorf("its own page: %d", res.StatusCode)
	}
}

// Only the newest value of a key waits for a client that is behind.
func TestPublishKey(t *testing.T) {
	var sc server.Config
	patient(&sc)
	sc.SlowConsumer = conn.Conflate
	r := start(t, sc)
	behind := conntest.DialNarrow(t, r.addr, "/ws?topic=t", 4096)
	first := strings.Repeat("x", long)
	for _, m := range []struct{ key, body string }{{"", first}, {"&key=a", "a1"}, {"&key=b", "b1"}, {"&key=a", "a2"}} {
		if res, body := r.post("/publish?topic=t"+m.key, "text/plain", strings.NewReader(m.body)); res.StatusCode != http.StatusAccepted {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
	}
	eventually(t, "all are with the connection", func() bool { return r.server.Stats().Hub.Waiting == 0 && r.server.Stats().Hub.Delivered == 4 })
	behind.ExpectText(first)
	behind.ExpectText("b1")
	behind.ExpectText("a2")

	// A key is the same whichever way the default topic is meant.
	behind = conntest.DialNarrow(t, r.addr, "/ws", 4096)
	for _, m := range []struct{ query, body string }{{"", first}, {"?key=a", "a1"}, {"?topic=all&key=a", "a2"}} {
		if res, body := r.post("/publish"+m.query, "text/plain", strings.NewReader(m.body)); res.StatusCode != http.StatusAccepted {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
	}
	r.batched("{\"key\":\"a\",\"data\":\"a3\"}\n")
	eventually(t, "all are with the connection", func() bool { return r.server.Stats().Hub.Waiting == 0 && r.server.Stats().Hub.Delivered == 8 })
	behind.ExpectText(first)
	behind.ExpectText("a3")
}

// batched publishes lines and returns the answers.
func (r *rig) batched(body string) []string {
	r.t.Helper()
	res, text := r.post("/publish/batch", "application/x-ndjson", strings.NewReader(body))
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/x-ndjson" {
		r.t.Fatalf("%d %s", res.StatusCode, text)
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// Lines are published in order, one by one, and a bad one stops none.
func TestBatch(t *testing.T) {
	r := start(t, server.Config{Handler: server.Push()}, func(c *admin.Config) { c.PublishMax = 200 })
	all, a := conntest.Dial(t, r.addr, "/ws"), conntest.Dial(t, r.addr, "/ws?topic=a")
	lines := []struct{ line, answer string }{
		{`{"data":"one"}`, `{"line":1,"seq":1,"subscribers":1}`},
		{`{"topic":"a","data":{"x": [1, null]}}`, `{"line":2,"seq":2,"subscribers":1}`},
		{`{"topics":["all","a","a"],"data":"ü\n\u00fc"}`, `{"line":3,"seq":3,"subscribers":2}`},
		{`no json`, `{"line":4,"error":"the line is no message, as {\"topic\":`},
		{``, ``}, {"  \t\r", ``},
		{`{"topic":"a","base64":"/wA=","key":"k"}`, `{"line":7,"seq":4,"subscribers":1}`},
		{`{"topic":"a b","data":1}`, `{"line":8,"error":"a topic has`},
		{`{"topic":"a"}`, `{"line":9,"error":"want either data or base64"}`},
		{`{"data":1,"base64":""}`, `{"line":10,"error":"want either data or base64"}`},
		{`{"topic":"a","topics":["a"],"data":1}`, `{"line":11,"error":"topic and topics: want one`},
		{`{"topics":[],"data":1}`, `{"line":12,"error":"topics: want one or more"}`},
		{`{"topic":"a","data":1,"dta":2}`, `{"line":13,"error":"the line is no message`},
		{`{"data":1}{"data":2}`, `{"line":14,"error":"the line has more than one`},
		{`{"base64":"*"}`, `{"line":15,"error":"base64: `},
		{`{"key":"","data":1}`, `{"line":16,"error":"key: `},
		{`{"key":"a\r\nb","data":1}`, `{"line":17,"error":"key: `},
		{"{\"data\":\"\xff\"}", `{"line":18,"error":"the line is not UTF-8`},
		{`{"topic":"a","data":"` + strings.Repeat("y", 200-23) + `"}`, `{"line":19,"seq":5,"subscribers":1}`},
		{`{"topic":"a","data":"` + strings.Repeat("y", 201-23) + `"}`, `{"line":20,"error":"the line is too long: 200 bytes`},
		{strings.Repeat("z", 1<<20), `{"line":21,"error":"the line is too long: 200 bytes`},
		{`{"topic":"a","data":null}` + "\r", `{"line":22,"seq":6,"subscribers":1}`},
		{`{"topic":"","data":1}`, `{"line":23,"error":"a topic has`},
		{`{"topic":null,"data":1}`, `{"line":24,"error":"the line is no message, as {\"topic\":\"t\",\"data\":\"...\"} is one: a topic is null`},
		{`{"topics":null,"data":1}`, `{"line":25,"error":"the line is no message, as {\"topic\":\"t\",\"data\":\"...\"} is one: a topic is null`},
		{`{"topic":["a"],"data":1}`, `{"line":26,"error":"the line is no message`},
		{`{"topic":"a","base64":""}`, `{"line":27,"seq":7,"subscribers":1}`}, // without an end
	}
	var body, want []string
	for _, l := range lines {
		body = append(body, l.line)
		if l.answer != "" {
			want = append(want, l.answer)
		}
	}
	got := r.batched(strings.Join(body, "\n"))
	if len(got) != len(want) {
		t.Fatalf("%d answers, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i, w := range want {
		if !strings.HasPrefix(got[i], w) || !json.Valid([]byte(got[i])) || len(got[i]) > 400 {
			t.Errorf("got %s, want %s", got[i], w)
		}
	}
	all.ExpectText("one")
	all.ExpectText("ü\nü")
	a.ExpectText(`{"x": [1, null]}`)
	a.ExpectText("ü\nü")
	a.Expect(ws.OpBinary, "\xff\x00")
	a.ExpectText(strings.Repeat("y", 200-23))
	a.ExpectText("null")
	a.Expect(ws.OpBinary, "")
	wantCounts(t, r, map[string]float64{"accepted": 7, "invalid": 16, "too-big": 2})
	if res, body := r.post("/publish", "application/x-ndjson; charset=utf-8", strings.NewReader("{\"data\":1}\n")); res.StatusCode != http.StatusOK || body != "{\"line\":1,\"seq\":8,\"subscribers\":1}\n" {
		t.Errorf("by its type: %d %s", res.StatusCode, body)
	}
	if got := r.batched(""); len(got) != 1 || got[0] != "" {
		t.Errorf("nothing: %q", got)
	}
}

// A million topics, or names of any length, are answered briefly.
func TestBatchOfMuch(t *testing.T) {
	r := start(t, server.Config{Handler: server.Push(), BroadcastQueueBytes: 64 << 20})
	topics := func(n int) string { return `{"data":1,"topics":["` + strings.Join(numbered(n), `","`) + "\"]}\n" }
	got := r.batched(topics(1_000_000) + `{"` + strings.Repeat("k", 1<<20) + "\":1}\n" + strings.Repeat("[", 1<<20) + "\n" + topics(256) + topics(255))
	for i, want := range []string{`"error":"more than 255 topics`, `"error":"the line is no message`, `"error":"the line is no message`, `"error":"more than 255 topics`, `"seq":1,`} {
		if len(got) != 5 || !strings.Contains(got[i], want) || len(got[i]) > 400 {
			t.Fatalf("%d: %.500q, want %s", i, got, want)
		}
	}
}

// Who asks before sending the lines is told to go on, and not by the answer to them.
func TestBatchContinues(t *testing.T) {
	r := start(t, server.Config{Handler: server.Push()})
	c := conntest.Connect(t, r.admin.Addr())
	const lines = "{\"data\":1}\n"
	c.Raw(fmt.Appendf(nil, "POST /publish/batch HTTP/1.1\r\nHost: localhost\r\nExpect: 100-Continue\r\nContent-Length: %d\r\n\r\n", len(lines)))
	if res := c.Response(); res.StatusCode != http.StatusContinue {
		t.Fatal(res.Status)
	}
	c.Raw([]byte(lines))
	res := c.Response()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || string(body) != "{\"line\":1,\"seq\":1,\"subscribers\":0}\n" {
		t.Errorf("%s %q, %v", res.Status, body, err)
	}
	// Who is refused is not.
	c = conntest.Connect(t, r.admin.Addr())
	c.Raw([]byte("POST /publish/batch?topic=a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"))
	if res := c.Response(); res.StatusCode != http.StatusBadRequest {
		t.Error(res.Status)
	}
}

// Each line is answered before the next has to come; what is cut off is not published.
func TestBatchIsAStream(t *testing.T) {
	r := start(t, server.Config{Handler: server.Push()})
	send := func(c *conntest.Client, line string) { c.Raw([]byte(fmt.Sprintf("%x\r\n%s\r\n", len(line), line))) }
	open := func() (*conntest.Client, *http.Response, *bufio.Scanner) {
		c := conntest.Connect(t, r.admin.Addr())
		c.Raw([]byte("POST /publish/batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"))
		res := c.Response()
		return c, res, bufio.NewScanner(res.Body)
	}
	c, res, answers := open()
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	for i := range 10 {
		send(c, "{\"data\":1}\n")
		if !answers.Scan() || answers.Text() != fmt.Sprintf(`{"line":%d,"seq":%d,"subscribers":0}`, i+1, i+1) {
			t.Fatalf("%d: %q, %v", i, answers.Text(), answers.Err())
		}
	}
	send(c, `{"data":2}`)
	_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
	if !answers.Scan() || !strings.HasPrefix(answers.Text(), `{"line":11,"error":"the body did not come whole`) {
		t.Errorf("cut off: %q, %v", answers.Text(), answers.Err())
	}
	if answers.Scan() {
		t.Errorf("and then %q", answers.Text())
	}
	if n := r.server.Stats().Hub.Published; n != 10 {
		t.Errorf("%d messages were published, want 10", n)
	}
	wantCounts(t, r, map[string]float64{"accepted": 10, "cut-off": 1})
	_ = c.Close()

	// The end of the listener is the end of one that says nothing.
	c, _, answers = open()
	send(c, "{\"data\":1}\n")
	if !answers.Scan() {
		t.Fatal(answers.Err())
	}
	_ = r.admin.Close()
	for answers.Scan() {
		if !strings.Contains(answers.Text(), "error") {
			t.Errorf("got %s", answers.Text())
		}
	}
	if err := answers.Err(); err != nil {
		t.Errorf("the answer does not end as it should: %v", err)
	}
}

// A batch is as fast as the queue takes it: everybody gets all of it, in order.
func TestBatchWaitsForRoom(t *testing.T) {
	const n = 5000
	var sc server.Config
	s := stall(&sc)
	sc.Handler, sc.WriteQueueFrames = server.Push(), -1
	r := start(t, sc)
	clients := []*conntest.Client{conntest.Dial(t, r.addr, "/ws"), conntest.Dial(t, r.addr, "/ws?topic=all&topic=x")}
	s.full(t, r)
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, "{\"data\":%d}\n", i)
	}
	done := make(chan []string, 1)
	go func() { done <- r.batched(body.String()) }()
	eventually(t, "it waits", func() bool { return r.server.Stats().Hub.Waiting > 0 })
	s.release()
	for _, c := range clients {
		for range 2 {
			c.Expect(ws.OpBinary, "x")
		}
	}
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			for i := range n {
				if _, p, err := c.Next(); err != nil || string(p) != fmt.Sprint(i) {
					t.Errorf("got %q, %v, want %d", p, err, i)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := <-done; len(got) != n || slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, "error") }) {
		t.Errorf("%d answers, want %d", len(got), n)
	}
	wantCounts(t, r, map[string]float64{"accepted": n + 2})
}

// Many requests with one key publish once.
func TestIdempotencyKey(t *testing.T) {
	r := start(t, server.Config{Handler: server.Push()}, func(c *admin.Config) { c.PublishWindow = time.Hour })
	client := conntest.Dial(t, r.addr, "/ws?topic=a")
	const n = 20
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for range n {
		wg.Go(func() {
			res, body, err := r.tryPost(t.Context(), "/publish?topic=a&wait=1m", "text/plain", strings.NewReader("once"), "Idempotency-Key", "k 1")
			if err != nil {
				t.Error(err)
				return
			}
			kind := fmt.Sprint(res.StatusCode, " ", res.Header.Get("Idempotency-Replayed"))
			if a := body; res.StatusCode == http.StatusOK && (decode(t, a).Seq != 1 || decode(t, a).Delivered != 1) {
				t.Errorf("%s: %s", kind, body)
			}
			mu.Lock()
			got[kind]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if got["200 "] != 1 || got["200 true"]+got["409 "] != n-1 {
		t.Errorf("answers: %v", got)
	}
	client.ExpectText("once")
	for _, c := range []struct {
		path, contentType, body string
		status                  int
	}{
		{"/publish?topic=a", "text/html", "once", 200}, // the answer is that of the first
		{"/publish?topic=b", "text/plain", "once", 422}, {"/publish?topic=a&key=x", "text/plain", "once", 422},
		{"/publish?topic=a", "", "once", 422}, {"/publish?topic=a", "text/plain", "twice", 422},
	} {
		if res, body := r.post(c.path, c.contentType, strings.NewReader(c.body), "Idempotency-Key", "k 1"); res.StatusCode != c.status {
			t.Errorf("%+v: %d %s", c, res.StatusCode, body)
		}
	}
	if st := r.server.Stats().Hub; st.Published != 1 {
		t.Errorf("%d messages were published", st.Published)
	}
	if values := r.values(); values["roost_publish_keys"] != 1 || values["roost_publish_keys_evicted_total"] != 0 {
		t.Errorf("%v keys, %v evicted", values["roost_publish_keys"], values["roost_publish_keys_evicted_total"])
	}
	// Without a window keys mean nothing.
	r = start(t, server.Config{Handler: server.Push()})
	for i := range 2 {
		if res, body := r.post("/publish", "", strings.NewReader("x"), "Idempotency-Key", "k"); res.StatusCode != http.StatusAccepted || !strings.Contains(body, fmt.Sprintf(`"seq":%d,`, i+1)) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
	}
}
