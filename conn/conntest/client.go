//go:build linux

package conntest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// Patience is how long a read may take before the test fails. It is a bound for
// broken code, not a delay.
const Patience = 20 * time.Second

// Client is one end of a connection, driven by a test. It is used by one
// goroutine at a time. Its methods fail the test on errors they do not return.
type Client struct {
	net.Conn
	t  testing.TB
	br *bufio.Reader

	deflate  bool // the server has agreed to permessage-deflate
	Deflated int  // how many messages came compressed
}

// Connect opens a connection without saying anything, TCP or to "unix:PATH".
func Connect(t testing.TB, addr string) *Client {
	t.Helper()
	return connect(t, addr, net.Dialer{Timeout: Patience})
}

// ConnectFrom is Connect from an address of this machine, as 127.0.0.2 is.
func ConnectFrom(t testing.TB, source, addr string) *Client {
	t.Helper()
	return connect(t, addr, net.Dialer{Timeout: Patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}})
}

func connect(t testing.TB, addr string, d net.Dialer) *Client {
	t.Helper()
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	nc, err := d.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Conn: nc, t: t, br: bufio.NewReaderSize(nc, 4096)}
	t.Cleanup(func() { _ = nc.Close() })
	return c
}

// Dial opens a WebSocket at path.
func Dial(t testing.TB, addr, path string, headers ...string) *Client {
	t.Helper()
	return Connect(t, addr).upgrade(addr, path, headers...)
}

// DialNarrow is Dial with a receive buffer of so many bytes. It is set before the
// connection exists: when the window shrinks below what was announced, the sender
// waits for half of the largest it has seen (RFC 1122 section 4.2.3.4), and bytes
// come drop by drop.
func DialNarrow(t testing.TB, addr, path string, receive int) *Client {
	t.Helper()
	return ConnectNarrow(t, addr, receive, 0).upgrade(addr, path)
}

// ConnectNarrow is Connect with such a buffer. A largest segment of so many bytes, if not 0,
// makes the server's send buffer small as well, which begins with room for some segments.
func ConnectNarrow(t testing.TB, addr string, receive, segment int) *Client {
	t.Helper()
	narrow := func(_, _ string, rc syscall.RawConn) error {
		var err error
		cerr := rc.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receive)
			if segment != 0 {
				err = errors.Join(err, syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, segment))
			}
		})
		return errors.Join(cerr, err)
	}
	return connect(t, addr, net.Dialer{Timeout: Patience, Control: narrow})
}

func (c *Client) upgrade(addr, path string, headers ...string) *Client {
	c.t.Helper()
	if strings.HasPrefix(addr, "unix:") {
		addr = "localhost"
	}
	c.Raw([]byte(Request(addr, path, headers...)))
	c.Accepted()
	return c
}

// Offer is the header line that offers permessage-deflate as browsers do.
const Offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

// DialDeflate is Dial for a client that offers permessage-deflate, and fails unless the
// server agrees. It reads compressed messages as well as plain ones.
func DialDeflate(t testing.TB, addr, path string, headers ...string) *Client {
	t.Helper()
	c := Connect(t, addr)
	c.Raw([]byte(Request(addr, path, append(headers, Offer)...)))
	c.AcceptedDeflate()
	return c
}

// AcceptedDeflate is Accepted for a Request with an offer that the server agrees to.
func (c *Client) AcceptedDeflate() {
	c.t.Helper()
	got := c.Accepted().Header.Get("Sec-WebSocket-Extensions")
	if !strings.HasPrefix(got, "permessage-deflate; server_no_context_takeover; client_no_context_takeover") {
		c.t.Fatalf("compression offered, the server answers %q", got)
	}
	c.deflate = true
}

// Request is the head of an opening handshake, with further header lines.
func Request(host, path string, headers ...string) string {
	extra := ""
	for _, h := range headers {
		extra += h + "\r\n"
	}
	return "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" +
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + extra + "\r\n"
}

// Accepted reads the answer to Request and fails unless it is the right 101
// (RFC 6455 section 1.3 has the same key and accept value).
func (c *Client) Accepted() *http.Response {
	c.t.Helper()
	res := c.Response()
	if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		c.t.Fatalf("handshake answered with %s %v", res.Status, res.Header)
	}
	return res
}

// Response reads an HTTP response.
func (c *Client) Response() *http.Response {
	c.t.Helper()
	c.patience()
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.t.Fatalf("no HTTP response: %v", err)
	}
	return res
}

func (c *Client) patience() { _ = c.SetDeadline(time.Now().Add(Patience)) }

// Raw sends bytes as they are.
func (c *Client) Raw(b []byte) {
	c.t.Helper()
	c.patience()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// Frame is a masked client frame.
func Frame(fin bool, op ws.OpCode, payload string) []byte {
	f := ws.MaskFrameWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{0xa1, 0x5e, 0x07, 0xff})
	b, err := ws.CompileFrame(f)
	if err != nil {
		panic(err)
	}
	return b
}

// Send sends one whole masked frame.
func (c *Client) Send(op ws.OpCode, payload string) {
	c.t.Helper()
	c.Raw(Frame(true, op, payload))
}

// Text sends a text message.
func (c *Client) Text(payload string) { c.t.Helper(); c.Send(ws.OpText, payload) }

// Next reads a frame. The error is what the read returned, io.EOF at the end.
func (c *Client) Next() (op ws.OpCode, payload []byte, err error) {
	c.patience()
	h, err := ws.ReadHeader(c.br)
	if err != nil {
		return 0, nil, err
	}
	deflated := c.deflate && h.OpCode.IsData() && h.Rsv == ws.Rsv(true, false, false)
	if h.Masked || h.Rsv != 0 && !deflated || !h.Fin {
		return 0, nil, fmt.Errorf("server sent a frame it never should: %+v", h)
	}
	payload = make([]byte, h.Length)
	if _, err = io.ReadFull(c.br, payload); err == nil && deflated {
		c.Deflated++
		payload, err = inflate(payload)
	}
	return h.OpCode, payload, err
}

// Expect reads a frame and fails unless it is this one.
func (c *Client) Expect(op ws.OpCode, payload string) {
	c.t.Helper()
	got, p, err := c.Next()
	if err != nil {
		c.t.Fatalf("want %v %q, got error %v", op, short(payload), err)
	}
	if got != op || string(p) != payload {
		c.t.Fatalf("want %v %q, got %v %q", op, short(payload), got, short(string(p)))
	}
}

// ExpectText is Expect for a text message.
func (c *Client) ExpectText(payload string) { c.t.Helper(); c.Expect(ws.OpText, payload) }

// Closed reads until the server closes TCP and returns the status code of the
// close frame before it, 0 if there was none. Data after a close frame fails the test.
func (c *Client) Closed() ws.StatusCode {
	c.t.Helper()
	code := ws.StatusCode(0)
	for {
		op, p, err := c.Next()
		switch {
		case errors.Is(err, io.EOF), err != nil && strings.Contains(err.Error(), "reset by peer"):
			return code
		case err != nil:
			c.t.Fatalf("waiting for the server to close: %v", err)
		case code != 0:
			c.t.Fatalf("%v after the close frame", op)
		case op == ws.OpClose && len(p) == 0:
			code = ws.StatusNoStatusRcvd
		case op == ws.OpClose:
			code = ws.StatusCode(binary.BigEndian.Uint16(p))
		}
	}
}

// CloseFrame is a masked close frame.
func CloseFrame(code ws.StatusCode, reason string) []byte {
	return Frame(true, ws.OpClose, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

func short(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
