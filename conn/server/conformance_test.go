//go:build linux

package server_test

import (
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"roost/conn/conntest"
	"roost/conn/server"
)

// exchange is one case of RFC 6455: what a client sends over a socket, and all
// that it must get from an echo server.
type exchange struct {
	name string
	// in is what the client sends. When code is given, the last byte is the one that
	// brings about the end: the server must neither close before it nor wait for more.
	in   []byte
	want []answer
	// code is the status of the server's close frame, 1005 for one without a status,
	// 0 when the connection must stay open.
	code ws.StatusCode
	// unfinished says that in ends inside a frame or a message.
	unfinished bool
	// deflate says that compression is agreed to.
	deflate bool
}

// answer is a frame from the server.
type answer struct {
	op      ws.OpCode
	payload string
}

func echoed(payload string) answer { return answer{ws.OpText, payload} }
func ponged(payload string) answer { return answer{ws.OpPong, payload} }

// conform plays every case in every delivery, one connection at a time.
func conform(t *testing.T, config server.Config, cases []exchange) {
	t.Helper()
	config.Handler = server.Echo()
	config.PingInterval = -1
	srv, addr := start(t, config)
	connect := func(t *testing.T) *conntest.Client {
		t.Helper()
		return conntest.Connect(t, addr)
	}
	for _, e := range cases {
		t.Run(e.name, func(t *testing.T) {
			t.Run("with the head", func(t *testing.T) { e.play(t, srv, connect, nil, e.in) })
			t.Run("header, payload", func(t *testing.T) { e.play(t, srv, connect, boundaries(e.in), nil) })
			t.Run("byte by byte", func(t *testing.T) { e.play(t, srv, connect, inBytes(e.in), nil) })
			if e.code != 0 {
				// Of what follows the end nothing may be answered.
				behind := slices.Concat(e.in, conntest.Frame(true, ws.OpText, "no echo"),
					conntest.Frame(true, ws.OpPing, "no pong"), conntest.CloseFrame(1000, ""))
				t.Run("with more behind", func(t *testing.T) { e.play(t, srv, connect, [][]byte{behind}, nil) })
			}
		})
	}
}

