//go:build linux

package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/server"
)

func TestMain(m *testing.M) {
	if os.Getenv(activatedEnv) != "" {
		os.Exit(activated())
	}
	if os.Getenv(commandEnv) != "" {
		main()
	}
	conntest.Main(m)
}

// command is a run of the command inside the test.
type command struct {
	addr    string
	first   string // the line of the log that names the address
	signals chan os.Signal
	code    chan int
	log     chan string // lines of the log after the first
}

// execute runs the command on a free port, without an admin listener unless args say
// where, and waits until it listens.
func execute(t *testing.T, args ...string) *command {
	t.Helper()
	return executeOn(t, "127.0.0.1:0", args...)
}

// executeOn is execute for an address of any kind, the first that is listened on.
func executeOn(t *testing.T, listen string, args ...string) *command {
	t.Helper()
	r, w := io.Pipe()
	c := &command{signals: make(chan os.Signal, 2), code: make(chan int, 1), log: make(chan string, 1000)}
	go func() {
		code := run(append([]string{"--listen", listen, "--admin="}, args...), io.Discard, w, c.signals)
		_ = w.Close()
		c.code <- code
	}()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if m := regexp.MustCompile(`(?:http://|(?:url="))((?:[0-9.:]+|unix:[^ ]+))`).FindStringSubmatch(lines.Text()); m != nil {
			c.addr, c.first = m[1], lines.Text()
			break
		}
	}
	if c.addr == "" {
		t.Fatalf("the command ended with %d before it listened", <-c.code)
	}
	go func() {
		defer close(c.log)
		for lines.Scan() {
			c.log <- lines.Text()
		}
	}()
	return c
}

// rest returns the log once the command has ended.
func (c *command) rest() string {
	var all strings.Builder
	for line := range c.log {
		all.WriteString(line + "\n")
	}
	return all.String()
}

func TestServesUntilASignal(t *testing.T) {
	c := execute(t)
	client := conntest.Dial(t, c.addr, "/ws")
	client.Text("hello")
	client.ExpectText("hello")
	c.signals <- syscall.SIGTERM
	if code := client.Closed(); code != ws.StatusGoingAway {
		t.Errorf("closed with %d, want 1001", code)
	}
	_ = client.Close()
	if code := <-c.code; code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
	if log := c.rest(); !strings.Contains(log, "ended.shutdown=1") {
		t.Errorf("the log does not say why the client was closed:\n%s", log)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	c := execute(t, "--shutdown-timeout", "1h", "--close-timeout", "1h")
	client := conntest.Dial(t, c.addr, "/ws")
	c.signals <- syscall.SIGINT
	if _, _, err := client.Next(); err != nil { // the close frame, which it does not answer
		t.Fatal(err)
	}
	c.signals <- syscall.SIGINT
	if code := <-c.code; code != exitFailure {
		t.Errorf("exit code %d, want 1: not every client had answered", code)
	}
	c.rest()
}

func TestStaticFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.txt"), []byte("from a folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := execute(t, "--static", dir, "--path", "/socket", "--handler", "echo")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + c.addr + "/hello.txt")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || string(body) != "from a folder" {
		t.Errorf("got %q, %v", body, err)
	}
	conntest.Dial(t, c.addr, "/socket")
	c.signals <- syscall.SIGTERM
	c.signals <- syscall.SIGTERM
	<-c.code
	c.rest()
}

