//go:build linux

package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/auth"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/handshake"
)

// firstSecret signs the tokens of most tests.
const firstSecret = "the first secret, which is 32 bytes or more"

// today is the time that these tests begin at.
var today = time.Unix(1_700_000_000, 0)

// guarded is a server that wants tokens. Its calendar stands.
func guarded(t *testing.T, config Config) (s *Server, addr string, calendar *standing) {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(keys, []byte(firstSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	config.Auth.Keys, config.Auth.Cookie = keys, "session"
	s, _ = prepare(t, config)
	calendar = new(standing)
	s.access.now = func() time.Time { return today.Add(time.Duration(calendar.now.Load())) }
	s.access.expiry = 40 * time.Millisecond
	return s, run(t, s), calendar
}

// answered reads the answer to a handshake, and its end if it is a refusal.
func answered(t *testing.T, c *conntest.Client, status int, text string) {
	t.Helper()
	res := c.Response()
	if res.StatusCode != status {
		t.Fatalf("answered %s, want %d", res.Status, status)
	}
	if status == http.StatusSwitchingProtocols {
		return
	}
	if body, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(body), text) {
		t.Errorf("%s: %q, %v, want %q", res.Status, body, err, text)
	}
	if challenge := res.Header.Get("WWW-Authenticate"); (challenge == "Bearer") != (status == 401) {
		t.Errorf("%s with WWW-Authenticate: %q", res.Status, challenge)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("behind the answer: %v, want the end", err)
	}
	_ = c.Close()
}

func at(addr, target string, headers ...string) string {
	return conntest.Request(addr, "/ws"+target, headers...)
}

// ask opens a connection with that request.
func ask(t *testing.T, addr, target string, headers ...string) *conntest.Client {
	t.Helper()
	c := conntest.Connect(t, addr)
	c.Raw([]byte(at(addr, target, headers...)))
	return c
}

// Whoever has a token comes in, with it in any of three places. Nobody learns what was in it.
func TestTokens(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	config := Config{Log: slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(b)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	s, addr, _ := guarded(t, config)
	exp := today.Unix() + 60
	good := conntest.Token(t, firstSecret, map[string]any{"sub": "alice", "exp": exp})
	old := conntest.Token(t, firstSecret, map[string]any{"sub": "alice", "exp": today.Unix()})
	forged := conntest.Token(t, strings.ToUpper(firstSecret), map[string]any{"sub": "alice", "exp": exp})
	news := conntest.Token(t, firstSecret, map[string]any{"exp": exp, "topics": []string{"news/*", "all"}})
	refused := uint64(0)
	for _, c := range []struct {
		target  string
		headers []string
		status  int
		text    string
	}{
		{"", nil, 401, "a token is needed"},
		{"?token=" + good, nil, 101, ""},
		{"", []string{"Authorization: Bearer " + good}, 101, ""},
		{"", []string{"Cookie: a=b; session=" + good}, 101, ""},
		{"", []string{"Cookie: token=" + good}, 401, "a token is needed"},
		{"?token=" + forged, nil, 401, "not valid"},
		{"?token=" + old, nil, 401, "has expired"},
		{"?token=" + good, []string{"Authorization: Bearer " + forged}, 401, "not valid"},
		{"?token=" + forged + "&token=" + good, nil, 401, "not valid"},
		{"?token=" + strings.Repeat("a", 7<<10), nil, 401, "not valid"},
		{"?token=" + strings.Repeat("a", 8<<10), nil, 431, "head too long"},
		{"?topic=news&token=" + good, nil, 403, "subscribe"},
		{"?topic=all&token=" + good, nil, 101, ""},
		{"?topic=news/de&topic=all&token=" + news, nil, 101, ""},
		{"?topic=news/de&topic=sports&token=" + news, nil, 403, "subscribe"},
		{"?topic=*&token=" + news, nil, 400, "letters"},
	} {
		answered(t, ask(t, addr, c.target, c.headers...), c.status, c.text)
		if c.status == 401 || c.status == 403 {
			refused++
		}
	}
	eventually(t, "they are counted", func() bool { return ended(s, conn.ReasonUnauthorized) == refused })
	mu.Lock()
	defer mu.Unlock()
	for _, secret := range []string{firstSecret, good, old, forged, news, "token="} {
		for _, part := range strings.Split(secret, ".") {
			if strings.Contains(log.String(), part) {
				t.Errorf("%q is in the log:\n%s", part, log.String())
			}
		}
	}
	if !strings.Contains(log.String(), "its signature is wrong") {
		t.Errorf("the reason is not in the log:\n%s", log.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A connection is closed in the second in which its token expires, and whoever has its place
// afterwards is not.
func TestTokensExpire(t *testing.T) {
	s, addr, calendar := guarded(t, Config{PingInterval: -1})
	dial := func(seconds int64) *conntest.Client {
		return conntest.Dial(t, addr, "/ws?token="+conntest.Token(t, firstSecret, map[string]any{"exp": today.Unix() + seconds}))
	}
	short, long := dial(10), dial(20)
	looks := func() { // all connections have been looked at
		n := s.sweeper.swept.Load()
		eventually(t, "the sweeper has come by", func() bool { return s.sweeper.swept.Load() >= n+20 })
	}
	calendar.pass(10*time.Second - 1)
	looks()
	short.Text("a")
	short.ExpectText("a")
	calendar.pass(1)
	if code := short.Closed(); code != StatusTokenExpired {
		t.Errorf("closed with %d, want 4401", code)
	}
	_ = short.Close()
	eventually(t, "it is counted", func() bool { return ended(s, conn.ReasonTokenExpired) == 1 && s.hub.Len() == 1 })
	next := dial(100) // in the place of short
	looks()
	calendar.pass(10 * time.Second)
	if code := long.Closed(); code != StatusTokenExpired {
		t.Errorf("closed with %d, want 4401", code)
	}
	looks()
	next.Text("b")
	next.ExpectText("b")
	answered(t, ask(t, addr, "?token="+conntest.Token(t, firstSecret, map[string]any{"exp": today.Unix() + 20})), 401, "has expired")
}

// A message goes to those topics of its sender that its token allows; who may send
// none is closed.
func TestTokensOfPublishers(t *testing.T) {
	s, addr, _ := guarded(t, Config{Handler: Chat(), Subprotocols: []string{Control}})
	dial := func(target string, topics []string, pub any, headers ...string) *conntest.Client {
		return conntest.Dial(t, addr, "/ws"+target+"&token="+conntest.Token(t, firstSecret, map[string]any{"exp": today.Unix() + 60, "topics": topics, "pub": pub}), headers...)
	}
	all := []string{"*"}
	a, b := dial("?topic=a", all, nil), dial("?topic=b", all, false)
	sender := dial("?topic=a&topic=b", all, []string{"b*"})
	sender.Text("1")
	b.ExpectText("1")
	sender.ExpectText("1")
	both := dial("?topic=a&topic=b", all, true)
	both.Text("2")
	a.ExpectText("2") // and not the first
	b.ExpectText("2")
	a.Text("3")
	if code := a.Closed(); code != ws.StatusPolicyViolation {
		t.Errorf("closed with %d, want 1008", code)
	}
	_ = a.Close()
	eventually(t, "it is counted", func() bool { return ended(s, conn.ReasonPolicy) == 1 })

	c := dial("?topic=c", []string{"c", "d*"}, []string{"d"}, "Sec-WebSocket-Protocol: "+Control)
	for _, step := range []struct{ op, topic, want string }{
		{"subscribe", "e", "forbidden"}, {"publish", "c", "forbidden"}, {"publish", "d", `"ok"`}, {"subscribe", "d2", `"ok"`},
		{"unsubscribe", "c", `"ok"`}, {"subscribe", "c", `"ok"`},
	} {
		c.Text(fmt.Sprintf(`{"op":%q,"topic":%q,"data":"x","id":1}`, step.op, step.topic))
		if _, answer, err := c.Next(); err != nil || !strings.Contains(string(answer), step.want) {
			t.Errorf("%s %s: %s, %v", step.op, step.topic, answer, err)
		}
	}
}

func TestKeysReloaded(t *testing.T) {
	s, addr, _ := guarded(t, Config{})
	const second = "the second secret, no shorter than the first"
	claims := map[string]any{"exp": today.Unix() + 60}
	c := conntest.Dial(t, addr, "/ws?token="+conntest.Token(t, firstSecret, claims))
	answered(t, ask(t, addr, "?token="+conntest.Token(t, second, claims)), 401, "not valid")
	if err := os.WriteFile(s.config.Auth.Keys, []byte(second), 0o600); err != nil {
		t.Fatal(err)
	}
	s.ReloadKeys()
	eventually(t, "the second is taken", func() bool {
		c := ask(t, addr, "?token="+conntest.Token(t, second, claims))
		defer c.Close()
		return c.Response().StatusCode == 101
	})
	answered(t, ask(t, addr, "?token="+conntest.Token(t, firstSecret, claims)), 401, "not valid")
	c.Text("who is in stays in")
	c.ExpectText("who is in stays in")
}

func TestStartWithoutKeys(t *testing.T) {
	s, _ := prepare(t, Config{Auth: auth.Config{Keys: "/nonexistent/keys"}})
	s.ReloadKeys() // has nothing to do
	if err := s.Start(); err == nil || !strings.Contains(err.Error(), "the keys of tokens: stat /nonexistent/keys") {
		t.Errorf("started without keys: %v", err)
	}
}

// Where nobody is asked, nothing is kept.
func TestNoAuthCostsNothing(t *testing.T) {
	s, _ := prepare(t, Config{})
	addr := run(t, s)
	c := conntest.Dial(t, addr, "/ws?token=x", "Authorization: Bearer x")
	c.Text("a")
	c.ExpectText("a")
	if s.access.grants.pages.Load() != nil || s.access.questions.pages.Load() != nil || s.access.expiry != 0 {
		t.Error("something is kept")
	}
}

// backend is a server of which a back end is asked about clients.
type backend struct {
	*Server
	addr   string
	mu     sync.Mutex
	serve  http.HandlerFunc
	asked  atomic.Int64
	ending atomic.Int64 // questions that were given up
}

func (b *backend) set(serve http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serve = serve
}

func asking(t *testing.T, config Config) *backend {
	t.Helper()
	b := &backend{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		serve := b.serve
		b.mu.Unlock()
		b.asked.Add(1)
		serve(w, r)
	}))
	t.Cleanup(web.Close)
	config.Auth.URL = web.URL
	b.Server, _ = prepare(t, config)
	b.addr = run(t, b.Server)
	return b
}

func saying(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// never answers.
func (b *backend) never(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	b.ending.Add(1)
}

func TestBackend(t *testing.T) {
	b := asking(t, Config{Handler: Chat(), Auth: auth.Config{Timeout: 200 * time.Millisecond}})
	for _, c := range []struct {
		serve  http.HandlerFunc
		target string
		status int
		text   string
	}{
		{saying(200, ""), "", 101, ""},
		{saying(204, ""), "", 101, ""},
		{saying(200, `{"topics":["a"]}`), "?topic=a", 101, ""},
		{saying(200, `{"topics":["a"]}`), "?topic=b", 403, "subscribe"},
		{saying(401, ""), "", 401, "Log in"},
		{saying(403, ""), "", 403, "may not connect"},
		{saying(500, ""), "", 503, "nobody can tell"},
		{saying(302, ""), "", 503, "nobody can tell"},
		{saying(200, "{"), "", 503, "nobody can tell"},
		{b.never, "", 503, "nobody can tell"},
		{saying(200, ""), "", 101, ""},
	} {
		b.set(c.serve)
		answered(t, ask(t, b.addr, c.target), c.status, c.text)
	}
	eventually(t, "they are counted", func() bool {
		return ended(b.Server, conn.ReasonUnauthorized) == 3 && ended(b.Server, conn.ReasonAuthUnavailable) == 4
	})
	if n := b.asked.Load(); n != 11 {
		t.Errorf("asked %d times, want once for each", n)
	}
	b.set(saying(200, `{"pub":["all"]}`))
	c := conntest.Dial(t, b.addr, "/ws")
	c.Text("a")
	c.ExpectText("a")
	b.set(saying(200, `{"pub":["b"]}`))
	c = conntest.Dial(t, b.addr, "/ws")
	c.Text("a")
	if code := c.Closed(); code != ws.StatusPolicyViolation {
		t.Errorf("closed with %d, want 1008", code)
	}
}

// What a client sends along with its request, in whatever pieces, is read when there is an
// answer.
func TestBytesBehindAQuestion(t *testing.T) {
	b := asking(t, Config{})
	for _, step := range []int{1 << 20, 7, 1} {
		release := make(chan struct{})
		b.set(func(http.ResponseWriter, *http.Request) { <-release })
		c := conntest.Connect(t, b.addr)
		n := b.asked.Load()
		for text := append([]byte(at(b.addr, "")), conntest.Frame(true, ws.OpText, "early")...); len(text) > 0; {
			k := min(step, len(text))
			c.Raw(text[:k])
			text = text[k:]
		}
		eventually(t, "it is asked about", func() bool { return b.asked.Load() == n+1 })
		c.Text("later")
		close(release)
		c.Accepted()
		c.ExpectText("early")
		c.ExpectText("later")
		_ = c.Close()
	}
}

// The back end is told of the client, not of the proxy, and limits count it once.
func TestBackendBehindProxy(t *testing.T) {
	b := asking(t, Config{TrustedProxies: []string{"127.0.0.1"}, Limits: Limits{MaxConnsPerIP: 1}})
	told := make(chan string, 1)
	b.set(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header.Get("X-Forwarded-For") })
	for _, c := range []struct {
		before string
		header string
		want   string
	}{
		{"", "X-Forwarded-For: 6.6.6.6, 192.0.2.1", "192.0.2.1"}, {v1, "X-A: b", "192.0.2.1"}, {"", "X-A: b", "127.0.0.1"},
	} {
		client := conntest.Connect(t, b.addr)
		client.Raw([]byte(c.before + at(b.addr, "", c.header)))
		client.Accepted()
		if got := <-told; got != c.want {
			t.Errorf("told of %s, want %s", got, c.want)
		}
		_ = client.Close()
		eventually(t, "it has left", func() bool { return b.hub.Len() == 0 && b.clients.visitors.size() == 0 })
	}
}

// A thousand clients wait for a back end that answers nobody, or are sent away; those who
// are in do not notice. Nothing is left of them.
func TestSlowBackend(t *testing.T) {
	const clients, concurrency, queue = 1000, 4, 100
	b := asking(t, Config{HandshakeTimeout: -1, CloseTimeout: -1, Auth: auth.Config{Concurrency: concurrency, Queue: queue, Timeout: time.Minute}})
	b.set(saying(200, ""))
	inside := conntest.Dial(t, b.addr, "/ws")
	release := make(chan struct{})
	b.set(func(_ http.ResponseWriter, _ *http.Request) { <-release })
	all := make([]*conntest.Client, clients)
	for i := range all {
		all[i] = ask(t, b.addr, "?n="+fmt.Sprint(i))
		if i%100 == 0 {
			inside.Text(fmt.Sprint(i))
			inside.ExpectText(fmt.Sprint(i))
		}
	}
	eventually(t, "the rest is sent away", func() bool {
		st := b.Stats()
		return st.Closing == clients-concurrency-queue && b.asked.Load() == 1+concurrency && b.access.backend.Waiting() == queue
	})
	if n := b.Stats().ReadKept; n > (concurrency+queue)*1024 {
		t.Errorf("%d bytes are kept", n)
	}
	page := conntest.Connect(t, b.addr)
	page.Raw([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if res := page.Response(); res.StatusCode != 404 {
		t.Errorf("GET /: %s", res.Status)
	}
	close(release)
	in := 0
	for _, c := range all {
		switch res := c.Response(); res.StatusCode {
		case 101:
			in++
		case 503:
			if res.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		default:
			t.Errorf("answered %s", res.Status)
		}
		_ = c.Close()
	}
	if in != concurrency+queue {
		t.Errorf("%d came in, want %d", in, concurrency+queue)
	}
	eventually(t, "all have left", func() bool { return b.hub.Len() == 1 })
	grants := 0
	for slot := range uint32(clients + 10) {
		if e := b.access.questions.get(slot); e != nil && *e != nil {
			t.Errorf("a question is left in slot %d", slot)
		}
		if e := b.access.grants.get(slot); e != nil && e.Load() != nil {
			grants++
		}
	}
	if grants != 1 {
		t.Errorf("%d grants are left, want that of the one who is in", grants)
	}
}

// Who waits for the answer of the back end is not one of those who send no request.
func TestFloodSparesThoseWhoAreAskedAbout(t *testing.T) {
	b := asking(t, Config{Limits: Limits{MaxHandshakes: 20}, HandshakeTimeout: -1, Auth: auth.Config{Timeout: time.Minute}})
	release := make(chan struct{})
	b.set(func(http.ResponseWriter, *http.Request) { <-release })
	waits := ask(t, b.addr, "")
	eventually(t, "it is asked about", func() bool { return b.asked.Load() == 1 })
	for range 30 {
		conntest.Connect(t, b.addr)
	}
	eventually(t, "the flood is there", func() bool {
		return ended(b.Server, conn.ReasonHandshakeFlood) > 0 && b.group.Stats.Handshaking.Load() <= 20
	})
	close(release)
	answered(t, waits, http.StatusSwitchingProtocols, "")
}

// only is the one connection there is.
func (b *backend) only() (c *conn.Conn) {
	b.hub.Each(func(is *conn.Conn) { c = is })
	return c
}

// A connection ends while it is asked about: the question is given up, and whoever has its
// place next gets an answer of its own.
func TestConnectionEndsDuringAQuestion(t *testing.T) {
	b := asking(t, Config{Handler: Chat(), Shards: 1, HandshakeTimeout: 50 * time.Millisecond, Auth: auth.Config{Timeout: time.Minute}})
	b.set(b.never)
	first := ask(t, b.addr, "")
	if n, err := first.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes, want the end", n)
	}
	eventually(t, "the question is given up", func() bool {
		return ended(b.Server, conn.ReasonHandshakeTimeout) == 1 && b.ending.Load() == 1 && b.hub.Len() == 0
	})
	b.set(saying(403, ""))
	answered(t, ask(t, b.addr, ""), 403, "may not connect")
	eventually(t, "it has left", func() bool { return b.hub.Len() == 0 })
	b.set(saying(200, `{"pub":true}`))
	allowed := conntest.Dial(t, b.addr, "/ws")
	slot := b.only().Slot()
	_ = allowed.Close()
	eventually(t, "it has left", func() bool { return b.hub.Len() == 0 })
	b.set(saying(200, ""))
	last := conntest.Dial(t, b.addr, "/ws")
	if got := b.only().Slot(); got != slot {
		t.Errorf("slot %d is not used again, but %d", slot, got)
	}
	last.Text("with the rights of another")
	if code := last.Closed(); code != ws.StatusPolicyViolation {
		t.Errorf("closed with %d, want 1008", code)
	}
}

// Nobody is asked about a client that has left.
func TestClientLeavesDuringAQuestion(t *testing.T) {
	b := asking(t, Config{HandshakeTimeout: -1, Auth: auth.Config{Concurrency: 1, Timeout: time.Minute}})
	b.set(b.never)
	var all []*conntest.Client
	for range 10 {
		all = append(all, ask(t, b.addr, ""))
	}
	eventually(t, "all are asked about", func() bool { return b.asked.Load() == 1 && b.access.backend.Waiting() == 9 })
	for _, c := range all[1:] {
		_ = c.Close()
	}
	eventually(t, "they have left", func() bool { return ended(b.Server, conn.ReasonHandshakeAbandoned) == 9 })
	_ = all[0].Close()
	eventually(t, "nobody waits", func() bool { return b.hub.Len() == 0 && b.access.backend.Waiting() == 0 && b.ending.Load() == 1 })
	if n := b.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// A server that stops waits for no answer.
func TestStopDuringAQuestion(t *testing.T) {
	for name, stop := range map[string]func(*Server) error{
		"close":    (*Server).Close,
		"shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
	} {
		b := asking(t, Config{HandshakeTimeout: -1, Auth: auth.Config{Concurrency: 1, Timeout: time.Minute}})
		b.set(b.never)
		first, second := ask(t, b.addr, ""), ask(t, b.addr, "")
		eventually(t, "both are asked about", func() bool { return b.asked.Load() == 1 && b.access.backend.Waiting() == 1 })
		if err := stop(b.Server); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, c := range []*conntest.Client{first, second} {
			if n, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: %d bytes, want the end", name, n)
			}
		}
		if n := ended(b.Server, conn.ReasonShutdown); n != 2 {
			t.Errorf("%s: %d ended", name, n)
		}
	}
}

// Beyond MaxConns nobody is asked about.
func TestNobodyIsAskedAboutWhenFull(t *testing.T) {
	b := asking(t, Config{Limits: Limits{MaxConns: 1}})
	b.set(saying(200, ""))
	conntest.Dial(t, b.addr, "/ws")
	turnedAway(t, ask(t, b.addr, ""), 503)
	if n := b.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// graspers remembers connections, and what they may do at their end.
type graspers struct {
	server atomic.Pointer[Server]
	opened chan *conn.Conn
	closed chan *auth.Grant
}

func (g *graspers) OnOpen(c *conn.Conn, _ *handshake.Request) { g.opened <- c }

func (*graspers) OnMessage(*conn.Conn, frame.Opcode, []byte) {}

func (g *graspers) OnClose(c *conn.Conn, _ conn.CloseInfo) { g.closed <- g.server.Load().Grant(c) }

// Who has ended may do nothing, whoever has its slot now.
func TestGrantEndsWithItsConnection(t *testing.T) {
	h := &graspers{opened: make(chan *conn.Conn, 1), closed: make(chan *auth.Grant, 1)}
	s, addr, _ := guarded(t, Config{Handler: h, Shards: 1})
	h.server.Store(s)
	come := func(sub string) (*conntest.Client, *conn.Conn) {
		cl := ask(t, addr, "?token="+conntest.Token(t, firstSecret, map[string]any{"sub": sub, "exp": today.Unix() + 60, "pub": true}))
		answered(t, cl, http.StatusSwitchingProtocols, "")
		return cl, <-h.opened
	}
	first, a := come("a")
	if g := s.Grant(a); g.Subject != "a" || !g.MayPublish("x") || !g.MaySubscribe("all") {
		t.Errorf("%+v", g)
	}
	_ = first.Close()
	if g := <-h.closed; g != auth.Nothing {
		t.Errorf("in OnClose: %+v", g)
	}
	second, b := come("b")
	if a.Slot() != b.Slot() {
		t.Fatalf("slots %d and %d: this tests nothing", a.Slot(), b.Slot())
	}
	if g := s.Grant(a); g != auth.Nothing || g.MayPublish("x") || g.MaySubscribe("all") {
		t.Errorf("behind the end: %+v", g)
	}
	if g := s.Grant(b); g.Subject != "b" {
		t.Errorf("%+v", g)
	}
	_ = second.Close()
	<-h.closed
}
