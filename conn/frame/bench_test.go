package frame

import (
	"bytes"
	"testing"
)

// BenchmarkNext parses whole frames. The mask is zero, so that unmasking in
// place leaves the input as it was for the next round; the work is the same.
func BenchmarkNext(b *testing.B) {
	ascii := bytes.Repeat([]byte("plain text, "), 64<<10/12+1)
	cyrillic := bytes.Repeat([]byte("привет, мир "), 64<<10/21+1)
	for _, bm := range []struct {
		name    string
		op      Opcode
		payload []byte
	}{
		{"text/15B", Text, ascii[:15]},
		{"text/31B", Text, ascii[:31]},
		{"text/128B", Text, ascii[:128]},
		{"text/64KiB", Text, ascii[:64<<10]},
		{"cyrillic/64KiB", Text, cyrillic[:21*3120]},
		{"binary/128B", Binary, ascii[:128]},
		{"binary/64KiB", Binary, ascii[:64<<10]},
		{"ping/0B", Ping, nil},
	} {
		b.Run(bm.name, func(b *testing.B) {
			in := clientFrame(true, bm.op, [4]byte{}, bm.payload)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			var p Parser
			for b.Loop() {
				if _, n, ok, err := p.Next(in, 1<<20, false); n != len(in) || !ok || err != nil {
					b.Fatal(n, ok, err)
				}
			}
		})
	}
}

// BenchmarkNextInParts parses one text message that arrives 4 KiB at a time.
func BenchmarkNextInParts(b *testing.B) {
	in := clientFrame(true, Text, [4]byte{}, bytes.Repeat([]byte("plain text, "), 64<<10/12))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	var p Parser
	for b.Loop() {
		for rest := in; len(rest) > 0; {
			part, n, ok, err := p.Next(rest[:min(len(rest), 4<<10)], 1<<20, false)
			if rest = rest[n:]; !ok || err != nil || part.Last != (len(rest) == 0) {
				b.Fatal(part.Last, ok, err)
			}
		}
	}
}

func BenchmarkPrepare(b *testing.B) {
	payload := make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		Prepare(Binary, payload)
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	payload := make([]byte, 128)
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		AppendFrame(dst, Binary, payload)
	}
}
