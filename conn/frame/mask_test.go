package frame

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// TestUnmask compares with the definition in RFC 6455 section 5.3, in two
// pieces of all lengths around the block sizes, at all alignments.
func TestUnmask(t *testing.T) {
	const guard = 0xee
	for offset := range 8 {
		for first := range 70 {
			for _, second := range []int{0, 1, 3, 8, 16, 33} {
				buf := bytes.Repeat([]byte{guard}, offset+first+second+1)
				data := buf[offset : offset+first+second]
				want := make([]byte, len(data))
				for i := range data {
					data[i] = byte(i * 7)
					want[i] = data[i] ^ testMask[i%4]
				}
				key := maskKey(binary.LittleEndian.Uint32(testMask[:]))
				key = unmask(data[:first], key)
				unmask(data[first:], key)
				if !bytes.Equal(data, want) {
					t.Fatalf("offset %d, lengths %d and %d:\n got % x\nwant % x", offset, first, second, data, want)
				}
				if buf[len(buf)-1] != guard || bytes.Count(buf[:offset], []byte{guard}) != offset {
					t.Fatalf("offset %d, lengths %d and %d: wrote outside the data", offset, first, second)
				}
			}
		}
	}
}
