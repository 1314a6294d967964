package frame

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// deflated is a payload as a client may compress it, by the standard library.
func deflated(tb testing.TB, level int, blocks ...string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		tb.Fatal(err)
	}
	for _, block := range blocks {
		if _, err := io.WriteString(w, block); err != nil {
			tb.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			tb.Fatal(err)
		}
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// inflated is what a client makes of the payload of a frame, by the standard library.
func inflated(tb testing.TB, payload []byte) string {
	tb.Helper()
	message, err := io.ReadAll(flate.NewReader(bytes.NewReader(append(bytes.Clone(payload), tail...))))
	if err != nil {
		tb.Fatal(err)
	}
	return string(message)
}

func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // it never fails
	return string(b)
}

func newCompressor(tb testing.TB, level, least int) *Compressor {
	tb.Helper()
	z, err := NewCompressor(level, least)
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

func TestLevels(t *testing.T) {
	for level, good := range map[int]bool{-2: false, -1: false, 0: false, 1: true, 9: true, 10: false} {
		if _, err := NewCompressor(level, 0); (err == nil) != good {
			t.Errorf("level %d: %v", level, err)
		}
	}
}

// The frames of a Compressor are in the form of RFC 7692 section 7.2.1, at every level and
// in every window, and shorter than plain ones.
func TestDeflate(t *testing.T) {
	json := strings.Repeat(`{"name":"value","number":12345},`, 8192)
	for _, level := range []int{1, 5, 9} {
		z := newCompressor(t, level, 0)
		for window := LeastWindow; window <= MaxWindow; window++ {
			for _, n := range []int{0, 1, 40, 125, 126, 511, 512, 513, 70_000, len(json)} {
				for _, op := range []Opcode{Text, Binary} {
					d := z.Deflate(op, []byte(json[:n]), window)
					if d == nil {
						if n > 126 {
							t.Fatalf("level %d, window %d: %d bytes stay as they are", level, window, n)
						}
						continue
					}
					f, err := ws.ReadFrame(bytes.NewReader(d.Bytes()))
					if err != nil || !f.Header.Fin || f.Header.Masked || f.Header.Rsv != ws.Rsv(true, false, false) || f.Header.OpCode != op {
						t.Fatalf("%+v, %v", f.Header, err)
					}
					if got := inflated(t, f.Payload); got != json[:n] || len(d.Bytes()) >= len(AppendFrame(nil, op, []byte(json[:n]))) {
						t.Fatalf("level %d, window %d: %d bytes become %d, and %d again", level, window, n, len(d.Bytes()), len(got))
					}
					d.Release()
				}
			}
		}
	}
}

// What repeats beyond the window must not be referred to, and what repeats inside is.
func TestWindow(t *testing.T) {
	for level := 1; level <= 9; level++ {
		z := newCompressor(t, level, 0)
		for window := LeastWindow; window <= MaxWindow; window++ {
			far := strings.Repeat(noise(1<<window+1), 4)
			near := strings.Repeat(noise(1<<window/4), 16)
			if d := z.Deflate(Binary, []byte(far), window); d != nil {
				t.Errorf("level %d, window %d: %d bytes that repeat beyond it become %d", level, window, len(far), len(d.Bytes()))
			}
			d := z.Deflate(Binary, []byte(near), window)
			if d == nil || len(d.Bytes()) > len(near)/2 {
				t.Fatalf("level %d, window %d: %d bytes that repeat inside stay so many", level, window, len(near))
			}
			d.Release()
		}
	}
}

func TestDeflateOnlyWhatIsWorthIt(t *testing.T) {
	z := newCompressor(t, 1, 128)
	worth := strings.Repeat("a", 128)
	for _, tt := range []struct {
		op      Opcode
		payload string
		want    bool
	}{
		{Text, worth, true}, {Binary, worth, true}, {Text, worth[:127], false}, {Text, "", false},
		{Ping, worth[:125], false}, {Pong, worth[:125], false}, {Close, worth[:125], false}, {Binary, noise(4096), false},
	} {
		f := Prepare(tt.op, []byte(tt.payload))
		got := f.Deflated(z, MaxWindow)
		if is := len(got) < len(f.Bytes()); is != tt.want || !is && &got[0] != &f.Bytes()[0] {
			t.Errorf("opcode %d, %d bytes: %d become %d", tt.op, len(tt.payload), len(f.Bytes()), len(got))
		}
	}
	if n := z.Out.Messages.Load(); n != 2 || z.Out.Plain.Load() != 2*128 || z.Out.Deflated.Load() >= 128 {
		t.Errorf("counted %d messages, %d of %d bytes", n, z.Out.Deflated.Load(), z.Out.Plain.Load())
	}
	if n := testing.AllocsPerRun(100, func() { newPlain(z) }); n != 0 {
		t.Errorf("%v allocations for what stays as it is", n)
	}
}

func newPlain(z *Compressor) {
	if d := z.Deflate(Text, plainPayload, MaxWindow); d != nil {
		d.Release()
	}
}

var plainPayload = []byte("short")

// However many ask at the same time, the work is done once for each window that needs it.
func TestPreparedIsDeflatedOnce(t *testing.T) {
	z := newCompressor(t, 1, 0)
	f := Prepare(Text, []byte(strings.Repeat("once ", 1000)))
	var all sync.WaitGroup
	forms := make([][]byte, 100)
	for i := range forms {
		all.Go(func() { forms[i] = f.Deflated(z, []int{MaxWindow, 13, 12, 11}[i%4]) })
	}
	all.Wait()
	for i, form := range forms {
		if &form[0] != &forms[i%4][0] {
			t.Fatalf("asked again, window %d is another form", i%4)
		}
		frame, err := ws.ReadFrame(bytes.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		if got := inflated(t, frame.Payload); got != string(f.Payload()) {
			t.Fatalf("%d bytes of %d", len(got), len(f.Payload()))
		}
	}
	if &forms[0][0] != &forms[1][0] || &forms[1][0] == &forms[2][0] || &forms[2][0] == &forms[3][0] {
		t.Error("windows share the wrong forms")
	}
	if n := z.Out.Messages.Load(); n != 3 {
		t.Errorf("deflated %d times, want once for each of 3 windows", n)
	}
}

// The examples of RFC 7692 section 7.2.3, and what they say about blocks.
func TestInflate(t *testing.T) {
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	final := "\xf3\x48\xcd\xc9\xc9\x07\x00"
	for _, tt := range []struct{ name, payload, want string }{
		{"one block", hello, "Hello"},
		{"stored", "\x00\x05\x00\xfa\xffHello\x00", "Hello"},
		{"final block", final + "\x00", "Hello"},
		{"final block and no more", final, "Hello"},
		{"final blocks", final + final + "\x00", "HelloHello"},
		{"final blocks and another", final + final + hello, "HelloHelloHello"},
		{"two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"},
		{"empty", "\x00", ""},
		{"empty, by a final block", "\x03\x00", ""},
		{"no payload", "", ""},
		{"blocks by zlib's rules", string(deflated(t, 9, "a", "b", "", "c")), "abc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f Inflater
			for range 2 {
				got, err := f.Inflate(Text, []byte(tt.payload), 0)
				// Without a payload there is no block, and nothing to say that a message is one.
				if tt.payload == "" {
					if !errors.Is(err, ErrInvalidDeflate) {
						t.Fatalf("got %q, %v", got, err)
					}
					continue
				}
				if err != nil || string(got) != tt.want {
					t.Fatalf("got %q, %v", got, err)
				}
			}
		})
	}
}

func TestInflateRefuses(t *testing.T) {
	hello := deflated(t, 9, "Hello, Hello, Hello")
	for _, tt := range []struct {
		name    string
		op      Opcode
		payload string
		want    error
	}{
		{"reserved kind of block", Binary, "\x07", ErrInvalidDeflate},
		{"cut short", Binary, string(hello[:len(hello)-3]), ErrInvalidDeflate},
		{"stored, wrong complement", Binary, "\x00\x05\x00\xfa\xfeHello\x00", ErrInvalidDeflate},
		{"stored, cut short", Binary, "\x00\x40\x00\xbf\xffHello", ErrInvalidDeflate},
		{"refers to before the beginning", Binary, "\x02\x07\x00", ErrInvalidDeflate},
		{"bytes behind a final block", Binary, "\x03\x00\xff\xff", ErrInvalidDeflate},
		{"noise", Binary, "\xed" + noise(200), ErrInvalidDeflate},
		{"text that is none", Text, string(deflated(t, 1, "good, then \xff")), ErrInvalidUTF8},
		{"text that ends early", Text, string(deflated(t, 1, "\xe2\x82")), ErrInvalidUTF8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f Inflater
			if got, err := f.Inflate(tt.op, []byte(tt.payload), 0); !errors.Is(err, tt.want) {
				t.Errorf("got %q, %v", got, err)
			}
			if got, err := f.Inflate(Text, hello, 0); err != nil || string(got) != "Hello, Hello, Hello" {
				t.Errorf("the next message: %q, %v", got, err)
			}
		})
	}
}

