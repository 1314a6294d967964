//go:build linux

// Package peers_test checks that every comparison server does what it is
// measured for, so that a benchmark compares like with like.
package peers_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// patience is the time only a broken server needs.
const patience = 30 * time.Second

func TestPeers(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Run("usage", func(t *testing.T) {
		t.Parallel()
		for args, want := range map[string]string{
			"floor -listen nowhere":                     "want an IPv4 address",
			"floor -compress":                           "not defined: -compress",
			"gorilla -tls-cert cert.pem":                "want both or none",
			"nbio -tls-key key.pem":                     "want both or none",
			"gws -tls-cert none.pem -tls-key none.pem":  "no such file",
			"nbio -tls-cert none.pem -tls-key none.pem": "no such file",
		} {
			words := strings.Fields(args)
			out, err := exec.Command(filepath.Join(bin, words[0]), words[1:]...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%s: %v, %q", args, err, out)
			}
		}
	})
	for _, name := range []string{"floor", "gorilla", "coder", "gws", "nbio", "easygo"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, filepath.Join(bin, name))
			s.mask = [4]byte{0x13, 0x57, 0x9b, 0xdf}
			if name == "floor" {
				s.mask = [4]byte{} // it does not unmask
			}
			t.Run("echo", s.echo)
			t.Run("broadcast", s.broadcast)
			t.Run("close", s.close)
			if name != "floor" { // which knows no control frame but close
				t.Run("ping", s.ping)
			}
			if name != "floor" && name != "nbio" { // nbio loses empty messages
				t.Run("empty", s.empty)
			}
			t.Run("path", s.unknownPath)
			s.stop(t)
		})
	}
	t.Run("secure", func(t *testing.T) { secure(t, bin) })
}

// server is a running peer.
type server struct {
	cmd     *exec.Cmd
	pipe    *os.File // its stderr
	stderr  *bufio.Reader
	address string
	mask    [4]byte     // what its clients mask with
	tls     *tls.Config // nil: plain
	offer   string      // what its clients offer as an extension; empty: nothing
}

func start(t *testing.T, path string, flags ...string) *server {
	t.Helper()
	s := &server{cmd: exec.Command(path, append(flags, "-listen", "127.0.0.1:0")...)}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = w
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		s.cmd.Process.Kill() // an error when stop has ended it
		r.Close()
	})
	r.SetReadDeadline(time.Now().Add(patience))
	s.pipe, s.stderr = r, bufio.NewReader(r)
	line, err := s.stderr.ReadString('\n')
	if err != nil {
		t.Fatalf("no line on stderr, %q: %v", line, err)
	}
	var ok bool
	if s.address, ok = strings.CutPrefix(strings.TrimSuffix(line, "\n"), "listening on "); !ok {
		t.Fatalf("first line on stderr: %q", line)
	}
	return s
}

