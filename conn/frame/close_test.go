package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

func TestParseClose(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload string
		code    StatusCode
		reason  string
		err     error
	}{
		{"empty", "", StatusNoStatus, "", nil},
		{"one byte", "\x03", 0, "", ErrBadClosePayload},
		{"code alone", "\x03\xe8", StatusNormal, "", nil},
		{"code and reason", "\x03\xe9bye, мир", StatusGoingAway, "bye, мир", nil},
		{"longest", "\x03\xf0" + strings.Repeat("x", 123), StatusPolicyViolation, strings.Repeat("x", 123), nil},
		{"reason not UTF-8", "\x03\xe8\xff", 0, "", ErrInvalidUTF8},
		{"reason ends inside a sequence", "\x03\xe8\xe2\x82", 0, "", ErrInvalidUTF8},
		{"bad code before a bad reason", "\x03\xed\xff", 0, "", ErrBadCloseCode},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, reason, err := ParseClose([]byte(tt.payload))
			if code != tt.code || string(reason) != tt.reason || !errors.Is(err, tt.err) {
				t.Errorf("got %d, %q, %v", code, reason, err)
			}
		})
	}
}

func TestCloseCodes(t *testing.T) {
	for _, tt := range []struct {
		from, to StatusCode
		valid    bool
	}{
		{0, 999, false},
		{1000, 1003, true},
		{1004, 1006, false},
		{1007, 1014, true},
		{1015, 2999, false},
		{3000, 4999, true},
		{5000, 65535, false},
	} {
		for code := int(tt.from); code <= int(tt.to); code++ {
			payload := binary.BigEndian.AppendUint16(nil, uint16(code))
			switch got, _, err := ParseClose(payload); {
			case tt.valid && (got != StatusCode(code) || err != nil):
				t.Errorf("%d: got %d, %v", code, got, err)
			case !tt.valid && !errors.Is(err, ErrBadCloseCode):
				t.Errorf("%d: got %d, %v", code, got, err)
			}
			want := []byte{0x88, 0x00}
			if tt.valid {
				want = append([]byte{0x88, 0x04}, append(payload, "ok"...)...)
			}
			if got := AppendClose(nil, StatusCode(code), "ok"); !bytes.Equal(got, want) {
				t.Errorf("%d: AppendClose gives % x", code, got)
			}
		}
	}
}

func TestAppendClose(t *testing.T) {
	for _, tt := range []struct {
		name, reason, sent string
	}{
		{"none", "", ""},
		{"short", "bye", "bye"},
		{"exact", strings.Repeat("x", 123), strings.Repeat("x", 123)},
		{"one too many", strings.Repeat("x", 124), strings.Repeat("x", 123)},
		{"rune that just fits", strings.Repeat("x", 119) + "😀", strings.Repeat("x", 119) + "😀"},
		{"rune that does not", strings.Repeat("x", 120) + "😀", strings.Repeat("x", 120)},
		{"far too long", strings.Repeat("é", 500), strings.Repeat("é", 61)},
		{"replacement character", "a\ufffdb", "a\ufffdb"},
		{"not UTF-8", "ab\xffcd", "ab"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := AppendClose([]byte("before"), StatusGoingAway, tt.reason)
			want := append([]byte("before"), AppendFrame(nil, Close, []byte("\x03\xe9"+tt.sent))...)
			if !bytes.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestErrorsMakeCloseFrames: a caller answers every error with AppendClose.
func TestErrorsMakeCloseFrames(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range append([]*Error{ErrBadClosePayload, ErrBadCloseCode}, parserErrors[:]...) {
		code, reason, err := ParseClose(AppendClose(nil, e.Code, e.Reason)[2:])
		if code != e.Code || string(reason) != e.Reason || err != nil {
			t.Errorf("%v: the peer gets %d, %q, %v", e, code, reason, err)
		}
		var typed *Error
		if !errors.As(error(e), &typed) || typed != e || e.Error() != "frame: "+e.Reason {
			t.Errorf("%v: as an error it is %q", e, e.Error())
		}
		if seen[e.Reason] {
			t.Errorf("%v: reason used twice", e)
		}
		seen[e.Reason] = true
	}
}

// FuzzClose parses bytes as the payload of a close frame, and sends them: the
// first two as code, the rest as reason.
func FuzzClose(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		code, reason, err := ParseClose(b)
		if len(b) < 2 {
			if want := map[int]error{1: ErrBadClosePayload}[len(b)]; !errors.Is(err, want) || reason != nil {
				t.Fatalf("% x: %d, %q, %v", b, code, reason, err)
			}
			return
		}
		sent := StatusCode(binary.BigEndian.Uint16(b))
		// gobwas/ws knows neither the codes IANA added nor an upper end.
		if !(1012 <= sent && sent <= 1014) && sent < 5000 {
			if theirs := ws.CheckCloseFrameData(sent, string(b[2:])); (theirs == nil) != (err == nil) {
				t.Fatalf("% x: %v, gobwas/ws says %v", b, err, theirs)
			}
		}
		if err == nil && (code != sent || !bytes.Equal(reason, b[2:])) {
			t.Fatalf("% x: %d, %q", b, code, reason)
		}

		frame, readErr := ws.ReadFrame(bytes.NewReader(AppendClose(nil, sent, string(b[2:]))))
		if readErr != nil || frame.Header.OpCode != Close || !frame.Header.Fin || frame.Header.Masked || len(frame.Payload) > 125 {
			t.Fatalf("% x: sent as %+v, %v", b, frame, readErr)
		}
		gotCode, gotReason, gotErr := ParseClose(frame.Payload)
		if gotErr != nil || !bytes.HasPrefix(b[2:], gotReason) {
			t.Fatalf("% x: arrives as %d, %q, %v", b, gotCode, gotReason, gotErr)
		}
		if errors.Is(err, ErrBadCloseCode) {
			if gotCode != StatusNoStatus {
				t.Fatalf("% x: arrives with code %d", b, gotCode)
			}
			return
		}
		if gotCode != sent {
			t.Fatalf("% x: arrives with code %d", b, gotCode)
		}
		// What was left out could not have been sent: it was too much, or bad.
		if rest := b[2+len(gotReason):]; len(rest) > 0 {
			r, size := utf8.DecodeRune(rest)
			if len(gotReason)+size <= 123 && !(r == utf8.RuneError && size == 1) {
				t.Fatalf("% x: cut after %d bytes", b, len(gotReason))
			}
		}
	})
}
