package bench

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"roost/poller/socket"
)

// deflated is a message as a server may compress it, by the standard library.
func deflated(t testing.TB, blocks ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		io.WriteString(w, block)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// compressed is the first or only frame of a compressed message.
func compressed(fin bool, payload []byte) ws.Frame {
	f := ws.NewFrame(ws.OpText, fin, payload)
	f.Header.Rsv = ws.Rsv(true, false, false)
	return f
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// newDeflating is newWired with permessage-deflate agreed on.
func newDeflating(t testing.TB) *wired {
	t.Helper()
	w := newWired(t)
	w.c.deflate = true
	return w
}

// finalBlock is "Hello" in a final block and what must follow it, RFC 7692 section 7.2.3.4.
var finalBlock = []byte{0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00}

func TestReceiveCompressed(t *testing.T) {
	large := strings.Repeat("0123456789", 90_000)
	split := deflated(t, "in three fragments, ", "and blocks")
	stream := frames(
		compressed(true, deflated(t, "a")),
		compressed(true, []byte{0}), // empty, section 7.2.3.6
		ws.NewTextFrame([]byte("plain")),
		compressed(false, split[:3]),
		ws.NewPingFrame([]byte("p")),
		ws.NewFrame(ws.OpContinuation, false, split[3:4]),
		ws.NewFrame(ws.OpContinuation, true, split[4:]),
		ws.NewFrame(ws.OpText, false, []byte("plain ")),
		ws.NewFrame(ws.OpContinuation, true, []byte("fragments")),
		compressed(true, finalBlock),
		compressed(true, append(bytes.Clone(finalBlock[:7]), deflated(t, " again")...)),
		compressed(true, deflated(t, large)),
		compressed(true, deflated(t, string(noise(1000)))),
		compressed(true, deflated(t, "a")),
	)
	want := []string{"a", "", "plain", "in three fragments, and blocks", "plain fragments", "Hello", "Hello again", large, string(noise(1000)), "a"}
	for _, size := range []int{1, 2, 7, 100, len(stream)} {
		w := newDeflating(t)
		for piece := range slices.Chunk(stream, size) {
			w.feed(t, piece)
		}
		if !reflect.DeepEqual(w.messages, want) {
			t.Errorf("pieces of %d: %d messages, want %d; failures %+v", size, len(w.messages), len(want), w.Ending().Failures)
		}
		in := w.Ending().Deflate.In
		payload := len(strings.Join(want, ""))
		if in.Messages != 10 || in.Compressed != 8 || in.Payload != int64(payload) || in.Wire >= in.Payload/2 || in.Wire < 1000 {
			t.Errorf("pieces of %d: %+v, want 8 of 10 with %d bytes", size, in, payload)
		}
		if w.c.held != nil || w.Ending().Pings != 1 {
			t.Errorf("pieces of %d: held %+v, %d pings", size, w.c.held, w.Ending().Pings)
		}
	}
}

// TestCompressionFaults wants each to end the connection, be counted, and leave what is
// remembered as it was.
func TestCompressionFaults(t *testing.T) {
	const most = 1 << 20 // as newWired
	good := deflated(t, "good")
	bomb := deflated(t, strings.Repeat("x", most+1))
	rsv2 := ws.NewTextFrame(nil)
	rsv2.Header.Rsv = ws.Rsv(false, true, false)
	ping, continuation := ws.NewPingFrame(nil), ws.NewFrame(ws.OpContinuation, true, nil)
	ping.Header.Rsv, continuation.Header.Rsv = ws.Rsv(true, false, false), ws.Rsv(true, false, false)
	for name, test := range map[string]struct {
		stream []byte
		plain  bool // not agreed on
		want   error
	}{
		"not agreed on":           {frames(compressed(true, good)), true, ErrFrameReserved},
		"another bit":             {frames(rsv2), false, ErrFrameReserved},
		"control frame":           {frames(ping), false, ErrFrameReserved},
		"continuation":            {frames(compressed(false, good), continuation), false, ErrFrameReserved},
		"no deflate":              {frames(compressed(true, []byte{0xff, 0xff})), false, ErrDeflate},
		"cut off":                 {frames(compressed(true, good[:2])), false, ErrDeflate},
		"nothing at all":          {frames(compressed(true, nil)), false, ErrDeflate},
		"bomb":                    {frames(compressed(true, bomb)), false, ErrMessageTooBig},
		"bomb in fragments":       {frames(compressed(false, bomb[:9]), ws.NewFrame(ws.OpContinuation, true, bomb[9:])), false, ErrMessageTooBig},
		"too long as it comes":    {frames(compressed(false, noise(most)), ws.NewFrame(ws.OpContinuation, true, noise(most/2))), false, ErrMessageTooBig},
		"plain, and too long":     {frames(ws.NewBinaryFrame(make([]byte, most+1))), false, ErrMessageTooBig},
		"too long for its header": {[]byte{0xc2, 127, 0, 0, 0, 0, 0, 0x20, 0, 0}, false, ErrMessageTooBig},
	} {
		w := newDeflating(t)
		w.c.deflate = !test.plain
		first := []string{}
		if !test.plain {
			first = []string{"good"}
			w.feed(t, frames(compressed(true, good)))
		}
		w.feed(t, test.stream)
		f := w.Ending().Failures
		if len(f) != 1 || f[0].Reason != "protocol error of the server: "+test.want.Error() || len(w.ended) != 1 || len(w.messages) != len(first) {
			t.Errorf("%s: failures %+v, %d ended, messages %q; want %v", name, f, len(w.ended), w.messages, test.want)
		}
		if w.inflator != nil {
			if got, err := w.inflator.inflate(good, most); err != nil || string(got) != "good" {
				t.Errorf("%s: then %q, %v", name, got, err)
			}
		}
	}
}

// The largest message is allowed whole, one byte more is not.
func TestInflateAtItsBound(t *testing.T) {
	f := newInflator()
	for _, n := range []int{0, 1, 511, 512, 513, 100_000} {
		payload := deflated(t, strings.Repeat("x", n))
		if got, err := f.inflate(payload, n); err != nil || len(got) != n {
			t.Errorf("%d bytes of %d: %d, %v", n, n, len(got), err)
		}
		if n > 0 {
			if _, err := newInflator().inflate(payload, n-1); !errors.Is(err, ErrMessageTooBig) {
				t.Errorf("%d bytes of %d: %v", n, n-1, err)
			}
		}
	}
}

// TestInflatorRemembers wants what is remembered to be bounded and right, for payloads
// that share places.
func TestInflatorRemembers(t *testing.T) {
	f := newInflator()
	var z deflator
	message := func(i int) string { return fmt.Sprint(i, strings.Repeat(" and again", i%5000)) }
	for round := range 2 {
		for i := range 2000 {
			if got, err := f.inflate(z.deflate([]byte(message(i))), 1<<20); err != nil || string(got) != message(i) {
				t.Fatalf("round %d: message %d: %d bytes, %v", round, i, len(got), err)
			}
		}
		sum := 0
		for i := range f.memory {
			sum += f.memory[i].bytes()
		}
		if sum != f.bytes || sum > memoryBytes || sum == 0 {
			t.Errorf("%d bytes are remembered and %d counted, want at most %d", sum, f.bytes, memoryBytes)
		}
	}
	payload := deflated(t, message(7))
	first, _ := f.inflate(payload, 1<<20)
	again, _ := f.inflate(payload, 1<<20)
	if &first[0] != &again[0] {
		t.Error("the same payload was inflated twice")
	}
}

// TestSendCompressed reads with gobwas/ws what is sent.
func TestSendCompressed(t *testing.T) {
	w := newDeflating(t)
	for _, message := range []string{"", "a", strings.Repeat("compress me ", 10), string(noise(500)), strings.Repeat("long ", 10_000), strings.Repeat("compress me ", 10)} {
		w.Send(w.c, OpText, []byte(message))
		w.flush()
		frame, err := ws.ReadFrame(bytes.NewReader(w.replies()))
		if err != nil {
			t.Fatal(err)
		}
		frame = ws.UnmaskFrame(frame)
		repeats := len(message) > 100 && message != string(noise(500))
		if frame.Header.Rsv1() != repeats || (repeats && len(frame.Payload) >= len(message)) {
			t.Errorf("%d bytes go as %d, compressed: %v", len(message), len(frame.Payload), frame.Header.Rsv1())
		}
		if repeats {
			if frame, err = wsflate.DecompressFrame(frame); err != nil {
				t.Fatal(err)
			}
		}
		if string(frame.Payload) != message {
			t.Errorf("%d bytes come as %d", len(message), len(frame.Payload))
		}
	}
	if out := w.Ending().Deflate.Out; out.Messages != 6 || out.Compressed != 3 || out.Wire >= out.Payload {
		t.Errorf("%+v, want 3 of 6 compressed", out)
	}
	w.Ping(w.c, []byte(strings.Repeat("p", 100)))
	w.flush()
	if frame, err := ws.ReadFrame(bytes.NewReader(w.replies())); err != nil || frame.Header.Rsv != 0 {
		t.Errorf("a ping goes as %+v, %v", frame.Header, err)
	}
}

// TestCompressionAllocatesNothing receives messages that are new and messages that were
// there before, and sends some.
func TestCompressionAllocatesNothing(t *testing.T) {
	w := newDeflating(t)
	w.quiet = true
	var batch []byte
	for i := range 50 {
		batch = append(batch, frames(compressed(true, deflated(t, fmt.Sprint(i), strings.Repeat(" message", 100))))...)
	}
	half := len(batch) - 70
	message, sink := []byte(strings.Repeat("message ", 100)), make([]byte, 64<<10)
	receive := func() {
		w.feed(t, batch[:half])
		w.feed(t, batch[half:])
	}
	send := func() {
		w.Send(w.c, OpText, message)
		w.flush()
		socket.Recv(w.peer, sink)
	}
	receive()
	for name, do := range map[string]func(){
		"again": receive,
		"new": func() {
			for i := range w.inflator.memory {
				w.inflator.memory[i].hash++ // nothing is found
			}
			receive()
		},
		"sent": send,
	} {
		if got := testing.AllocsPerRun(50, do); got != 0 {
			t.Errorf("%s: %v allocations, want 0", name, got)
		}
	}
	if in := w.Ending().Deflate.In; in.Compressed != in.Messages || in.Messages != int64(w.count) || w.count < 5000 {
		t.Errorf("%+v of %d", in, w.count)
	}
}

// TestOffer agrees with servers, or not, by their answers.
func TestOffer(t *testing.T) {
	const ok = "permessage-deflate; server_no_context_takeover"
	for answer, want := range map[string]error{
		ok: nil,
		"permessage-deflate;server_no_context_takeover ; client_no_context_takeover": nil,
		ok + "; server_max_window_bits=8":                                            nil,
		ok + "; server_max_window_bits=\"15\"":                                       nil,
		"permessage-deflate":                                                         ErrHandshakeDeflate, // section 7.1.1.1
		"permessage-deflate; client_no_context_takeover":                             ErrHandshakeDeflate,
		ok + "; server_no_context_takeover":                                          ErrHandshakeDeflate,
		ok + "=1":                                                                    ErrHandshakeDeflate,
		ok + "; client_max_window_bits=15":                                           ErrHandshakeDeflate, // section 7.1.2.2
		ok + "; client_max_window_bits":                                              ErrHandshakeDeflate,
		ok + "; server_max_window_bits":                                              ErrHandshakeDeflate,
		ok + "; server_max_window_bits=7":                                            ErrHandshakeDeflate,
		ok + "; server_max_window_bits=16":                                           ErrHandshakeDeflate,
		ok + "; server_max_window_bits=08":                                           ErrHandshakeDeflate,
		ok + "; server_max_window_bits=+8":                                           ErrHandshakeDeflate,
		ok + "; server_max_window_bits=9; server_max_window_bits=9":                  ErrHandshakeDeflate,
		ok + "; more":      ErrHandshakeDeflate,
		ok + ";":           ErrHandshakeDeflate,
		"permessage-bzip2": ErrHandshakeExtension,
		ok + ", " + ok:     ErrHandshakeExtension,
		ok + "\r\nSec-WebSocket-Extensions: " + ok: ErrHandshakeExtension,
	} {
		h := newHandshake(1, []target{{host: "h", path: "/"}}, nil, nil, true)
		h.sample = true
		if request := string(h.appendRequest(nil, 0)); !strings.Contains(request, "\r\nSec-WebSocket-Extensions: "+deflateOffer+"\r\n") {
			t.Fatalf("the request is\n%s", request)
		}
		text := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: " + answer + "\r\n\r\n"
		if _, agreed, err := h.check([]byte(text), 0); !errors.Is(err, want) || agreed != (want == nil) {
			t.Errorf("%q: agreed %v, error %v, want %v", answer, agreed, err, want)
		}
	}
}

// TestCompress talks to a server that agrees, and to one that does not.
func TestCompress(t *testing.T) {
	text := strings.Repeat("compress me ", 50)
	for agrees, want := range map[bool]Compression{
		true:  {Agreed: 2, In: DeflatedUse{Messages: 2, Compressed: 2, Payload: 2 * int64(len(text))}, Out: DeflatedUse{Messages: 2, Compressed: 2, Payload: 2 * int64(len(text))}},
		false: {Refused: 2},
	} {
		url := serveRaw(t, func(c net.Conn) {
			e := wsflate.Extension{Parameters: wsflate.Parameters{ServerNoContextTakeover: true, ClientNoContextTakeover: true}}
			var u ws.Upgrader
			if agrees {
				u.Negotiate = e.Negotiate
			}
			if _, err := u.Upgrade(c); err == nil {
				echoAll(c) // compressed as it came
			}
		})
		d := newDriven(t, Config{URLs: []string{url}, Conns: 2, Compress: true})
		d.onOpen = func(c *Conn) { d.Send(c, OpText, []byte(text)) }
		d.Dial(Dial{To: 2})
		d.until("echo", func() bool { return d.count == 2 })
		got := d.Ending().Deflate
		if agrees && (got.In.Wire == 0 || got.In.Wire != got.Out.Wire || got.In.Wire > got.In.Payload/5) {
			t.Errorf("on the wire: %+v", got)
		}
		got.In.Wire, got.Out.Wire = 0, 0
		if got != want || !slices.Equal(d.messages, []string{text, text}) {
			t.Errorf("agrees %v: %+v, %d messages; want %+v", agrees, got, len(d.messages), want)
		}
		if err := d.CloseAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d.Conn(0).deflate {
			t.Error("the slot still has it agreed on")
		}
	}
}

// FuzzInflate compares with the standard library.
func FuzzInflate(f *testing.F) {
	f.Add(deflated(f, "a"))
	f.Add(finalBlock)
	f.Add([]byte{0})
	f.Add(deflated(f, strings.Repeat("long ", 500)))
	inflator := newInflator()
	f.Fuzz(func(t *testing.T, payload []byte) {
		const most = 4096
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(append(bytes.Clone(payload), deflateTail...))), most+1))
		got, err := inflator.inflate(payload, most)
		switch {
		case len(want) > most:
			if !errors.Is(err, ErrMessageTooBig) {
				t.Fatalf("% x: %v", payload, err)
			}
		case err == nil && !bytes.HasPrefix(got, want), err == nil && wantErr != nil:
			t.Fatalf("% x: %q, the standard library %q, %v", payload, got, want, wantErr)
		case err != nil && !errors.Is(err, ErrDeflate) && !errors.Is(err, ErrMessageTooBig):
			t.Fatalf("% x: %v", payload, err)
		}
		if again, err2 := inflator.inflate(payload, most); !errors.Is(err2, err) || !bytes.Equal(again, got) {
			t.Fatalf("% x: %q, %v at first, then %q, %v", payload, got, err, again, err2)
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	payload := deflated(b, `{"type":"tick","symbol":"ROOST"}`, strings.Repeat(`{"bid":100.25,"ask":101.75,"size":100},`, 25))
	f := newInflator()
	for name, known := range map[string]bool{"remembered": true, "new": false} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !known {
					for i := range f.memory {
						f.memory[i].hash = 0
					}
				}
				if _, err := f.inflate(payload, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
