package frame

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// The frames of the table below. Each is masked with testMask.
func fin(op Opcode, payload string) []byte {
	return clientFrame(true, op, testMask, []byte(payload))
}

func more(op Opcode, payload string) []byte {
	return clientFrame(false, op, testMask, []byte(payload))
}

// announce is a header with a 64-bit length and no payload.
func announce(op Opcode, length uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte{bitFin | byte(op), bitMask | length64}, length)
	return append(b, testMask[:]...)
}

func stream(frames ...[]byte) []byte { return slices.Concat(frames...) }

var (
	text126   = strings.Repeat("a", 126)
	text64K   = strings.Repeat("b", 0x10000)
	longPing  = strings.Repeat("p", 125)
	maxLength = uint64(1)<<63 - 1
)

type streamCase struct {
	name    string
	in      []byte
	max     int64
	events  []event
	partial string
	err     *Error
}

// streams is RFC 6455 section 5 in cases: what is sent, and what must come of
// it. partial is what the parser hands out of a message that does not end, with
// the stream delivered whole.
var streams = []streamCase{
	// Section 5.7, examples, and 5.2, the three forms of a length.
	{name: "nothing"},
	{name: "RFC masked hello", in: []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, events: []event{{Text, "Hello"}}},
	{name: "RFC fragmented hello", in: stream(more(Text, "Hel"), fin(Continuation, "lo")), events: []event{{Text, "Hello"}}},
	{name: "empty text", in: fin(Text, ""), events: []event{{Text, ""}}},
	{name: "empty binary", in: fin(Binary, ""), events: []event{{Binary, ""}}},
	{name: "125 bytes", in: fin(Text, text126[:125]), events: []event{{Text, text126[:125]}}},
	{name: "126 bytes", in: fin(Text, text126), events: []event{{Text, text126}}},
	{name: "65535 bytes", in: fin(Binary, text64K[:0xffff]), events: []event{{Binary, text64K[:0xffff]}}},
	{name: "65536 bytes", in: fin(Binary, text64K), events: []event{{Binary, text64K}}},
	{name: "two messages", in: stream(fin(Text, "one"), fin(Binary, "two")), events: []event{{Text, "one"}, {Binary, "two"}}},
	{name: "binary is not text", in: fin(Binary, "\xff\xfe"), events: []event{{Binary, "\xff\xfe"}}},
	{name: "longest length", in: stream(announce(Binary, maxLength), []byte{'x' ^ testMask[0]}), partial: "x"},

	// Section 5.4, fragmentation.
	{name: "three fragments", in: stream(more(Binary, "a"), more(Continuation, "b"), fin(Continuation, "c")), events: []event{{Binary, "abc"}}},
	{name: "empty first fragment", in: stream(more(Text, ""), fin(Continuation, "x")), events: []event{{Text, "x"}}},
	{name: "empty middle fragments", in: stream(more(Text, "x"), more(Continuation, ""), more(Continuation, ""), fin(Continuation, "y")), events: []event{{Text, "xy"}}},
	{name: "empty last fragment", in: stream(more(Text, "x"), fin(Continuation, "")), events: []event{{Text, "x"}}},
	{name: "all fragments empty", in: stream(more(Binary, ""), more(Continuation, ""), fin(Continuation, "")), events: []event{{Binary, ""}}},
	{name: "unfinished message", in: stream(more(Text, "ab"), more(Continuation, "cd")), partial: "abcd"},
	{name: "unfinished frame", in: fin(Text, "abcdef")[:10], partial: "abcd"},
	{name: "header without payload", in: fin(Text, "abcdef")[:6]},
	{name: "half a header", in: fin(Text, text126)[:7]},
	{name: "continuation of nothing", in: fin(Continuation, "x"), err: ErrUnexpectedContinuation},
	{name: "continuation after the end", in: stream(more(Text, "x"), fin(Continuation, "y"), fin(Continuation, "z")), events: []event{{Text, "xy"}}, err: ErrUnexpectedContinuation},
	{name: "message inside a message", in: stream(more(Text, "x"), fin(Text, "y")), partial: "x", err: ErrExpectedContinuation},
	{name: "message after an empty fragment", in: stream(more(Text, ""), more(Binary, "y")), err: ErrExpectedContinuation},

	// Section 5.5, control frames.
	{name: "ping", in: fin(Ping, "hi"), events: []event{{Ping, "hi"}}},
	{name: "empty pong", in: fin(Pong, ""), events: []event{{Pong, ""}}},
	{name: "close", in: fin(Close, "\x03\xe8bye"), events: []event{{Close, "\x03\xe8bye"}}},
	{name: "longest ping", in: fin(Ping, longPing), events: []event{{Ping, longPing}}},
	{name: "unfinished longest ping", in: fin(Ping, longPing)[:130]},
	{name: "control between fragments", in: stream(more(Text, "a"), fin(Ping, "1"), more(Continuation, "b"), fin(Pong, ""), fin(Continuation, "c")),
		events: []event{{Ping, "1"}, {Pong, ""}, {Text, "abc"}}},
	{name: "control after an empty fragment", in: stream(more(Text, ""), fin(Ping, "1"), fin(Continuation, "")), events: []event{{Ping, "1"}, {Text, ""}}},
	{name: "ping too long", in: fin(Ping, text126), err: ErrControlTooLong},
	{name: "ping with 64-bit length", in: announce(Ping, 1), err: ErrControlTooLong},
	{name: "fragmented ping", in: more(Ping, ""), err: ErrControlFragmented},
	{name: "fragmented close in a message", in: stream(more(Text, "a"), more(Close, "")), partial: "a", err: ErrControlFragmented},

	// Sections 5.1 and 5.2, the rest of the header.
	{name: "no mask", in: []byte{0x81, 0x01, 'x'}, err: ErrMaskRequired},
	{name: "no mask, empty", in: []byte{0x82, 0x00}, err: ErrMaskRequired},
	{name: "no mask on a continuation", in: stream(more(Text, "a"), []byte{0x80, 0x00}), partial: "a", err: ErrMaskRequired},
	{name: "RSV1", in: []byte{0xc1, 0x80, 1, 2, 3, 4}, err: ErrReservedBits},
	{name: "RSV2", in: []byte{0xa1, 0x80, 1, 2, 3, 4}, err: ErrReservedBits},
	{name: "RSV3 on a ping", in: []byte{0x99, 0x80, 1, 2, 3, 4}, err: ErrReservedBits},
	{name: "opcode 3", in: fin(3, ""), err: ErrReservedOpcode},
	{name: "opcode 7", in: more(7, ""), err: ErrReservedOpcode},
	{name: "opcode 11", in: fin(11, ""), err: ErrReservedOpcode},
	{name: "opcode 15", in: fin(15, ""), err: ErrReservedOpcode},
	{name: "16-bit length of 125", in: []byte{0x82, 0xfe, 0, 125, 1, 2, 3, 4}, err: ErrNonMinimalLength},
	{name: "64-bit length of 65535", in: announce(Binary, 0xffff), err: ErrNonMinimalLength},
	{name: "64-bit length of 0", in: announce(Binary, 0), err: ErrNonMinimalLength},
	{name: "64-bit length with the top bit", in: announce(Binary, 1<<63), err: ErrLengthOverflow},
	{name: "all bits of a length", in: announce(Binary, 1<<64-1), err: ErrLengthOverflow},
	{name: "messages before the fault", in: stream(fin(Text, "a"), fin(Ping, ""), fin(5, "")), events: []event{{Text, "a"}, {Ping, ""}}, err: ErrReservedOpcode},

	// Section 7.4.1, 1009.
	{name: "as long as allowed", in: fin(Binary, "12345678"), max: 8, events: []event{{Binary, "12345678"}}},
	{name: "longer than allowed", in: fin(Binary, "123456789"), max: 8, err: ErrTooBig},
	{name: "longer than allowed, header only", in: fin(Binary, "123456789")[:6], max: 8, err: ErrTooBig},
	{name: "fragments as long as allowed", in: stream(more(Text, "12345"), fin(Continuation, "678")), max: 8, events: []event{{Text, "12345678"}}},
	{name: "fragments longer than allowed", in: stream(more(Text, "12345"), more(Continuation, "6789")), max: 8, partial: "12345", err: ErrTooBig},
	{name: "fragment that overflows the sum", in: stream(more(Binary, "1"), announce(Continuation, maxLength)), max: 8, partial: "1", err: ErrTooBig},
	{name: "limit counts per message", in: stream(fin(Text, "12345"), more(Text, "12345"), fin(Continuation, ""), fin(Text, "12345")), max: 8,
		events: []event{{Text, "12345"}, {Text, "12345"}, {Text, "12345"}}},
	{name: "limit leaves control alone", in: stream(more(Text, "12345678"), fin(Ping, longPing), fin(Continuation, "")), max: 8,
		events: []event{{Ping, longPing}, {Text, "12345678"}}},

	// Section 8.1, text.
	{name: "text", in: fin(Text, "κόσμε 日本 😀"), events: []event{{Text, "κόσμε 日本 😀"}}},
	{name: "sequence over fragments", in: stream(more(Text, "\xf0"), more(Continuation, "\x9f\x98"), fin(Ping, "\xff"), fin(Continuation, "\x80")),
		events: []event{{Ping, "\xff"}, {Text, "😀"}}},
	{name: "sequence over an empty fragment", in: stream(more(Text, "\xc3"), more(Continuation, ""), fin(Continuation, "\xa9")), events: []event{{Text, "é"}}},
	{name: "bad text", in: fin(Text, "a\xffb"), err: ErrInvalidUTF8},
	{name: "bad text in an unfinished frame", in: fin(Text, "ab\xc0"+text126)[:11], err: ErrInvalidUTF8},
	{name: "surrogate", in: fin(Text, "\xed\xa0\x80"), err: ErrInvalidUTF8},
	{name: "above U+10FFFF, unfinished", in: more(Text, "\xf4\x90"), err: ErrInvalidUTF8},
	{name: "ends inside a sequence", in: fin(Text, "a\xe2\x82"), err: ErrInvalidUTF8},
	{name: "empty last fragment ends inside a sequence", in: stream(more(Text, "\xe2\x82"), fin(Continuation, "")), partial: "\xe2\x82", err: ErrInvalidUTF8},
	{name: "bad continuation", in: stream(more(Text, "\xe2\x82"), fin(Continuation, "x")), partial: "\xe2\x82", err: ErrInvalidUTF8},
	{name: "text starts anew", in: stream(fin(Binary, "\xe2\x82"), fin(Text, "\xac")), events: []event{{Binary, "\xe2\x82"}}, err: ErrInvalidUTF8},
}

