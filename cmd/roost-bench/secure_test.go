package main

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// serveSecureEcho echoes behind TLS on a loopback port until the test ends, messages as
// compressed as they came. ca vouches for it.
func serveSecureEcho(t *testing.T) (url, ca string) {
	t.Helper()
	certified := httptest.NewTLSServer(nil)
	certified.Close()
	ca = filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", certified.TLS)
	if err != nil {
		t.Fatal(err)
	}
	serveEach(t, l, echoCompressed)
	return "wss://" + l.Addr().String() + "/", ca
}

func echoCompressed(c net.Conn) {
	defer c.Close()
	e := wsflate.Extension{Parameters: wsflate.Parameters{ServerNoContextTakeover: true, ClientNoContextTakeover: true}}
	if _, err := (ws.Upgrader{Negotiate: e.Negotiate}).Upgrade(c); err != nil {
		return
	}
	for {
		frame, err := ws.ReadFrame(c)
		if err != nil || ws.WriteFrame(c, ws.UnmaskFrame(frame)) != nil || frame.Header.OpCode == ws.OpClose {
			return
		}
	}
}

// TestSecure passes the flags on to several processes, and wants what was agreed on in
// the report and among the conditions of the recording.
func TestSecure(t *testing.T) {
	url, ca := serveSecureEcho(t)
	template := `{"stamp":"{{stamp}}","text":"` + strings.Repeat("again and ", 20) + `"}`
	dir := t.TempDir()
	for _, procs := range []string{"1", "2"} {
		code, stdout, stderr := runIn(t, dir, echoArgs(url, "--procs", procs, "--ca", ca, "--compress", "--message", template,
			"--assert", "compressed==1", "--assert", "wire_share<0.6", "--assert", "tls_resumed==0")...)
		for _, want := range []string{"TLS 1.3, ", ": 5 handshakes, 0 resumed", "agreed on in 5 of 5 handshakes", "received: 50 of 50 messages"} {
			if !strings.Contains(strings.Join(strings.Fields(stdout), " "), want) {
				t.Errorf("%s processes: %q is not in:\n%s", procs, want, stdout)
			}
		}
		if code != exitPassed || stderr != "" {
			t.Errorf("%s processes: exit code %d, stderr %s", procs, code, stderr)
		}
	}
}

// TestSecureFlags looks at each flag's effect and its bad values.
func TestSecureFlags(t *testing.T) {
	url, ca := serveSecureEcho(t)
	for name, test := range map[string]struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		"untrusted":          {nil, exitLost, "--tls-insecure", ""},
		"insecure":           {[]string{"--tls-insecure"}, exitPassed, "result passed", ""},
		"older version":      {[]string{"--ca", ca, "--tls-max", "1.2"}, exitPassed, "TLS 1.2, ", ""},
		"resume":             {[]string{"--ca", ca, "--tls-resume", "--handshakes", "1", "--tls-max", "1.2"}, exitPassed, "5 handshakes, 4 resumed", ""},
		"no such version":    {[]string{"--tls-max", "1.1"}, exitUsage, "", `newest TLS version: "1.1", want 1.2 or 1.3`},
		"no such file":       {[]string{"--ca", ca + ".not"}, exitUsage, "", "CA: open "},
		"both ways to trust": {[]string{"--ca", ca, "--tls-insecure"}, exitUsage, "", "want one of them"},
	} {
		code, stdout, stderr := runArgs(t, echoArgs(url, test.args...)...)
		if code != test.code || !strings.Contains(strings.Join(strings.Fields(stdout), " "), test.stdout) || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s: exit code %d, want %d\nstdout: %s\nstderr: %s", name, code, test.code, stdout, stderr)
		}
	}
	if code, _, stderr := runArgs(t, echoArgs(strings.Replace(url, "wss:", "WSS:", 1), "--ca", ca)...); code != exitPassed {
		t.Errorf("a scheme in capitals: exit code %d, stderr %s", code, stderr)
	}
	plain := strings.Replace(url, "wss:", "ws:", 1)
	if code, _, stderr := runArgs(t, echoArgs(plain, "--ca", ca)...); code != exitUsage || !strings.Contains(stderr, "no url is wss://") {
		t.Errorf("settings for TLS without TLS: exit code %d, stderr %s", code, stderr)
	}
}