func TestBadFlagsAreReportedTogether(t *testing.T) {
	t.Setenv("ROOST_PING_INTERVAL", "soon")
	var stderr strings.Builder
	code := run([]string{"--workers=x", "--handler=talk", "--max-message=-3", "--slow-consumer=wait", "--path=ws", "--compress=maybe", "--compress-min=-1", "--compress-level=10",
		"--static=/no/such/folder", "--listen=nowhere", "--log-level=loud", "--origins=a b",
		"--trusted-proxies=nobody", "--max-memory=1KiB", "--accept-rate=2000000", "--max-conns-per-ip=some", "--message-rate=1s",
		"--max-handshakes=-1", "--accept-rate-per-ip=x", "--write-queue-total=1KiB", "--read-buffer-total=much", "--tcp-user-timeout=1ms",
		"--tls-min=1.1", "--tls-cert=a.pem", "--tls-handshakes=x", "--drain-time=25h", "--drain-delay=later", "--drain-code=1005", "--listen=unix:"}, io.Discard, &stderr, nil)
	if code != exitUsage {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, part := range []string{
		"--ping-interval: \"soon\" is not a time",
		"--workers: \"x\" is not a count",
		"--handler: \"talk\" is unknown; want chat, echo, push",
		"--max-message: \"-3\" is not a size",
		"write queue total: 1024", "--read-buffer-total: \"much\" is not a size", "TCP user timeout: 1ms",
		"trusted proxy \"nobody\"", "max memory: 1024", "accept rate: 2000000", "--max-conns-per-ip: \"some\"", "--message-rate: \"1s\"",
		"--max-handshakes: \"-1\"", "--accept-rate-per-ip: \"x\"", "--slow-consumer: \"wait\" is unknown; want close, drop, conflate", "path",
		"--compress: \"maybe\" is unknown; want off, on", "--compress-min: \"-1\" is not a size", "compression level 10 is out of range; want 1 to 9", "--static", "--log-level", "origin", "nowhere",
		"--tls-min: \"1.1\" is unknown; want 1.2, 1.3", "--tls-cert names 1 files and --tls-key 0", "--tls-handshakes: \"x\"", "drain time: 25h", "--drain-delay: \"later\"", "status 1005", "\"unix:\"",
	} {
		if !strings.Contains(stderr.String(), part) {
			t.Errorf("not reported: %s", part)
		}
	}
	if t.Failed() {
		t.Log(stderr.String())
	}
}

// A command line that cannot be read is answered with what it may have meant, and where
// to look.
func TestUnknownWords(t *testing.T) {
	for args, want := range map[string]string{
		"--wrokers=3":         "roost: unknown flag --wrokers, did you mean \"--workers\"?\nroost: run 'roost -h'",
		"pubish x":            "roost: \"pubish\" is no command; the nearest is publish\nroost: run 'roost -h'",
		"publish --tpoic=a x": "roost: unknown flag --tpoic, did you mean \"--topic\"?\nroost: run 'roost publish -h' for its flags\n",
		"publish --wait=2 x":  "want a number with a unit, as in 500ms, 30s or 5m\nroost: run 'roost publish -h' for its flags\n",
		"serve x":             "roost: unexpected argument x\nroost: run 'roost -h'",
		"--compress":          "roost: --compress: want a value, got none\n",
		"--static --path /x":  "roost: --static: want a value, got \"--path\"; perhaps try --static=\"--path\"?\n",
		"--max-topics -1":     "roost: --max-topics: want a value, got \"-1\"; perhaps try --max-topics=\"-1\"?\n",
	} {
		var stderr strings.Builder
		if code := run(strings.Fields(args), io.Discard, &stderr, nil); code != exitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d, %s", args, code, stderr.String())
		}
	}
}

func TestPortInUse(t *testing.T) {
	c := execute(t)
	var stderr strings.Builder
	if code := run([]string{"--listen", c.addr}, io.Discard, &stderr, nil); code != exitFailure {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.Contains(stderr.String(), "--listen") {
		t.Errorf("no remedy: %s", stderr.String())
	}
	c.signals <- syscall.SIGTERM
	<-c.code
	c.rest()
}

// TestHelp holds the flags to their promises: a unit or a set of values, a
// default where there is one, and the meaning of 0 for every number.
func TestHelp(t *testing.T) {
	var out strings.Builder
	if code := run([]string{"--help"}, &out, io.Discard, nil); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	help := strings.Join(strings.Fields(out.String()), " ")
	if strings.ContainsAny(help, "“”") {
		t.Error("two quotation marks in a help text have become a typographic one") // go/doc.ToText does that
	}
	for _, name := range []string{"listen", "path", "handler", "static", "max-conns", "max-conns-per-ip",
		"accept-rate", "accept-rate-per-ip", "message-rate", "max-handshakes", "max-memory", "trusted-proxies", "reactors", "workers",
		"read-buffer", "max-message", "write-queue-frames", "write-queue-bytes", "write-queue-total",
		"read-buffer-total", "compress", "compress-min", "compress-level", "slow-consumer", "ping-interval", "idle-timeout", "handshake-timeout", "close-timeout",
		"tcp-user-timeout", "drain-delay", "drain-time", "drain-code", "shutdown-timeout", "origins", "subprotocols", "tls-cert", "tls-key", "tls-min", "tls-client-ca", "tls-handshakes", "admin", "admin-token", "publish-token", "publish-max", "publish-window",
		"cluster", "cluster-name", "cluster-creds", "cluster-tls-ca", "cluster-tls-cert", "cluster-tls-key", "cluster-queue-bytes", "log-level", "log-format"} {
		from := strings.Index(help, "--"+name+"=")
		if from < 0 {
			t.Errorf("--%s is missing", name)
			continue
		}
		env := "[ROOST_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "]"
		to := strings.Index(help[from:], env)
		if to < 0 {
			t.Errorf("--%s does not name %s", name, env)
			continue
		}
		about := help[from : from+to]
		number := strings.Contains(about, "=N ") || strings.Contains(about, "=BYTES ") || strings.Contains(about, "=TIME ")
		if number && !strings.Contains(about, "0 means") {
			t.Errorf("--%s does not say what 0 means: %s", name, about)
		}
		if number && !strings.Contains(about, "Default") {
			t.Errorf("--%s does not say its default: %s", name, about)
		}
	}
}