// TestStreams delivers every case whole, byte by byte, and cut in two at every
// place.
func TestStreams(t *testing.T) {
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			whole := parse(t, [][]byte{tt.in}, tt.max)
			if !slices.Equal(whole.events, tt.events) || whole.partial != tt.partial || whole.err != tt.err {
				t.Fatalf("got %v", whole)
			}
			requireSame(t, "byte by byte", parse(t, inChunks(tt.in, []byte{1}), tt.max), whole)
			step := 1 + len(tt.in)/2000 // a long payload is the same everywhere
			for i := 1; i < len(tt.in); i += step {
				cut := [][]byte{tt.in[:i], tt.in[i:]}
				requireSame(t, fmt.Sprintf("cut at %d", i), parse(t, cut, tt.max), whole)
			}
		})
	}
}

// TestFaultsShowEarly takes away the last byte of a stream whose fault that byte
// brings to light: without it the parser must still wait, with it it must not.
func TestFaultsShowEarly(t *testing.T) {
	for _, tt := range []struct {
		in  []byte
		max int64
		err *Error
	}{
		{in: []byte{0xc1}, err: ErrReservedBits},
		{in: []byte{0x83}, err: ErrReservedOpcode},
		{in: []byte{0x09}, err: ErrControlFragmented},
		{in: []byte{0x80}, err: ErrUnexpectedContinuation},
		{in: append(more(Text, "a"), 0x82), err: ErrExpectedContinuation},
		{in: []byte{0x89, 0xfe}, err: ErrControlTooLong},
		{in: []byte{0x81, 0x7f}, err: ErrMaskRequired},
		{in: []byte{0x82, 0xfe, 0, 125}, err: ErrNonMinimalLength},
		{in: announce(Binary, 0xffff)[:10], err: ErrNonMinimalLength},
		{in: announce(Binary, 1<<63)[:10], err: ErrLengthOverflow},
		{in: fin(Binary, "123456789")[:2], max: 8, err: ErrTooBig},
		{in: announce(Binary, maxLength)[:10], max: 1 << 20, err: ErrTooBig},
		{in: fin(Text, "ab\xc0"+text126)[:11], err: ErrInvalidUTF8},
	} {
		if out := parse(t, [][]byte{tt.in}, tt.max); out.err != tt.err {
			t.Errorf("% x: error %v, want %v", tt.in, out.err, tt.err)
		}
		if out := parse(t, [][]byte{tt.in[:len(tt.in)-1]}, tt.max); out.err != nil {
			t.Errorf("% x without its last byte: error %v", tt.in, out.err)
		}
	}
}

