//go:build linux

package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"roost/conn/conntest"
	"roost/conn/server"
)

// adminOf is where the log says that the dashboard is.
func (c *command) adminOf(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`admin=(\S+)`).FindStringSubmatch(c.first)
	if m == nil {
		t.Fatalf("the log does not name the admin listener: %s", c.first)
	}
	return m[1]
}

// fetch asks the admin listener for path; a token is optional.
func fetch(t *testing.T, url, bearer string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: conntest.Patience}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestAdminListener(t *testing.T) {
	c := execute(t, "--admin", "127.0.0.1:0")
	url := c.adminOf(t)
	client := conntest.Dial(t, c.addr, "/ws")
	client.Text("hello")
	client.ExpectText("hello")
	if _, body := fetch(t, url+"metrics", ""); !strings.Contains(body, "\nroost_connections 1\n") || !strings.Contains(body, "\nroost_messages_received_total 1\n") ||
		!strings.Contains(body, `version="`+thisBuild().Version+`"`) {
		t.Errorf("metrics: %s", body)
	}
	if code, body := fetch(t, url, ""); code != http.StatusOK || !strings.Contains(body, "dashboard") {
		t.Errorf("the dashboard: %d %s", code, body)
	}
	// It stays until the last client has gone.
	c.signals <- os.Interrupt
	if _, _, err := client.Next(); err != nil { // the close frame, which it does not answer yet
		t.Fatal(err)
	}
	if code, body := fetch(t, url+"readyz", ""); code != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
		t.Errorf("while it drains: %d %s", code, body)
	}
	_ = client.Close()
	if code := <-c.code; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	c.rest()
	if conn, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(url, "http://"), "/")); err == nil {
		_ = conn.Close()
		t.Error("it still listens after the end")
	}
}

func TestAdminIsOff(t *testing.T) {
	c := execute(t)
	if at := c.adminOf(t); at != "off" {
		t.Errorf("it is at %s", at)
	}
	c.end(t)
}

func TestAdminOnUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin")
	c := execute(t, "--admin", "unix:"+path)
	if at := c.adminOf(t); at != "unix:"+path {
		t.Errorf("it is at %s", at)
	}
	var out strings.Builder
	if code := run([]string{"health", "--ready", "--admin", "unix:" + path}, &out, io.Discard, nil); code != exitOK || out.String() != "ready\n" {
		t.Errorf("roost health: exit code %d, %q", code, out.String())
	}
	c.end(t)
}

// A port that was asked for and is taken is an error with a remedy; the default one is not.
func TestAdminPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var stderr strings.Builder
	if code := run([]string{"--listen", "127.0.0.1:0", "--admin", taken.Addr().String()}, io.Discard, &stderr, nil); code != exitFailure ||
		!strings.Contains(stderr.String(), "choose another address with --admin") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}

	line, err := parse([]string{"--admin", taken.Addr().String()}, io.Discard)
	if err != nil || !line.Serve.asked {
		t.Fatalf("asked: %v, %v", line.Serve.asked, err)
	}
	if line, err := parse(nil, io.Discard); err != nil || line.Serve.asked || line.Serve.Admin != "127.0.0.1:8001" {
		t.Fatalf("by default: %+v, %v", line.Serve.adminFlags, err)
	}
	t.Setenv("ROOST_ADMIN", "127.0.0.1:8001")
	if line, err := parse(nil, io.Discard); err != nil || !line.Serve.asked {
		t.Fatalf("in the environment: %v, %v", line.Serve.asked, err)
	}
}

// Old and new process may have the same settings: the new one has the admin listener
// when the old one has gone.
func TestAdminFollowsWithReusePort(t *testing.T) {
	first := execute(t, "--reuseport", "--admin", "127.0.0.1:0")
	url := first.adminOf(t)
	addr := strings.Trim(strings.TrimPrefix(url, "http://"), "/")
	second := execute(t, "--reuseport", "--admin", addr)
	if at := second.adminOf(t); at != "waiting" {
		t.Errorf("the second is at %s", at)
	}
	first.end(t)
	for line := range second.log {
		if strings.Contains(line, "the admin listener is open") {
			break
		}
	}
	if code, body := fetch(t, url+"readyz", ""); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	second.end(t)
}

