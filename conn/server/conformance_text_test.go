//go:build linux

package server_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"roost/conn/server"
)

// texts are sequences at the bounds of UTF-8: the first and the last of each
// length, boundary code points, noncharacters, which are valid, and every way to be
// malformed. Which of them are text is left to unicode/utf8.
var texts = []string{
	"\u03ba\u1f79\u03c3\u03bc\u03b5", "\u65e5\u672c\u8a9e", "\U0001f600",
	// The first and the last code point of each length, also of the five and six
	// bytes that RFC 3629 took away.
	"\x00", "\u0080", "\u0800", "\U00010000", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80",
	"\x7f", "\u07ff", "\uffff", "\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf",
	"\ud7ff", "\ue000", "\ufffd", "\U0010ffff", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
	// Continuation bytes without a beginning.
	"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf",
	// Beginnings without an end, before a space and at the end.
	"\xc2 ", "\xdf ", "\xe0 ", "\xef ", "\xf0 ", "\xf4 ", "\xe1\x80 ", "\xf1\x80 ", "\xf1\x80\x80 ",
	"\xc2", "\xdf", "\xe0\xa0", "\xef\xbf", "\xed\x9f", "\xf0\x90\x80", "\xf4\x8f\xbf", "\xf0", "\xe1",
	"\xc2\xc2\x80", "\xe0\xa0\xf0\x90\x80\x80",
	// Bytes that are never text.
	"\xc0", "\xc1", "\xf5", "\xfe", "\xff", "\xfe\xfe\xff\xff",
	// Longer than they need be.
	"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf",
	"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80",
	// Surrogates, single and in pairs.
	"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf",
	"\xed\xa0\x80\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf",
	// Noncharacters.
	"\ufdd0", "\ufdef", "\ufffe", "\U0001ffff", "\U0002fffe", "\U0010fffe",
}

// badAt returns how many bytes of s it takes to see that s is no beginning of a
// text, or -1 when all of them may be one.
func badAt(s string) int {
	for n := 1; n <= len(s); n++ {
		i := 0
		for i < n {
			r, size := utf8.DecodeRuneInString(s[i:n])
			if r == utf8.RuneError && size == 1 {
				if utf8.FullRuneInString(s[i:n]) {
					return n
				}
				break
			}
			i += size
		}
	}
	return -1
}

// TestSection81Text sends every sequence behind good text, in a frame that
// announces more than ever comes, and in a message of which each byte is a
// fragment, with pings in between. The end must come with the byte that is wrong,
// or with the end of the message when that is cut short.
func TestSection81Text(t *testing.T) {
	const before, after = "\u00b5", " and more"
	var cases []exchange
	add := func(name string, s string, in []byte, want []answer, code ws.StatusCode, unfinished bool) {
		cases = append(cases, exchange{name: fmt.Sprintf("% x %s", s, name), in: in, want: want, code: code, unfinished: unfinished})
	}
	for _, s := range texts {
		text := before + s
		if n := badAt(text); n >= 0 {
			frame := final(ws.OpText, text+after)
			add("fails at its byte", s, frame[:len(frame)-len(text+after)+n], nil, 1007, false)
			in, pongs := fragments(text[:n-1])
			last := partial(cont, text[n-1:n]+after)
			add("fails in a fragment", s, stream(in, last[:len(last)-len(after)]), pongs, 1007, false)
			continue
		}
		in, pongs := fragments(text)
		if utf8.ValidString(s) {
			add("is text", s, final(ws.OpText, text+after), []answer{echoed(text + after)}, 0, false)
			add("is text in fragments", s, stream(in, final(cont, after)), append(pongs, echoed(text+after)), 0, false)
			continue
		}
		add("is cut short", s, final(ws.OpText, text), nil, 1007, false)
		add("may go on", s, partial(ws.OpText, text), nil, 0, true)
		// An empty last fragment brings no byte: its header is the end.
		add("is cut short in fragments", s, stream(in, final(cont, "")), pongs, 1007, false)
	}
	conform(t, server.Config{}, cases)
}

// fragments makes every byte of text a fragment, none the last, and has a ping that
// is no text follow each third.
func fragments(text string) (in []byte, pongs []answer) {
	op := ws.OpText
	for i := range len(text) {
		in = append(in, partial(op, text[i:i+1])...)
		op = cont
		if i%3 == 0 {
			in = append(in, final(ws.OpPing, "\xff")...)
			pongs = append(pongs, ponged("\xff"))
		}
	}
	return in, pongs
}

// TestSection81OnlyText: nothing but text has to be UTF-8, and each message begins anew.
func TestSection81OnlyText(t *testing.T) {
	conform(t, server.Config{}, []exchange{
		{name: "binary", in: final(ws.OpBinary, "\xff\xc0\x80"), want: []answer{{ws.OpBinary, "\xff\xc0\x80"}}},
		{name: "binary fragments", in: stream(partial(ws.OpBinary, "\xe2"), final(cont, "\x28")), want: []answer{{ws.OpBinary, "\xe2\x28"}}},
		{name: "binary does not begin a text", in: stream(final(ws.OpBinary, "\xe2\x82"), final(ws.OpText, "\xac")[:7]),
			want: []answer{{ws.OpBinary, "\xe2\x82"}}, code: 1007},
		{name: "text after bad binary", in: stream(final(ws.OpBinary, "\xff"), final(ws.OpText, "good")),
			want: []answer{{ws.OpBinary, "\xff"}, echoed("good")}},
		{name: "a long frame", in: final(ws.OpText, strings.Repeat("long ", 40_000)+"\xff"+strings.Repeat("more ", 40_000))[:14+200_001], code: 1007},
		{name: "good text before bad", in: stream(final(ws.OpText, "good"), final(ws.OpText, "b\xffd")[:8]), want: []answer{echoed("good")}, code: 1007},
	})
}