// TestStreamsCoverErrors also guards the list a Parser remembers its error by:
// an error missing there would leave the parser alive, which parse notices.
func TestStreamsCoverErrors(t *testing.T) {
	for _, e := range parserErrors {
		if !slices.ContainsFunc(streams, func(c streamCase) bool { return c.err == e }) {
			t.Errorf("no case for %v", e)
		}
	}
}

// TestRandomStreams sends random valid messages in random fragments and pieces,
// with pings in between, and expects exactly them.
func TestRandomStreams(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune("az09 éßжя日本€😀\U0010ffff")
	for range 300 {
		var in []byte
		var want []event
		for range 1 + r.IntN(5) {
			op, message := Binary, make([]byte, r.IntN(300))
			if r.IntN(20) == 0 {
				message = make([]byte, 0xfff0+r.IntN(0x20))
			}
			for i := range message {
				message[i] = byte(r.Uint32())
			}
			if r.IntN(2) == 0 {
				op, message = Text, nil
				for range r.IntN(300) {
					message = append(message, string(alphabet[r.IntN(len(alphabet))])...)
				}
			}
			for rest, frameOp := message, op; ; frameOp = Continuation {
				n, last := len(rest), r.IntN(3) == 0
				if !last {
					n = r.IntN(n + 1)
				}
				var mask [4]byte
				binary.BigEndian.PutUint32(mask[:], r.Uint32())
				in = append(in, clientFrame(last, frameOp, mask, rest[:n])...)
				if rest = rest[n:]; last {
					break
				}
				if r.IntN(4) == 0 {
					in = append(in, fin(Ping, "still there?")...)
					want = append(want, event{Ping, "still there?"})
				}
			}
			want = append(want, event{op, string(message)})
		}
		sizes := make([]byte, 8)
		for i := range sizes {
			sizes[i] = byte(1 + r.IntN(1<<r.IntN(8)))
		}
		whole := parse(t, [][]byte{in}, 1<<20)
		if !slices.Equal(whole.events, want) || whole.err != nil || whole.parser != (Parser{}) || whole.leftover != "" {
			t.Fatalf("stream %x: %v", in, whole)
		}
		requireSame(t, fmt.Sprint("pieces of ", sizes), parse(t, inChunks(in, sizes), 1<<20), whole)
	}
}

