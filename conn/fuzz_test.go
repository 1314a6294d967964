//go:build linux

package conn

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/poller"
)

type mirror struct{ nobody }

func (mirror) OnMessage(c *Conn, op frame.Opcode, payload []byte) { _ = c.Write(op, payload) }

// FuzzConn sends in as the frames of a client, over a socket, to a connection that
// echoes messages: at once behind the request, and in pieces of sizes, each when
// the one before has been read. Both must be answered with the bytes that the whole
// of in gives when a parser takes it apart and nothing is ever kept. All of it comes to
// connections without compression and to those with it.
func FuzzConn(f *testing.F) {
	p, err := poller.New(poller.Config{Reactors: 1, Workers: 1, Buffer: 16 << 10, NewScratch: NewScratch,
		OnError: func(err error) { f.Error(err) }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = p.Close() })
	z, err := frame.NewCompressor(1, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in, sizes []byte, maxMessage uint16) {
		if len(in) > 4<<10 {
			t.Skip("answers would have to be read in between")
		}
		for _, z := range []*frame.Compressor{nil, z} {
			want, why := expected(bytes.Clone(in), int64(maxMessage), z)
			if len(want) > 64<<10 {
				t.Skip("likewise")
			}
			for how, pieces := range map[string][][]byte{"whole": {in}, "in pieces": inPieces(in, sizes)} {
				if got, ended := converse(t, p, pieces, int64(maxMessage), z); !bytes.Equal(got, want) || ended != why {
					t.Fatalf("%s, compression %v: answered with %.500q, ended by %v;\nwant %.500q, %v", how, z != nil, got, ended, want, why)
				}
			}
		}
	})
}

// expected is what a connection sends when it receives in, and why it ends.
func expected(in []byte, maxMessage int64, z *frame.Compressor) (out []byte, why Reason) {
	var parser frame.Parser
	var inflater frame.Inflater
	var message []byte
	for {
		part, n, ok, err := parser.Next(in, maxMessage, z != nil)
		in = in[n:]
		switch {
		case err != nil:
		case !ok:
			return out, ReasonPeerGone
		case part.Op == frame.Ping:
			out = frame.AppendFrame(out, frame.Pong, part.Data)
		case part.Op == frame.Close:
			var code frame.StatusCode
			if code, _, err = frame.ParseClose(part.Data); err == nil {
				return frame.AppendClose(out, code, ""), ReasonPeerClosed
			}
		case part.Op != frame.Pong:
			if message = append(message, part.Data...); !part.Last {
				break
			}
			if part.Deflated {
				message, err = inflater.Inflate(part.Op, message, maxMessage)
			}
			if err == nil && z != nil {
				out = append(out, frame.Prepare(part.Op, message).Deflated(z, frame.MaxWindow)...)
			} else if err == nil {
				out = frame.AppendFrame(out, part.Op, message)
			}
			message = nil
		}
		if bad := (*frame.Error)(nil); errors.As(err, &bad) {
			return frame.AppendClose(out, bad.Code, bad.Reason), map[frame.StatusCode]Reason{
				frame.StatusProtocolError:  ReasonProtocolError,
				frame.StatusInvalidPayload: ReasonInvalidPayload,
				frame.StatusTooBig:         ReasonTooBig,
			}[bad.Code]
		}
	}
}

// inPieces cuts b into pieces of the given sizes, used round and round.
func inPieces(b, sizes []byte) (pieces [][]byte) {
	for i := 0; len(b) > 0; i++ {
		n := len(b)
		if len(sizes) > 0 {
			n = min(n, max(1, int(sizes[i%len(sizes)])))
		}
		pieces, b = append(pieces, b[:n]), b[n:]
	}
	return pieces
}

// converse is one connection, whole. It returns what came behind the answer to its
// request, up to the end of the stream.
func converse(t *testing.T, p *poller.Poller, pieces [][]byte, maxMessage int64, z *frame.Compressor) (answers []byte, why Reason) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	g := NewGroup(Config{Handler: mirror{}, Log: slog.New(slog.DiscardHandler), MaxMessage: maxMessage, Compress: z,
		Policy: &handshake.Policy{Path: "/", MaxHead: 8192, MaxHeaders: 100, Compress: z != nil},
		Gone:   func(*Conn, bool) {}})
	s := &script{conn: New(g), peer: fds[1], pieces: pieces, done: make(chan struct{})}
	if err := p.Register(&s.conn.reg, fds[0], s); err != nil {
		t.Fatal(err)
	}
	s.conn.reg.Call()
	<-s.done
	head, answers, _ := bytes.Cut(s.answers, []byte("\r\n\r\n"))
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !s.ended {
		t.Fatalf("ended: %v; handshake answered with %q", s.ended, head)
	}
	for why = range Reasons {
		if g.Stats.Ended[why].Load() > 0 {
			break
		}
	}
	return answers, why
}

// script is the client of a connection and stands between it and the poller: it
// runs the connection itself, in the worker, after each piece that it sends. So
// nothing has to be waited for, and no two pieces are read as one.
type script struct {
	conn    *Conn
	peer    int
	pieces  [][]byte
	answers []byte
	ended   bool
	done    chan struct{}
}

func (s *script) Ready(w *poller.Worker, _ poller.Events) poller.Next {
	defer close(s.done)
	c := s.conn
	c.mu.Lock()
	c.enter(StateHandshaking) // as Start does
	c.mu.Unlock()
	request := []byte("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
	if len(s.pieces) == 1 {
		s.pieces = [][]byte{slices.Concat(request, s.pieces[0])}
	} else {
		s.pieces = append([][]byte{request}, s.pieces...)
	}
	for _, piece := range s.pieces {
		// The write fails, and the rest is of no use, when the end has come already.
		if _, err := unix.Write(s.peer, piece); err != nil || s.run(w, poller.Readable) {
			break
		}
	}
	_ = unix.Shutdown(s.peer, unix.SHUT_WR)
	if !s.ended {
		s.run(w, poller.Readable|poller.Hangup)
	}
	for buf := make([]byte, 16<<10); ; {
		n, _ := unix.Read(s.peer, buf)
		if n <= 0 {
			return poller.Closed
		}
		s.answers = append(s.answers, buf[:n]...)
	}
}

// run has the connection handle an event and whatever it calls itself for.
func (s *script) run(w *poller.Worker, ev poller.Events) (ended bool) {
	next := s.conn.Ready(w, ev)
	for again := true; again && next != poller.Closed; again = s.conn.in != nil && s.conn.in.unread {
		next = s.conn.Ready(w, poller.Called)
	}
	s.ended = next == poller.Closed
	return s.ended
}