// The bound holds at its edge, for short messages, long ones, and those in between.
func TestInflateBound(t *testing.T) {
	var f Inflater
	for _, n := range []int{1, 511, 512, 513, 4096, keepMost - 1, keepMost, keepMost + 1, 3*keepMost + 17} {
		for _, content := range []string{strings.Repeat("a", n), strings.Repeat(noise(997), n/997+1)[:n]} {
			payload := deflated(t, 6, content)
			for most, want := range map[int]error{0: nil, n - 1: ErrTooBig, n: nil, n + 1: nil} {
				if n == 1 && most == 0 {
					continue // no limit
				}
				got, err := f.Inflate(Binary, bytes.Clone(payload), int64(most))
				if !errors.Is(err, want) || err == nil && string(got) != content {
					t.Fatalf("%d bytes with a bound of %d: %d bytes, %v", n, most, len(got), err)
				}
			}
		}
	}
}

// TestBombIsCheap: a message that would be far too long is found out in the memory that an
// Inflater keeps anyway.
func TestBombIsCheap(t *testing.T) {
	bomb := deflated(t, 9, strings.Repeat("\x00", 64<<20))
	t.Logf("%d bytes become 64 MiB", len(bomb))
	for _, most := range []int64{1 << 10, 1 << 20, 16 << 20} {
		var f Inflater
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := f.Inflate(Binary, bomb, most)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTooBig) {
			t.Fatal(err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(4*keepMost+3*len(bomb)) {
			t.Errorf("%d bytes allocated with a bound of %d", n, most)
		}
	}
}

func TestInflateKeepsLittleAndAllocatesNothing(t *testing.T) {
	var f Inflater
	long := deflated(t, 1, noise(4*keepMost))
	if _, err := f.Inflate(Binary, long, 0); err != nil {
		t.Fatal(err)
	}
	if cap(f.out) > 2*keepMost || f.src != nil {
		t.Errorf("%d and %d bytes are kept", cap(f.out), cap(f.src))
	}
	z := newCompressor(t, 1, 0)
	content := []byte(strings.Repeat("hot path ", 500))
	payload := deflated(t, 6, string(content))
	payload = payload[:len(payload):len(payload)]
	if n := testing.AllocsPerRun(100, func() {
		if _, err := z.Inflate(&f, Text, payload, 1<<20); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations to inflate", n)
	}
}

// deflatedFrame is a client's frame with RSV1.
func deflatedFrame(fin bool, op Opcode, payload []byte) []byte {
	f := clientFrame(fin, op, testMask, payload)
	f[0] |= bitRsv1
	return f
}

// Compressed messages come to the same whole, in pieces, in fragments, and with plain
// messages and pings in between.
func TestNextDeflated(t *testing.T) {
	text := strings.Repeat("déflaté ", 100)
	payload := deflated(t, 6, text, text)
	var in []byte
	for i := 0; i <= len(payload); i += 7 {
		in = append(in, deflatedFrame(false, Text, payload[:i])...)
		in = append(in, clientFrame(true, Ping, testMask, []byte("p"))...)
		in = append(in, clientFrame(false, Continuation, testMask, payload[i:])...)
		in = append(in, clientFrame(true, Continuation, testMask, nil)...)
		in = append(in, clientFrame(true, Text, testMask, []byte("plain é"))...)
		in = append(in, deflatedFrame(true, Text, payload)...)
	}
	whole := parseDeflated(t, [][]byte{in}, 0, true)
	for _, sizes := range [][]byte{{1}, {3, 0, 50}} {
		requireSame(t, fmt.Sprint(sizes), parseDeflated(t, inChunks(bytes.Clone(in), sizes), 0, true), parseDeflated(t, [][]byte{bytes.Clone(in)}, 0, true))
	}
	for i, e := range whole.events {
		want := []event{{Ping, "p"}, {Text, text + text}, {Text, "plain é"}, {Text, text + text}}[i%4]
		if e != want {
			t.Fatalf("event %d is %q", i, e)
		}
	}
	if want := 4 * (len(payload)/7 + 1); len(whole.events) != want || whole.err != nil {
		t.Errorf("%d events of %d, %v", len(whole.events), want, whole.err)
	}
}

// RSV1 means compression on the first frame of a message only, and only when agreed to.
func TestNextRSV1(t *testing.T) {
	first := deflatedFrame(false, Text, nil)
	for _, tt := range []struct {
		name string
		in   []byte
		bad  bool
	}{
		{"text", deflatedFrame(true, Text, []byte{0}), false},
		{"binary", deflatedFrame(true, Binary, []byte{0}), false},
		{"first fragment", first, false},
		{"continuation", stream(first, deflatedFrame(true, Continuation, []byte{0})), true},
		{"continuation of a plain message", stream(clientFrame(false, Text, testMask, nil), deflatedFrame(true, Continuation, []byte{0})), true},
		{"continuation of nothing", deflatedFrame(true, Continuation, nil), true},
		{"new message inside of one", stream(first, deflatedFrame(true, Text, []byte{0})), true},
		{"ping", deflatedFrame(true, Ping, nil), true},
		{"pong", deflatedFrame(true, Pong, nil), true},
		{"close", deflatedFrame(true, Close, nil), true},
		{"reserved opcode", deflatedFrame(true, 3, nil), true},
		{"RSV2", []byte{0x80 | 0x20 | 1}, true},
		{"RSV1 and RSV3", []byte{0x80 | 0x50 | 2}, true},
	} {
		for _, chunks := range [][][]byte{{tt.in}, inChunks(tt.in, []byte{1})} {
			agreed := parseDeflated(t, chunks, 0, true)
			if (agreed.err != nil) != tt.bad || tt.bad && agreed.err.Code != StatusProtocolError {
				t.Errorf("%s: %v", tt.name, agreed.err)
			}
			if out := parseDeflated(t, chunks, 0, false); out.err == nil || out.err.Code != StatusProtocolError {
				t.Errorf("%s, not agreed to: %v", tt.name, out.err)
			}
		}
	}
}

// A message at its longest that does not get shorter may still come compressed, but not
// any longer than compression makes it.
func TestNextDeflatedBound(t *testing.T) {
	content := noise(5000)
	payload := deflated(t, 1, content)
	if len(payload) <= len(content) {
		t.Fatal("noise becomes shorter")
	}
	for most, want := range map[int64]*Error{5000: nil, 4999: ErrTooBig} {
		in := stream(deflatedFrame(false, Binary, payload[:100]), clientFrame(true, Continuation, testMask, payload[100:]))
		if out := parseDeflated(t, [][]byte{in}, most, true); out.err != want {
			t.Errorf("bound %d: %v", most, out.err)
		}
	}
	for n, want := range map[int]bool{5000 + 5000/8 + 64: true, 5000 + 5000/8 + 65: false} {
		var p Parser
		if _, _, _, err := p.Next(deflatedFrame(true, Binary, make([]byte, n)), 5000, true); (err == nil) != want {
			t.Errorf("%d bytes with a bound of 5000: %v", n, err)
		}
	}
	var p Parser
	if _, _, _, err := p.Next(clientFrame(true, Binary, testMask, make([]byte, 5001)), 5000, true); !errors.Is(err, ErrTooBig) {
		t.Errorf("plain: %v", err)
	}
}

// FuzzDeflate takes in as the stream of a client that has agreed to compression, with a
// compressed message of content behind. In pieces it must come to the same as whole.
func FuzzDeflate(f *testing.F) {
	f.Add(stream(deflatedFrame(true, Text, []byte("\xf2\x48\xcd\xc9\xc9\x07\x00"))), []byte("content"), []byte{3}, uint16(100), uint8(3))
	f.Add(deflatedFrame(true, Binary, []byte("\x03\x00\x03\x00\x00")), []byte("aaaaaaaaaaaaaaaaaaaaaaaa"), []byte{1, 2}, uint16(0), uint8(1))
	f.Add([]byte{}, []byte("aaaaaaaaaaaaaaaaaaaaaaaa"), []byte{1, 2}, uint16(5), uint8(0))
	f.Fuzz(func(t *testing.T, in, content, sizes []byte, maxMessage uint16, cut uint8) {
		payload := deflated(t, int(cut)%10, string(content))
		at := min(int(cut), len(payload))
		in = stream(in, deflatedFrame(false, Binary, payload[:at]), clientFrame(true, Continuation, testMask, payload[at:]))
		limit := int64(maxMessage)
		whole := parseDeflated(t, [][]byte{in}, limit, true)
		requireSame(t, "in pieces", parseDeflated(t, inChunks(in, sizes), limit, true), whole)
		requireSame(t, "byte by byte", parseDeflated(t, inChunks(in, []byte{1}), limit, true), whole)
		for _, e := range whole.events {
			if limit > 0 && e.op.IsData() && int64(len(e.data)) > limit {
				t.Fatalf("a message of %d bytes, bound %d", len(e.data), limit)
			}
		}
	})
}

// FuzzInflate compares Inflater with the standard library, which knows one final block, and
// holds it to its bound.
func FuzzInflate(f *testing.F) {
	f.Add([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00"))
	f.Add([]byte("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		src := bytes.NewReader(stream(payload, tail))
		want, err := io.ReadAll(io.LimitReader(flate.NewReader(src), 1<<20+1))
		var inflater Inflater
		if len(want) > 1<<20 {
			if _, err := inflater.Inflate(Binary, payload, 1<<20); !errors.Is(err, ErrTooBig) {
				t.Fatalf("more than 1 MiB: %v", err)
			}
			return
		}
		ended := src.Len() // where a final block of the client's has ended, if before the tail's
		got, gotErr := inflater.Inflate(Binary, payload, 0)
		got = bytes.Clone(got)
		for _, most := range []int{1, len(want) / 2, len(got) - 1, len(got)} {
			if most < 1 {
				continue // no limit
			}
			bounded, err := inflater.Inflate(Binary, payload, int64(most))
			if gotErr == nil && len(got) > most && !errors.Is(err, ErrTooBig) || gotErr == nil && len(got) <= most && !bytes.Equal(bounded, got) ||
				len(bounded) > most || err == nil && gotErr != nil {
				t.Fatalf("%d bytes with a bound of %d: %v; without %d, %v", len(bounded), most, err, len(got), gotErr)
			}
		}
		switch {
		case err != nil && gotErr == nil, err == nil && ended == 0 && (gotErr != nil || !bytes.Equal(got, want)),
			err == nil && gotErr == nil && !bytes.HasPrefix(got, want):
			t.Fatalf("%.100q, %v; the standard library says %.100q, %v, %d bytes left", got, gotErr, want, err, ended)
		}
	})
}
