package secure

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// However a stream is cut, nobody reads beyond a record, and each ends once.
func TestRecordBounds(t *testing.T) {
	lengths := []int{0, 1, 300, 16<<10 + 256, 0, 0, 0xffff, 5}
	var stream []byte
	for _, n := range lengths {
		stream = append(append(stream, 23, 3, 3, byte(n>>8), byte(n)), make([]byte, n)...)
	}
	for _, most := range []int{1, 2, 5, 6, 700, 1 << 20} {
		var r record
		rest, ends, at := bytes.Clone(stream), 0, 0
		for len(rest) > 0 {
			n := r.most(min(len(rest), 1+rand.IntN(most)))
			if n == 0 {
				t.Fatalf("at most %d bytes: nothing may be read at %d", most, at)
			}
			if began := r.begun(); began != (at > 0) {
				t.Fatalf("at most %d bytes: begun is %v after %d bytes of a record", most, began, at)
			}
			end := r.read(rest[:n])
			rest, at = rest[n:], at+n
			if at > recordHeader+lengths[ends] {
				t.Fatalf("at most %d bytes: %d were read of a record of %d", most, at, lengths[ends])
			}
			if end {
				if at != recordHeader+lengths[ends] {
					t.Fatalf("at most %d bytes: the end of a record of %d is at %d", most, lengths[ends], at)
				}
				ends, at = ends+1, 0
			}
		}
		if ends != len(lengths) || r.begun() {
			t.Errorf("at most %d bytes: %d ends of %d", most, ends, len(lengths))
		}
	}
}
