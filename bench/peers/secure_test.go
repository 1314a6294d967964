//go:build linux

package peers_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// offered is what roost-bench offers.
const offered = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"

// secure checks TLS and permessage-deflate of the servers that have them.
func secure(t *testing.T, bin string) {
	t.Parallel()
	flags, roots := certificate(t)
	for _, name := range []string{"gorilla", "coder", "gws", "nbio"} {
		path := filepath.Join(bin, name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("tls", func(t *testing.T) {
				s := start(t, path, flags...)
				for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
					s.tls = &tls.Config{ServerName: "127.0.0.1", RootCAs: roots, MinVersion: version, MaxVersion: version}
					t.Run(tls.VersionName(version), func(t *testing.T) {
						t.Run("echo", s.echo)
						t.Run("broadcast", s.broadcast)
						t.Run("close", s.close)
					})
				}
				s.stop(t)
			})
			t.Run("deflate", func(t *testing.T) {
				s := start(t, path, "-compress")
				t.Run("not offered", s.echo)
				t.Run("echo", s.deflatedEcho)
				t.Run("broadcast", s.deflatedBroadcast)
				s.stop(t)
			})
			t.Run("both", func(t *testing.T) {
				s := start(t, path, slices.Concat(flags, []string{"-compress"})...)
				s.tls = &tls.Config{ServerName: "127.0.0.1", RootCAs: roots}
				t.Run("echo", s.deflatedEcho)
				t.Run("broadcast", s.deflatedBroadcast)
				s.stop(t)
			})
		})
	}
}

// certificate makes one as scripts/compare-peers.sh does. It returns the flags
// of a server and what its clients trust.
func certificate(t *testing.T) (flags []string, roots *x509.CertPool) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal("go env GOROOT:", err)
	}
	dir := t.TempDir()
	generate := exec.Command("go", "run", filepath.Join(strings.TrimSpace(string(root)), "src/crypto/tls/generate_cert.go"), "--host", "127.0.0.1", "--ecdsa-curve", "P256", "--ca")
	generate.Dir = dir
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("generate_cert.go: %v\n%s", err, out)
	}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %q", pem)
	}
	return []string{"-tls-cert", cert, "-tls-key", key}, roots
}

// json is n lines of JSON of about 1,000 bytes, all different.
func json(n int) (lines [][]byte) {
	for i := range n {
		line := fmt.Appendf(nil, `{"id":%d,"members":[`, i)
		for k := range 20 {
			line = fmt.Appendf(line, `{"name":"member %d","score":%d,"online":true},`, i*k, 1000*i+k)
		}
		lines = append(lines, append(line, "{}]}"...))
	}
	return lines
}

// deflatedEcho sends compressed and plain messages to a connection that may compress.
func (s *server) deflatedEcho(t *testing.T) {
	c := s.dialAs(t, "/echo", offered)
	for i, line := range json(3) {
		if i == 1 {
			c.send(ws.OpText, line) // compressing is the sender's choice
		} else {
			c.write(c.deflated(line))
		}
		c.wantDeflated(line)
	}
	// Each is compressed by itself: two in one go are understood and come back alike.
	again := json(1)[0]
	c.write(append(c.deflated(again), c.deflated(again)...))
	c.wantDeflated(again)
	c.wantDeflated(again)
}

// deflatedBroadcast has members with and without compression in one room.
func (s *server) deflatedBroadcast(t *testing.T) {
	deflates := []bool{true, false, true}
	var members []*client
	for i, hello := range json(len(deflates)) {
		offer := ""
		if deflates[i] {
			offer = offered
		}
		members = append(members, s.dialAs(t, "/ws", offer))
		members[i].send(ws.OpText, hello)
		// Whoever has a message of its own back has joined. Those before it get it too.
		for k, c := range members {
			c.wantAs(deflates[k], hello)
		}
	}
	lines := json(50)
	for _, line := range lines {
		members[0].write(members[0].deflated(line))
	}
	for _, line := range lines {
		for k, c := range members {
			c.wantAs(deflates[k], line)
		}
	}
}

func (s *server) dialAs(t *testing.T, path, offer string) *client {
	t.Helper()
	other := *s
	other.offer = offer
	return other.dial(t, path)
}

// deflated is a compressed frame of a client.
func (c *client) deflated(payload []byte) []byte {
	c.t.Helper()
	frame, err := wsflate.CompressFrame(ws.NewTextFrame(payload))
	if err != nil {
		c.t.Fatal(err)
	}
	return ws.MustCompileFrame(ws.MaskFrameWith(frame, c.s.mask))
}

func (c *client) wantAs(deflated bool, payload []byte) {
	c.t.Helper()
	if deflated {
		c.wantDeflated(payload)
	} else {
		c.want(ws.OpText, payload)
	}
}

// wantDeflated reads the next frame, which must be really compressed.
func (c *client) wantDeflated(payload []byte) {
	c.t.Helper()
	frame, err := ws.ReadFrame(c.r)
	if err != nil {
		c.t.Fatalf("waiting for %.40q: %v", payload, err)
	}
	if !frame.Header.Rsv1() || frame.Header.Length > int64(len(payload)*6/10) {
		c.t.Fatalf("got %+v for %d bytes, want them compressed", frame.Header, len(payload))
	}
	got, err := wsflate.DecompressFrame(frame)
	if err != nil || !bytes.Equal(got.Payload, payload) || got.Header.OpCode != ws.OpText || !got.Header.Fin {
		c.t.Fatalf("got %+v %.40q, %v, want %.40q", got.Header, got.Payload, err, payload)
	}
}
