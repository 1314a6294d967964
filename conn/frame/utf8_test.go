package frame

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// canBecomeValid says by means of unicode/utf8 what textState should: whether
// some continuation makes b valid UTF-8.
func canBecomeValid(b []byte) bool {
	for n := range min(len(b), utf8.UTFMax-1) + 1 {
		head, tail := b[:len(b)-n], b[len(b)-n:]
		if utf8.Valid(head) && (n == 0 || !utf8.FullRune(tail)) {
			return true
		}
	}
	return false
}

// requireText checks the state after b against unicode/utf8.
func requireText(tb testing.TB, b []byte, state textState) {
	tb.Helper()
	if got, want := state == textBetween, utf8.Valid(b); got != want {
		tb.Fatalf("% x: valid is %v, want %v", b, got, want)
	}
	if got, want := state != textInvalid, canBecomeValid(b); got != want {
		tb.Fatalf("% x: can become valid is %v, want %v", b, got, want)
	}
}

// TestTextSequences tries every sequence of four bytes over the bounds of all
// ranges in the grammar.
func TestTextSequences(t *testing.T) {
	bounds := []byte{
		0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf,
		0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
	}
	var b [4]byte
	for _, b[0] = range bounds {
		for _, b[1] = range bounds {
			for _, b[2] = range bounds {
				for _, b[3] = range bounds {
					requireText(t, b[:], textBetween.next(b[:]))
				}
			}
		}
	}
	for _, b[0] = range bounds {
		requireText(t, b[:1], textBetween.next(b[:1]))
		for _, b[1] = range bounds {
			requireText(t, b[:2], textBetween.next(b[:2]))
			for _, b[2] = range bounds {
				requireText(t, b[:3], textBetween.next(b[:3]))
			}
		}
	}
}

// TestTextRunes tries every rune there is, and every surrogate.
func TestTextRunes(t *testing.T) {
	var b [utf8.UTFMax]byte
	for r := rune(0); r <= utf8.MaxRune; r++ {
		n := utf8.EncodeRune(b[:], r)
		if textBetween.next(b[:n]) != textBetween {
			t.Fatalf("%U is not valid", r)
		}
		if state := textBetween.next(b[:n-1]); (state == textBetween) != (n == 1) || state == textInvalid {
			t.Fatalf("%U without its last byte gives state %d", r, state)
		}
	}
	for r := rune(0xd800); r <= 0xdfff; r++ {
		if textBetween.next([]byte{0xed, 0x80 | byte(r>>6)&0x3f, 0x80 | byte(r)&0x3f}) != textInvalid {
			t.Fatalf("%U is valid", r)
		}
	}
}

// TestTextInWords moves good and bad sequences through the words that the check
// takes at a time, behind ASCII and behind other text.
func TestTextInWords(t *testing.T) {
	for _, fill := range []string{"a", "é"} {
		for _, seq := range []string{"", "é", "€", "😀", "\xff", "\x80", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xed\xa0\x80"} {
			for before := range 48 {
				for _, after := range []int{0, 1, 7, 8, 40} {
					b := []byte(strings.Repeat(fill, before) + seq + strings.Repeat(fill, after))
					requireText(t, b, textBetween.next(b))
				}
			}
		}
	}
}

// FuzzUTF8 compares text, whole and in three pieces, with unicode/utf8.
func FuzzUTF8(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte, cut1, cut2 uint8) {
		requireText(t, b, textBetween.next(b))
		i := min(int(cut1), len(b))
		j := min(i+int(cut2), len(b))
		state := textBetween.next(b[:i])
		requireText(t, b[:i], state)
		state = state.next(b[i:j])
		requireText(t, b[:j], state)
		requireText(t, b, state.next(b[j:]))
	})
}
