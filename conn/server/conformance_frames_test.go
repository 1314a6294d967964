//go:build linux

package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"roost/conn/server"
)

const (
	fin    = 0x80 // in the first byte of a header
	mask   = 0x80 // in the second
	len16  = 126
	len64  = 127
	cont   = ws.OpContinuation
	maxLen = 1<<63 - 1
)

// TestSection52Lengths has every form of a length at its bounds, for text and
// binary, and every way to write one wrongly.
func TestSection52Lengths(t *testing.T) {
	var cases []exchange
	for _, n := range []int{0, 1, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537} {
		payload := strings.Repeat("length", n/6+1)[:n]
		for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary} {
			cases = append(cases, exchange{name: fmt.Sprintf("opcode %d with %d bytes", op, n),
				in: final(op, payload), want: []answer{{op, payload}}})
		}
	}
	for _, n := range []uint64{0, 1, 125} {
		cases = append(cases, exchange{name: fmt.Sprintf("%d in 16 bits", n),
			in: header(fin|2, mask|len16, n)[:4], code: 1002})
	}
	for _, n := range []uint64{0, 1, 125, 126, 65535} {
		cases = append(cases, exchange{name: fmt.Sprintf("%d in 64 bits", n),
			in: header(fin|2, mask|len64, n)[:10], code: 1002})
	}
	cases = append(cases,
		exchange{name: "bit 63", in: header(fin|2, mask|len64, 1<<63)[:10], code: 1002},
		exchange{name: "all bits", in: header(fin|1, mask|len64, 1<<64-1)[:10], code: 1002},
		exchange{name: "63 bits", in: header(fin|2, mask|len64, maxLen)[:10], code: 1009},
		exchange{name: "not minimal on a continuation", in: stream(partial(ws.OpText, "a"), header(fin, mask|len16, 1)[:4]), code: 1002},
	)
	conform(t, server.Config{}, cases)
}

// TestSection52LongestLength: without a limit of the server's own, 63 bits are a length.
func TestSection52LongestLength(t *testing.T) {
	conform(t, server.Config{MaxMessage: -1}, []exchange{
		{name: "63 bits", in: stream(header(fin|2, mask|len64, maxLen), []byte("the beginning of much")), unfinished: true},
		{name: "63 bits of text", in: stream(header(fin|1, mask|len64, maxLen), []byte("a\xff")), code: 1007},
		{name: "63 bits in a fragment", in: stream(partial(ws.OpBinary, "a"), header(fin, mask|len64, maxLen), []byte("b")), unfinished: true},
		{name: "64 bits", in: header(fin|2, mask|len64, 1<<63)[:10], code: 1002},
	})
}

// TestSection52ReservedBits has all values of the three bits on every opcode,
// alone and between good messages.
func TestSection52ReservedBits(t *testing.T) {
	var cases []exchange
	for rsv := byte(0x10); rsv <= 0x70; rsv += 0x10 {
		for _, op := range []byte{0, 1, 2, 8, 9, 10} {
			cases = append(cases,
				exchange{name: fmt.Sprintf("%#x on opcode %d", rsv, op), in: []byte{fin | rsv | op}, code: 1002},
				exchange{name: fmt.Sprintf("%#x on opcode %d after a message", rsv, op),
					in: stream(final(ws.OpText, "good"), []byte{fin | rsv | op}), want: []answer{echoed("good")}, code: 1002})
		}
		cases = append(cases, exchange{name: fmt.Sprintf("%#x in a message", rsv),
			in: stream(partial(ws.OpText, "a"), []byte{rsv}), code: 1002})
	}
	conform(t, server.Config{}, cases)
}

// TestSection52Opcodes has every reserved opcode, final and not, alone, between
// good messages and inside of one.
func TestSection52Opcodes(t *testing.T) {
	var cases []exchange
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		for _, b0 := range []byte{fin | op, op} {
			cases = append(cases,
				exchange{name: fmt.Sprintf("%#x", b0), in: []byte{b0}, code: 1002},
				exchange{name: fmt.Sprintf("%#x after a message", b0),
					in: stream(final(ws.OpBinary, "good"), []byte{b0}), want: []answer{{ws.OpBinary, "good"}}, code: 1002},
				exchange{name: fmt.Sprintf("%#x in a message", b0), in: stream(partial(ws.OpText, "a"), []byte{b0}), code: 1002})
		}
	}
	conform(t, server.Config{}, cases)
}