// Without being asked for, a taken address is waited for: it may be that of the
// process that this one replaces.
func TestAdminWaitsForItsDefault(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := adminFlags{Admin: taken.Addr().String()}
	lines := newLogLines()
	d, srv := openDesk(t, &f, lines)
	if at := d.url(); at != "waiting" {
		t.Errorf("it is at %s", at)
	}
	if line := <-lines.all; !strings.Contains(line, "level=WARN") || !strings.Contains(line, f.Admin) || !strings.Contains(line, "remedy=") {
		t.Errorf("the log says %q", line)
	}
	_ = taken.Close()
	if line := <-lines.all; !strings.Contains(line, "the admin listener is open") {
		t.Errorf("the log says %q", line)
	}
	if code, _ := fetch(t, d.url()+"healthz", ""); code != http.StatusOK {
		t.Errorf("status %d", code)
	}
	d.close()
	_ = srv.Close()

	// The end does not wait for an address.
	taken, err = net.Listen("tcp", f.Admin)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	d, srv = openDesk(t, &f, lines)
	<-lines.all
	d.close()
	_ = srv.Close()
}

// logLines is a log whose lines can be waited for.
type logLines struct{ all chan string }

func newLogLines() logLines { return logLines{make(chan string, 100)} }

func (l logLines) Write(line []byte) (int, error) {
	l.all <- string(line)
	return len(line), nil
}

// openDesk starts a server and its desk as serve does.
func openDesk(t *testing.T, f *adminFlags, log io.Writer) (*desk, *server.Server) {
	t.Helper()
	config := server.Config{Listen: []string{"127.0.0.1:0"}, Handler: server.Echo(), Log: slog.New(slog.DiscardHandler)}
	d := newDesk(f, &config)
	srv, err := server.New(config)
	if err == nil {
		err = srv.Start()
	}
	if err == nil {
		err = d.open(f, true, slog.New(slog.NewTextHandler(log, nil)), srv)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d, srv
}

func TestAdminFaults(t *testing.T) {
	const secret = "tooshort"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--admin=nowhere"}, `--admin: "nowhere" is no address`},
		{[]string{"--admin=unix:"}, "--admin: "},
		{[]string{"--admin=:8001"}, "--admin-token: an address that other machines can reach needs a token"},
		{[]string{"--admin=:8001", "--admin-token=" + secret}, "--admin-token: the token is too short"},
		{[]string{"--admin-token=" + secret}, "--admin-token: the token is too short"},
	} {
		var stderr strings.Builder
		if code := run(c.args, io.Discard, &stderr, nil); code != exitUsage || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%v: exit code %d, %s", c.args, code, stderr.String())
		}
		if strings.Contains(stderr.String(), secret) {
			t.Errorf("the token is told: %s", stderr.String())
		}
	}
}

// The token comes from the environment or the file, can be changed by SIGHUP, and is
// never written down.
func TestAdminToken(t *testing.T) {
	const one, other = "a token of enough letters", "the token that comes after it"
	file := writeConfig(t, "admin-token: "+one, "log-level: debug")
	c := execute(t, "--config", file, "--admin", "127.0.0.1:0")
	metrics := c.adminOf(t) + "metrics"
	log := c.first
	if none, _ := fetch(t, metrics, ""); none != http.StatusUnauthorized {
		t.Errorf("without it: %d", none)
	}
	if code, _ := fetch(t, metrics, one); code != http.StatusOK {
		t.Errorf("with it: %d", code)
	}
	rewrite(t, file, "admin-token: short\nlog-level: debug\n")
	log += c.hangUp(t)
	if code, _ := fetch(t, metrics, one); code != http.StatusOK {
		t.Errorf("after a change that was refused: %d", code)
	}
	rewrite(t, file, "admin-token: "+other+"\nlog-level: debug\n")
	log += c.hangUp(t)
	if before, _ := fetch(t, metrics, one); before != http.StatusUnauthorized {
		t.Errorf("the old one after a change: %d", before)
	}
	if after, _ := fetch(t, metrics, other); after != http.StatusOK {
		t.Errorf("the new one: %d", after)
	}
	log += c.end(t)
	for _, secret := range []string{one, other, "short"} {
		if strings.Contains(strings.ReplaceAll(log, "too short", ""), secret) {
			t.Errorf("%q is in the log:\n%s", secret, log)
		}
	}
	t.Setenv("ROOST_ADMIN_TOKEN", one)
	var out strings.Builder
	if code := run([]string{"config"}, &out, &out, nil); code != exitOK || strings.Contains(out.String(), one) || !strings.Contains(out.String(), "admin-token") {
		t.Errorf("roost config: %d\n%s", code, out.String())
	}
}