func TestTLSFlags(t *testing.T) {
	line, err := parse([]string{"--listen", "tls::8443", "--tls-cert", "a.pem,b.pem", "--tls-key", "a.key", "--tls-key", "b.key",
		"--tls-min", "1.3", "--tls-client-ca", "ca.pem", "--tls-handshakes", "7"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := server.TLS{
		Certs:      []server.KeyPair{{Cert: "a.pem", Key: "a.key"}, {Cert: "b.pem", Key: "b.key"}},
		MinVersion: tls.VersionTLS13, ClientCA: "ca.pem", Handshakes: 7,
	}
	if got := line.Serve.config().TLS; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSlowConsumerPolicies(t *testing.T) {
	for value, want := range map[string]conn.SlowConsumer{"close": conn.Disconnect, "drop": conn.Drop, "conflate": conn.Conflate} {
		line, err := parse([]string{"--slow-consumer", value}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got := line.Serve.config().SlowConsumer; got != want {
			t.Errorf("%s is policy %d, want %d", value, got, want)
		}
	}
}

func TestCompressFlags(t *testing.T) {
	for _, c := range []struct {
		args       []string
		on         bool
		min, level int
	}{
		{nil, false, 128, 1},
		{[]string{"--compress=on"}, true, 128, 1},
		{[]string{"--compress=on", "--compress-min=1KiB", "--compress-level=6"}, true, 1024, 6},
		{[]string{"--compress=on", "--compress-min=0", "--compress-level=0"}, true, -1, 1},
	} {
		line, err := parse(c.args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		srv, err := server.New(line.Serve.config())
		if err != nil {
			t.Fatal(err)
		}
		if got := srv.Settings(); got.Compress != c.on || got.CompressMin != c.min || got.CompressLevel != c.level {
			t.Errorf("%v: %v, %d, %d", c.args, got.Compress, got.CompressMin, got.CompressLevel)
		}
	}
}

// TestDefaultsAgree compares the defaults of the flags with those of the package.
func TestDefaultsAgree(t *testing.T) {
	line, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	a, err := server.New(line.Serve.config())
	if err != nil {
		t.Fatal(err)
	}
	b, err := server.New(server.Config{Listen: []string{":8000"}, Handler: server.Chat()})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a.Settings(), b.Settings()) {
		t.Errorf("flags:   %+v\npackage: %+v", a.Settings(), b.Settings())
	}
}

// TestLimitsOfTheCommand sees each flag arrive where it is meant to.
func TestLimitsOfTheCommand(t *testing.T) {
	line, err := parse([]string{"--max-conns=1", "--max-conns-per-ip=2", "--accept-rate=3", "--accept-rate-per-ip=4", "--message-rate=5",
		"--max-handshakes=0", "--max-memory=1GiB", "--origins=https://a.example", "--trusted-proxies=10.0.0.0/8,unix"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(line.Serve.config())
	if err != nil {
		t.Fatal(err)
	}
	got := srv.Settings()
	want := server.Limits{MaxConns: 1, MaxConnsPerIP: 2, AcceptRate: 3, AcceptRatePerIP: 4, MessageRate: 5, MaxHandshakes: -1,
		MaxMemory: 1 << 30, Origins: []string{"https://a.example"}}
	if !reflect.DeepEqual(got.Limits, want) || !slices.Equal(got.TrustedProxies, []string{"10.0.0.0/8", "unix"}) {
		t.Errorf("%+v", got)
	}
}

// TestMaxMemoryLimitsGo gives Go 90 % of --max-memory, unless the environment says otherwise.
func TestMaxMemoryLimitsGo(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	limited := &flags{MaxMemory: size{lenient: lenient[int64]{n: 1 << 30}}}
	for _, c := range []struct {
		env  string
		f    *flags
		want int64
	}{
		{"", &flags{}, before},
		{"500MiB", limited, before},
		{"", limited, 1 << 30 / 10 * 9},
	} {
		t.Setenv("GOMEMLIMIT", c.env)
		c.f.limitMemory()
		if got := debug.SetMemoryLimit(-1); got != c.want {
			t.Errorf("GOMEMLIMIT=%s and %d: %d, want %d", c.env, c.f.MaxMemory.n, got, c.want)
		}
	}
}

// TestLongestMessage depends on the handler unless it is given.
func TestLongestMessage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int64
	}{
		{nil, 1 << 20},
		{[]string{"--handler=echo"}, 16 << 20},
		{[]string{"--handler=echo", "--max-message=2MiB"}, 2 << 20},
		{[]string{"--handler=echo", "--max-message=0"}, -1},
	} {
		f, err := parse(c.args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Serve.config().MaxMessage; got != c.want {
			t.Errorf("%v: %d bytes, want %d", c.args, got, c.want)
		}
	}
}
