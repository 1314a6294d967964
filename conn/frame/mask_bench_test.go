package frame

import (
	"fmt"
	"testing"
)

// BenchmarkUnmask removes a mask that is not zero, in place: what is left does
// not matter for the time.
func BenchmarkUnmask(b *testing.B) {
	for _, size := range []int{5, 15, 31, 125, 128, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			buf, key := make([]byte, size), maskKey(0x12345678)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				key = unmask(buf, key)
			}
		})
	}
}
