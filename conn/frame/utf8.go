package frame

import "encoding/binary"

// textState is how far the UTF-8 check of a message has come: between two
// sequences, inside one, or past saving. It carries the check over the gaps
// between parts and fragments. The zero value is the start of a message.
//
// A state's value is its place in the words of textSteps, six bits apart.
type textState uint8

const (
	textBetween textState = 6 * iota // no sequence is open: the message may end here
	textTail1                        // one more byte 80-BF
	textTail2                        // two more
	textTail3                        // three more
	textAfterE0                      // shorter forms exist: A0-BF, one more
	textAfterED                      // surrogates follow: 80-9F, one more
	textAfterF0                      // shorter forms exist: 90-BF, two more
	textAfterF4                      // the end at U+10FFFF: 80-8F, two more
	textInvalid                      // nothing leads out of here

	textStateMask = 1<<6 - 1
)

// textGrammar is the syntax of RFC 3629 section 4. What it does not list is
// invalid.
var textGrammar = [...]struct {
	from   textState
	lo, hi byte
	to     textState
}{
	{textBetween, 0x00, 0x7f, textBetween},
	{textBetween, 0xc2, 0xdf, textTail1},
	{textBetween, 0xe0, 0xe0, textAfterE0},
	{textBetween, 0xe1, 0xec, textTail2},
	{textBetween, 0xed, 0xed, textAfterED},
	{textBetween, 0xee, 0xef, textTail2},
	{textBetween, 0xf0, 0xf0, textAfterF0},
	{textBetween, 0xf1, 0xf3, textTail3},
	{textBetween, 0xf4, 0xf4, textAfterF4},
	{textTail1, 0x80, 0xbf, textBetween},
	{textTail2, 0x80, 0xbf, textTail1},
	{textTail3, 0x80, 0xbf, textTail2},
	{textAfterE0, 0xa0, 0xbf, textTail1},
	{textAfterED, 0x80, 0x9f, textTail1},
	{textAfterF0, 0x90, 0xbf, textTail2},
	{textAfterF4, 0x80, 0x8f, textTail2},
}

// textSteps holds the grammar as one word per byte value, and in it the next
// state for every state. A step is a load and a shift, with no branch to
// guess wrong: on text that is not ASCII it is about twice as fast as
// utf8.Valid, which moreover cannot stop in the middle of a sequence.
var textSteps = compileTextGrammar()

func compileTextGrammar() (steps [256]uint64) {
	for c := range steps {
		for from := textBetween; from <= textInvalid; from += 6 {
			to := textInvalid
			for _, rule := range textGrammar {
				if rule.from == from && int(rule.lo) <= c && c <= int(rule.hi) {
					to = rule.to
				}
			}
			steps[c] |= uint64(to) << from
		}
	}
	return steps
}

// next returns the state after b. textInvalid means that no continuation can
// make the message valid.
func (s textState) next(b []byte) textState {
	state := uint64(s)
	for len(b) >= 8 {
		if state&textStateMask == uint64(textBetween) {
			if b = skipASCII(b); len(b) < 8 {
				break
			}
		}
		// Written out: as a loop these eight steps take twice as long.
		w := b[:8:8]
		state = textSteps[w[0]] >> (state & textStateMask)
		state = textSteps[w[1]] >> (state & textStateMask)
		state = textSteps[w[2]] >> (state & textStateMask)
		state = textSteps[w[3]] >> (state & textStateMask)
		state = textSteps[w[4]] >> (state & textStateMask)
		state = textSteps[w[5]] >> (state & textStateMask)
		state = textSteps[w[6]] >> (state & textStateMask)
		state = textSteps[w[7]] >> (state & textStateMask)
		b = b[8:]
	}
	for _, c := range b {
		state = textSteps[c] >> (state & textStateMask)
	}
	return textState(state & textStateMask)
}

// skipASCII drops words without a high bit from the front of b.
func skipASCII(b []byte) []byte {
	const high = 0x8080808080808080
	for len(b) >= 32 {
		w := binary.LittleEndian.Uint64(b) | binary.LittleEndian.Uint64(b[8:]) |
			binary.LittleEndian.Uint64(b[16:]) | binary.LittleEndian.Uint64(b[24:])
		if w&high != 0 {
			break
		}
		b = b[32:]
	}
	for len(b) >= 8 && binary.LittleEndian.Uint64(b)&high == 0 {
		b = b[8:]
	}
	return b
}