// stop ends the server as an operator would, with connections still open.
func (s *server) stop(t *testing.T) {
	t.Helper()
	s.dial(t, "/ws")
	s.dial(t, "/echo")
	if err := s.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.pipe.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(s.stderr)
	if err != nil || len(rest) > 0 {
		t.Errorf("after SIGTERM stderr holds %q, %v", rest, err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

func (s *server) echo(t *testing.T) {
	c := s.dial(t, "/echo")
	other := s.dial(t, "/echo")
	for _, size := range []int{1, 125, 126, 5000} {
		c.send(ws.OpBinary, bytes.Repeat([]byte{'x'}, size))
		c.want(ws.OpBinary, bytes.Repeat([]byte{'x'}, size))
	}
	c.send(ws.OpText, []byte("grüß dich"))
	c.want(ws.OpText, []byte("grüß dich"))
	// Several messages in one segment come back one by one.
	c.write(s.frames("one", "two", "three"))
	for _, word := range []string{"one", "two", "three"} {
		c.want(ws.OpBinary, []byte(word))
	}
	other.send(ws.OpBinary, []byte("mine"))
	other.want(ws.OpBinary, []byte("mine"))
}

func (s *server) empty(t *testing.T) {
	c := s.dial(t, "/echo")
	c.send(ws.OpBinary, nil)
	c.want(ws.OpBinary, nil)
}

func (s *server) broadcast(t *testing.T) {
	clients := make([]*client, 3)
	for i := range clients {
		clients[i] = s.dial(t, "/ws")
		// Whoever has a message of its own back has joined. Those before it get it too.
		hello := fmt.Appendf(nil, "client %d", i)
		clients[i].send(ws.OpBinary, hello)
		for _, c := range clients[:i+1] {
			c.want(ws.OpBinary, hello)
		}
	}
	var words []string
	for n := range 100 {
		words = append(words, fmt.Sprint("message ", n))
	}
	clients[1].write(s.frames(words...))
	for _, word := range words {
		for _, c := range clients {
			c.want(ws.OpBinary, []byte(word))
		}
	}
	// One that leaves is missed by nobody.
	clients[0].close()
	clients[2].send(ws.OpText, []byte("still here"))
	for _, c := range clients[1:] {
		c.want(ws.OpText, []byte("still here"))
	}
}

func (s *server) close(t *testing.T) {
	for _, path := range []string{"/echo", "/ws"} {
		s.dial(t, path).close()
	}
}

func (s *server) ping(t *testing.T) {
	for _, path := range []string{"/echo", "/ws"} {
		c := s.dial(t, path)
		c.send(ws.OpPing, []byte("there?"))
		c.want(ws.OpPong, []byte("there?"))
	}
}

func (s *server) unknownPath(t *testing.T) {
	if status := s.request(t, "/nothing").StatusCode; status < 400 || status > 499 {
		t.Errorf("GET /nothing: status %d", status)
	}
}

// frame is what a client of s sends.
func (s *server) frame(op ws.OpCode, payload []byte) []byte {
	return ws.MustCompileFrame(ws.MaskFrameWith(ws.NewFrame(op, true, payload), s.mask))
}

// frames are what it sends in one go.
func (s *server) frames(words ...string) (joined []byte) {
	for _, word := range words {
		joined = append(joined, s.frame(ws.OpBinary, []byte(word))...)
	}
	return joined
}

// request asks for an upgrade with the sample key of RFC 6455 section 1.3.
func (s *server) request(t *testing.T, path string) *response {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	if s.tls != nil {
		conn = tls.Client(conn, s.tls)
	}
	extensions := ""
	if s.offer != "" {
		extensions = "Sec-WebSocket-Extensions: " + s.offer + "\r\n"
	}
	// In one write: floor wants it in one segment.
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", path, s.address, extensions)
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &response{answer, conn, r}
}

type response struct {
	*http.Response
	conn net.Conn
	rest *bufio.Reader
}

// client is a WebSocket connection; what goes wrong ends its test.
type client struct {
	t    *testing.T
	s    *server
	conn net.Conn
	r    *bufio.Reader
}

func (s *server) dial(t *testing.T, path string) *client {
	t.Helper()
	answer := s.request(t, path)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("GET %s: status %d", path, answer.StatusCode)
	}
	if accept := answer.Header.Get("Sec-WebSocket-Accept"); accept != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("GET %s: Sec-WebSocket-Accept %q", path, accept)
	}
	if extensions := answer.Header.Get("Sec-WebSocket-Extensions"); (extensions == "") != (s.offer == "") {
		t.Fatalf("GET %s, offering %q: extensions %q", path, s.offer, extensions)
	}
	return &client{t, s, answer.conn, answer.rest}
}

func (c *client) send(op ws.OpCode, payload []byte) {
	c.t.Helper()
	c.write(c.s.frame(op, payload))
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// want reads the next frame.
func (c *client) want(op ws.OpCode, payload []byte) {
	c.t.Helper()
	header, err := ws.ReadHeader(c.r)
	if err != nil {
		c.t.Fatalf("waiting for %q: %v", payload, err)
	}
	got := make([]byte, header.Length)
	if _, err := io.ReadFull(c.r, got); err != nil {
		c.t.Fatalf("waiting for %q: %v", payload, err)
	}
	if header.OpCode != op || !header.Fin || header.Masked || header.Rsv != 0 || !bytes.Equal(got, payload) {
		c.t.Fatalf("got %+v %.40q, want %v %.40q", header, got, op, payload)
	}
}

// close expects the close frame to be answered, and then the end.
func (c *client) close() {
	c.t.Helper()
	body := binary.BigEndian.AppendUint16(nil, uint16(ws.StatusNormalClosure))
	c.send(ws.OpClose, body)
	c.want(ws.OpClose, body)
	if n, err := c.r.Read(make([]byte, 1)); err != io.EOF {
		c.t.Fatalf("after the close frames: %d bytes, %v", n, err)
	}
}