// TestProgress pins down what Next consumes while it has nothing to hand out.
func TestProgress(t *testing.T) {
	ping := fin(Ping, "hi")
	for _, tt := range []struct {
		name string
		in   []byte
		n    int
	}{
		{"nothing", nil, 0},
		{"one byte", []byte{0x81}, 0},
		{"header without payload", fin(Text, "abc")[:6], 6},
		{"header without payload after empty fragments", stream(more(Text, ""), more(Continuation, ""), fin(Continuation, "abc")[:6]), 18},
		{"half a header after an empty fragment", stream(more(Text, ""), fin(Continuation, "abc")[:4]), 6},
		{"control frame without its last byte", ping[:len(ping)-1], 0},
		{"the same after an empty fragment", stream(more(Text, ""), ping[:len(ping)-1]), 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p Parser
			if part, n, ok, err := p.Next(tt.in, 0, false); n != tt.n || ok || err != nil || part.Data != nil {
				t.Fatalf("part %+v, n %d, ok %v, error %v; want n %d", part, n, ok, err, tt.n)
			}
		})
	}
}

// TestParserIsSmallAndPlain: a connection in the middle of a message stores
// its parser, so the size counts, and a pointer would cost the collector.
func TestParserIsSmallAndPlain(t *testing.T) {
	if size := unsafe.Sizeof(Parser{}); size > 32 {
		t.Errorf("Parser has %d bytes", size)
	}
	typ := reflect.TypeFor[Parser]()
	for i := range typ.NumField() {
		if f := typ.Field(i); f.Type.Kind() > reflect.Uint64 {
			t.Errorf("field %s is a %s", f.Name, f.Type.Kind())
		}
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	var zero [4]byte // leaves the input as it was for the next run
	payload := bytes.Repeat([]byte("é"), 500)
	in := stream(
		clientFrame(true, Text, zero, payload),
		clientFrame(true, Ping, zero, payload[:100]),
		clientFrame(false, Text, zero, payload[:99]),
		clientFrame(true, Continuation, zero, payload[99:]),
		[]byte{0x81}) // half a header
	for _, size := range []int{1, 64, 1000, len(in)} {
		var parts int
		allocs := testing.AllocsPerRun(10, func() {
			var p Parser
			start := 0
			parts = 0
			for end := 0; end < len(in); {
				end = min(end+size, len(in))
				for {
					_, n, ok, err := p.Next(in[start:end], 1<<20, false)
					if err != nil {
						t.Fatal(err)
					}
					if start += n; !ok {
						break
					}
					parts++
				}
			}
		})
		if allocs != 0 || parts < 4 {
			t.Errorf("pieces of %d: %v allocations for %d parts", size, allocs, parts)
		}
	}
	bad := clientFrame(true, 5, zero, nil)
	if allocs := testing.AllocsPerRun(10, func() {
		var p Parser
		if _, _, _, err := p.Next(bad, 0, false); err == nil {
			t.Fatal("no error")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations for an error", allocs)
	}
}