// conformTLS is conform over TLS: everything in one record, a record for each byte, and
// records that leave in pieces.
func conformTLS(t *testing.T, config server.Config, cases []exchange) {
	t.Helper()
	config.Handler = server.Echo()
	config.PingInterval = -1
	srv, addr, _, ca := startTLS(t, config)
	connect := func(piece int) func(*testing.T) *conntest.Client {
		return func(t *testing.T) *conntest.Client {
			t.Helper()
			c := conntest.Connect(t, addr)
			c.Dribble(piece)
			if _, err := c.Secure(ca.Trust("localhost")); err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	const whole = 1 << 20
	for _, e := range cases {
		t.Run(e.name+" over TLS", func(t *testing.T) {
			t.Run("one record", func(t *testing.T) { e.play(t, srv, connect(whole), [][]byte{e.in}, nil) })
			t.Run("byte by byte", func(t *testing.T) { e.play(t, srv, connect(whole), inBytes(e.in), nil) })
			t.Run("records in pieces", func(t *testing.T) { e.play(t, srv, connect(1+len(e.in)/1000), [][]byte{e.in}, nil) })
		})
	}
}

// play opens a WebSocket over connect, with first right behind the request, then sends
// the pieces, each when the server has read the one before.
func (e exchange) play(t *testing.T, srv *server.Server, connect func(*testing.T) *conntest.Client, pieces [][]byte, first []byte) {
	t.Helper()
	spin(t, "the connection before is gone", func() bool {
		st := srv.Stats()
		return st.Handshaking+st.Open+st.Closing == 0
	})
	head := slices.Concat([]byte(conntest.Request("localhost", "/ws")), first)
	if e.deflate {
		head = slices.Concat([]byte(conntest.Request("localhost", "/ws", conntest.Offer)), first)
	}
	c := connect(t)
	defer func() { _ = c.Close() }()
	opened := srv.Stats().BytesIn
	c.Raw(head)
	if e.deflate {
		c.AcceptedDeflate()
	} else {
		c.Accepted()
	}
	read := opened + uint64(len(head))
	for i, piece := range pieces {
		c.Raw(piece)
		read += uint64(len(piece))
		open := true
		spin(t, "the server has read a piece", func() bool {
			st := srv.Stats()
			open = st.Open == 1
			return !open || st.BytesIn >= read
		})
		if !open && i < len(pieces)-1 {
			t.Fatalf("closed with %d after piece %d of %d", c.Closed(), i+1, len(pieces))
		}
	}
	for _, a := range e.want {
		c.Expect(a.op, a.payload)
	}
	switch {
	case e.code != 0:
		ended(t, c, e.code)
	case e.unfinished:
		spin(t, "the server has read everything", func() bool { return srv.Stats().BytesIn >= read })
		if srv.Clients() != 1 {
			t.Fatalf("closed with %d", c.Closed())
		}
	default:
		c.Text("still here")
		c.ExpectText("still here")
		c.Raw(conntest.CloseFrame(1000, ""))
		ended(t, c, 1000)
	}
}

// ended expects a close frame with this code next, and behind it that the server
// closes TCP while the client keeps it open.
func ended(t *testing.T, c *conntest.Client, code ws.StatusCode) {
	t.Helper()
	op, p, err := c.Next()
	if err != nil || op != ws.OpClose {
		t.Fatalf("got %v %.40q, %v; want a close frame with %d", op, p, err, code)
	}
	got := ws.StatusNoStatusRcvd
	if len(p) > 0 {
		got = ws.StatusCode(binary.BigEndian.Uint16(p))
	}
	if got != code || !utf8.Valid(p[min(len(p), 2):]) {
		t.Fatalf("close frame % x, want code %d", p, code)
	}
	// A client that sent more than the server wanted to read may find a reset.
	if op, p, err := c.Next(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("after the close frame: %v %q, %v; want the end", op, p, err)
	}
}

// spin is eventually for what takes microseconds: it yields before it sleeps.
func spin(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for range 4000 {
		if cond() {
			return
		}
		runtime.Gosched()
	}
	eventually(t, what, cond)
}

// boundaries cuts a client's stream behind every header and every payload,
// whatever is wrong with them.
func boundaries(in []byte) (pieces [][]byte) {
	take := func(n uint64) {
		if n = min(n, uint64(len(in))); n > 0 {
			pieces, in = append(pieces, in[:n]), in[n:]
		}
	}
	for len(in) > 0 {
		header, payload := uint64(2), uint64(0)
		if len(in) > 1 {
			payload = uint64(in[1] & 0x7f)
			if in[1]&0x80 != 0 {
				header += 4
			}
		}
		switch {
		case payload == 126 && len(in) >= 4:
			header, payload = header+2, uint64(binary.BigEndian.Uint16(in[2:]))
		case payload == 127 && len(in) >= 10:
			header, payload = header+8, binary.BigEndian.Uint64(in[2:])
		}
		take(header)
		take(payload)
	}
	return pieces
}

// inBytes cuts a stream into bytes, all but the middle of a very long one.
func inBytes(in []byte) (pieces [][]byte) {
	const bytewise = 64
	for len(in) > 0 {
		n := 1
		if len(in) > bytewise && len(pieces) == bytewise/2 {
			n = len(in) - bytewise/2
		}
		pieces, in = append(pieces, in[:n]), in[n:]
	}
	return pieces
}

// The frames of the cases. Those that a client must never send come from header.

func final(op ws.OpCode, payload string) []byte   { return conntest.Frame(true, op, payload) }
func partial(op ws.OpCode, payload string) []byte { return conntest.Frame(false, op, payload) }
func stream(frames ...[]byte) []byte              { return slices.Concat(frames...) }

// header is two bytes as given, an extended length of 0, 2 or 8 bytes, and a mask
// of zeros if the second byte has the mask bit: a payload follows as it is.
func header(b0, b1 byte, length uint64) []byte {
	b := []byte{b0, b1}
	switch b1 & 0x7f {
	case 126:
		b = binary.BigEndian.AppendUint16(b, uint16(length))
	case 127:
		b = binary.BigEndian.AppendUint64(b, length)
	}
	if b1&0x80 != 0 {
		b = append(b, 0, 0, 0, 0)
	}
	return b
}