// TestSection51Mask: every frame of a client's is masked, also an empty one, and
// any key will do.
func TestSection51Mask(t *testing.T) {
	var cases []exchange
	for _, op := range []byte{1, 2, 8, 9, 10} {
		for _, length := range []byte{0, 1, 125} {
			cases = append(cases, exchange{name: fmt.Sprintf("opcode %d with %d bytes", op, length),
				in: []byte{fin | op, length}, code: 1002})
		}
	}
	cases = append(cases,
		exchange{name: "16-bit length", in: []byte{fin | 1, len16}, code: 1002},
		exchange{name: "64-bit length", in: []byte{fin | 1, len64}, code: 1002},
		exchange{name: "continuation", in: stream(partial(ws.OpText, "a"), []byte{fin, 1}), code: 1002},
		exchange{name: "second frame", in: stream(final(ws.OpText, "a"), []byte{fin | 1, 1}), want: []answer{echoed("a")}, code: 1002},
		exchange{name: "key of zeros", in: stream(header(fin|1, mask|5, 0), []byte("zeros")), want: []answer{echoed("zeros")}},
		exchange{name: "key of ones", in: []byte{fin | 1, mask | 1, 0xff, 0xff, 0xff, 0xff, ^byte('x')}, want: []answer{echoed("x")}},
		// The example of section 5.7.
		exchange{name: "hello", in: []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, want: []answer{echoed("Hello")}},
	)
	conform(t, server.Config{}, cases)
}

// TestSection54Fragments: which frame may follow which, and that the parts make
// the whole.
func TestSection54Fragments(t *testing.T) {
	a, b, c := partial(ws.OpText, "a"), partial(cont, "b"), final(cont, "c")
	abc := []answer{echoed("abc")}
	cases := []exchange{
		{name: "three", in: stream(a, b, c), want: abc},
		{name: "three, twice", in: stream(a, b, c, a, b, c), want: append(abc, abc...)},
		{name: "binary", in: stream(partial(ws.OpBinary, "\xff"), final(cont, "\x00")), want: []answer{{ws.OpBinary, "\xff\x00"}}},
		{name: "all empty", in: stream(partial(ws.OpText, ""), partial(cont, ""), final(cont, "")), want: []answer{echoed("")}},
		{name: "empty around text", in: stream(partial(ws.OpText, ""), partial(cont, "middle"), final(cont, "")), want: []answer{echoed("middle")}},
		{name: "empty in between", in: stream(a, partial(cont, ""), partial(cont, ""), b, c), want: abc},
		{name: "no end", in: stream(a, b, b), unfinished: true},
		{name: "no payload yet", in: stream(a, header(fin, mask|5, 0)), unfinished: true},
		{name: "long ones", in: stream(partial(ws.OpText, strings.Repeat("x", 70_000)), final(cont, strings.Repeat("y", 300))),
			want: []answer{echoed(strings.Repeat("x", 70_000) + strings.Repeat("y", 300))}},

		{name: "continuation of nothing, final", in: []byte{fin}, code: 1002},
		{name: "continuation of nothing", in: []byte{0}, code: 1002},
		{name: "continuation after a whole message", in: stream(final(ws.OpText, "a"), []byte{fin}), want: []answer{echoed("a")}, code: 1002},
		{name: "continuation after the last fragment", in: stream(a, b, c, []byte{0}), want: abc, code: 1002},
		{name: "continuation after a ping", in: stream(final(ws.OpPing, "p"), []byte{fin}), want: []answer{ponged("p")}, code: 1002},
	}
	for _, op := range []byte{1, 2} {
		for _, b0 := range []byte{op, fin | op} {
			cases = append(cases,
				exchange{name: fmt.Sprintf("start %#x in a message", b0), in: stream(a, []byte{b0}), code: 1002},
				exchange{name: fmt.Sprintf("start %#x after a continuation", b0), in: stream(a, b, []byte{b0}), code: 1002},
				exchange{name: fmt.Sprintf("start %#x after an empty fragment", b0), in: stream(partial(ws.OpBinary, ""), []byte{b0}), code: 1002},
				exchange{name: fmt.Sprintf("start %#x after a ping in a message", b0),
					in: stream(a, final(ws.OpPing, ""), []byte{b0}), want: []answer{ponged("")}, code: 1002})
		}
	}
	conform(t, server.Config{}, cases)
}
