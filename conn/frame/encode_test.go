package frame

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"
)

var encodings = []struct {
	name   string
	op     Opcode
	size   int
	header int
}{
	{"empty text", Text, 0, 2},
	{"short text", Text, 1, 2},
	{"longest short binary", Binary, 125, 2},
	{"shortest 16-bit length", Binary, 126, 4},
	{"longest 16-bit length", Text, 0xffff, 4},
	{"shortest 64-bit length", Binary, 0x10000, 10},
	{"empty ping", Ping, 0, 2},
	{"longest pong", Pong, 125, 2},
	{"close", Close, 2, 2},
}

// TestAppendFrame compares with the frames gobwas/ws makes.
func TestAppendFrame(t *testing.T) {
	for _, tt := range encodings {
		t.Run(tt.name, func(t *testing.T) {
			payload := bytes.Repeat([]byte("x"), tt.size)
			want := ws.MustCompileFrame(ws.NewFrame(tt.op, true, payload))
			if got := AppendFrame(nil, tt.op, payload); !bytes.Equal(got, want) {
				t.Errorf("got %.20x, %d bytes; want %.20x, %d bytes", got, len(got), want, len(want))
			}
			if got := AppendFrame([]byte("before"), tt.op, payload); !bytes.Equal(got, append([]byte("before"), want...)) {
				t.Errorf("appended: got %.20x, %d bytes", got, len(got))
			}
			if got := HeaderSize(tt.size); got != tt.header {
				t.Errorf("HeaderSize is %d, want %d", got, tt.header)
			}
		})
	}
}

func TestPrepare(t *testing.T) {
	for _, tt := range encodings {
		t.Run(tt.name, func(t *testing.T) {
			payload := bytes.Repeat([]byte("x"), tt.size)
			f := Prepare(tt.op, payload)
			want := bytes.Clone(payload)
			clear(payload) // the frame must have its own copy
			if !bytes.Equal(f.Bytes(), AppendFrame(nil, tt.op, want)) {
				t.Errorf("Bytes is %.20x, %d bytes", f.Bytes(), len(f.Bytes()))
			}
			if f.Opcode() != tt.op {
				t.Errorf("Opcode is %d, want %d", f.Opcode(), tt.op)
			}
			if !bytes.Equal(f.Payload(), want) {
				t.Errorf("Payload is %.20x, %d bytes", f.Payload(), len(f.Payload()))
			}
			if len(want) > 0 && &f.Payload()[0] != &f.Bytes()[tt.header] {
				t.Error("Payload does not alias Bytes")
			}
		})
	}
}

// TestControlFramesStayValid: there is no valid control frame above 125 bytes.
func TestControlFramesStayValid(t *testing.T) {
	payload := bytes.Repeat([]byte("x"), 0x10000)
	want := AppendFrame(nil, Ping, payload[:125])
	if got := AppendFrame(nil, Ping, payload); !bytes.Equal(got, want) {
		t.Errorf("AppendFrame gives %d bytes, want %d", len(got), len(want))
	}
	f := Prepare(Ping, payload)
	if !bytes.Equal(f.Bytes(), want) || !bytes.Equal(f.Payload(), payload[:125]) {
		t.Errorf("Prepare gives %d bytes with %d of payload", len(f.Bytes()), len(f.Payload()))
	}
}

// TestReservedBitsStayClear: bits beyond an opcode's four would be RSV and FIN.
func TestReservedBitsStayClear(t *testing.T) {
	if got := AppendFrame(nil, 0x70|Text, nil); got[0] != 0x81 {
		t.Errorf("first byte is %#x", got[0])
	}
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 0x10000+16)
	payload := make([]byte, 0x10000)
	f := Prepare(Binary, payload)
	for name, run := range map[string]func(){
		"AppendFrame short":   func() { AppendFrame(dst, Text, payload[:100]) },
		"AppendFrame long":    func() { AppendFrame(dst, Binary, payload) },
		"AppendClose":         func() { AppendClose(dst, StatusGoingAway, "the server restarts") },
		"ParseClose":          func() { _, _, _ = ParseClose([]byte{0x03, 0xe8, 'o', 'k'}) },
		"the prepared frame":  func() { _, _, _ = f.Bytes(), f.Opcode(), f.Payload() },
		"AppendFrame control": func() { AppendFrame(dst, Pong, payload) },
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
