package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var exampleStamp = Stamp{Publisher: 3, Sequence: 1000, Sent: 123456789}

func TestGeneratedPayloads(t *testing.T) {
	for _, spec := range []PayloadSpec{
		{Min: MinBinaryBytes}, {Min: 25}, {}, {Min: 5000}, {Min: 24, Max: 300},
		{Text: true, Min: MinTextBytes}, {Text: true, Min: MinTextBytes + 1}, {Text: true}, {Text: true, Min: 5000}, {Text: true, Min: 100, Max: 200},
	} {
		if err := spec.Validate(); err != nil {
			t.Fatal(err)
		}
		p := NewPayloads(9, spec, time.Time{})
		least, mark, op := p.spec.Min, MinBinaryBytes, byte(OpBinary)
		if spec.Text {
			mark, op = MinTextBytes, OpText
		}
		want := exampleStamp
		b := p.Append([]byte("x"), want)[1:]
		if got, match := p.Check(b); len(b) < least || len(b) > p.spec.Max || got != want || match != MatchOurs || p.Op() != op {
			t.Errorf("%v: %+v, %v in %d bytes", spec, got, match, len(b))
		}
		if _, match := NewPayloads(8, spec, time.Time{}).Check(b); match != MatchForeign {
			t.Errorf("%v: another run's message: %v", spec, match)
		}
		for i := mark; i < len(b); i++ {
			changed := bytes.Clone(b)
			changed[i] ^= 0x10
			if _, match := p.Check(changed); match != MatchCorrupt {
				t.Fatalf("%v, byte %d changed: %v", spec, i, match)
			}
		}
		// A change of the stamp makes the message foreign, corrupt or another one.
		for i := range mark {
			changed := bytes.Clone(b)
			changed[i] ^= 0x10
			if got, match := p.Check(changed); match == MatchOurs && got == want {
				t.Fatalf("%v, byte %d changed: still the same message", spec, i)
			}
		}
		if _, match := p.Check(append(b, 'a')); match != MatchCorrupt {
			t.Errorf("%v and one more byte: %v", spec, match)
		}
		if len(b) > mark {
			if _, match := p.Check(b[:len(b)-1]); match != MatchCorrupt {
				t.Errorf("%v and one byte less: %v", spec, match)
			}
		}
		for _, foreign := range [][]byte{nil, []byte("welcome"), b[:mark-1], bytes.Repeat([]byte{'x'}, len(b))} {
			if _, match := p.Check(foreign); match != MatchForeign {
				t.Errorf("%v: %.20q: %v, want it foreign", spec, foreign, match)
			}
		}
	}
}

// TestPayloadRange wants every size of a range, both ends included.
func TestPayloadRange(t *testing.T) {
	for _, spec := range []PayloadSpec{{Min: 30, Max: 45}, {Min: 70, Max: 85, Text: true}} {
		p, sizes := NewPayloads(1, spec, time.Time{}), map[int]int{}
		for i := range uint32(2000) {
			b := p.Append(nil, Stamp{Publisher: i % 7, Sequence: i})
			sizes[len(b)]++
			if _, match := p.Check(b); match != MatchOurs {
				t.Fatalf("%v: message %d of %d bytes: %v", spec, i, len(b), match)
			}
			if spec.Text && bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%v: %q is no plain text", spec, b)
			}
		}
		for size := range sizes {
			if size < spec.Min || size > spec.Max {
				t.Errorf("%v: a message of %d bytes", spec, size)
			}
		}
		if want := spec.Max - spec.Min + 1; len(sizes) != want {
			t.Errorf("%v: %d sizes in 2000 messages, want all %d", spec, len(sizes), want)
		}
	}
}

func TestTemplates(t *testing.T) {
	epoch := time.Unix(1_000_000_000, 0)
	mark := "rstb-0000002a-00000003-000003e8-000000000"
	mark += "75bcd15" // Sent
	for template, want := range map[string]string{
		"plain": "plain",
		"":      "",
		`{"user":{{conn}},"n":{{seq}},"at":{{time}},"tag":"{{stamp}}"}`: `{"user":3,"n":1000,"at":1000000000123456789,"tag":"` + mark + `"}`,
		"{{seq}}{{seq}}":                 "10001000",
		"{{name}} {{ conn }} {{Seq}}":    "{{name}} {{ conn }} {{Seq}}",
		"{{{seq}}}":                      "{{{seq}}}",
		"{{nested {{seq}}}}":             "{{nested 1000}}",
		"{{seq}} {{conn":                 "1000 {{conn",
		"{{":                             "{{",
		"}} { {seq}} {{}} é {{stamp}} ä": "}} { {seq}} {{}} é " + mark + " ä",
	} {
		p := NewPayloads(42, PayloadSpec{Text: true, Templates: []string{template}}, epoch)
		b := p.Append([]byte("> "), exampleStamp)[2:]
		if string(b) != want {
			t.Errorf("%q became %q, want %q", template, b, want)
		}
		wantStamp, wantMatch := Stamp{}, MatchUnstamped
		if strings.Contains(template, "{{stamp}}") {
			wantStamp, wantMatch = exampleStamp, MatchOurs
		}
		if got, match := p.Check(b); got != wantStamp || match != wantMatch {
			t.Errorf("%q: %+v, %v; want %+v, %v", b, got, match, wantStamp, wantMatch)
		}
	}
}

func TestTemplatesTakeTurns(t *testing.T) {
	p := NewPayloads(1, PayloadSpec{Templates: []string{"a{{seq}}", "b{{seq}}", "c"}}, time.Time{})
	var got []string
	for i := range uint32(5) {
		got = append(got, string(p.Append(nil, Stamp{Sequence: i + 1})))
	}
	if want := []string{"a1", "b2", "c", "a4", "b5"}; !slices.Equal(got, want) || p.Op() != OpBinary {
		t.Errorf("%v with opcode %d, want %v", got, p.Op(), want)
	}
}

// TestStampInsideAnotherMessage finds the mark where a server has put it.
func TestStampInsideAnotherMessage(t *testing.T) {
	p := NewPayloads(7, PayloadSpec{Text: true, Templates: []string{`{"text":"hello \"all\" {{stamp}}"}`}}, time.Time{})
	sent := p.Append(nil, exampleStamp)
	quoted, err := json.Marshal(map[string]any{"channel": "news", "data": string(sent), "id": 7})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{sent, quoted, fmt.Appendf(nil, "<p>%s</p>", sent)} {
		if got, match := p.Check(b); got != exampleStamp || match != MatchOurs {
			t.Errorf("%s: %+v, %v", b, got, match)
		}
	}
	at := bytes.Index(sent, []byte(textMark))
	for name, test := range map[string]struct {
		b    []byte
		want Match
	}{
		"another run":   {NewPayloads(8, p.spec, time.Time{}).Append(nil, exampleStamp), MatchForeign},
		"no mark":       {[]byte(`{"text":"welcome"}`), MatchForeign},
		"cut mark":      {sent[:at+MinTextBytes-1], MatchForeign},
		"other digits":  {bytes.Replace(sent, []byte("000003e8"), []byte("000003E8"), 1), MatchCorrupt},
		"other dashes":  {bytes.Replace(sent, []byte("000003e8-"), []byte("000003e8_"), 1), MatchCorrupt},
		"broken digits": {bytes.Replace(sent, []byte("-000003e8"), []byte("-0000 3e8"), 1), MatchCorrupt},
	} {
		if _, match := p.Check(test.b); match != test.want {
			t.Errorf("%s: %s: %v, want %v", name, test.b, match, test.want)
		}
	}
}

func TestPayloadsAllocateNothing(t *testing.T) {
	for name, spec := range map[string]PayloadSpec{
		"binary":    {},
		"text":      {Text: true},
		"range":     {Min: 24, Max: 4096},
		"templates": {Text: true, Templates: []string{`{"n":{{seq}},"of":{{conn}},"at":{{time}},"tag":"{{stamp}}"}`, "{{stamp}}"}},
	} {
		p, buffer, bad := NewPayloads(1, spec, time.Now()), make([]byte, 0, 8192), 0
		s := exampleStamp
		got := testing.AllocsPerRun(1000, func() {
			s.Sequence++
			b := p.Append(buffer, s)
			if got, match := p.Check(b); match != MatchOurs || got != s {
				bad++
			}
		})
		if got != 0 || bad != 0 {
			t.Errorf("%s: %v allocations and %d messages not known again, want 0 and 0", name, got, bad)
		}
	}
}

func TestParseSizes(t *testing.T) {
	for text, want := range map[string][2]int{"128": {128, 128}, "64-4096": {64, 4096}, "64 - 65": {64, 65}, "9-1": {9, 1}} {
		if low, high, err := ParseSizes(text); err != nil || low != want[0] || high != want[1] {
			t.Errorf("%q: %d to %d, error %v; want %v", text, low, high, err, want)
		}
	}
	for _, text := range []string{"", "-5", "64-", "-", "1k", "1-2-3", "0x10"} {
		if low, high, err := ParseSizes(text); !errors.Is(err, ErrPayload) {
			t.Errorf("%q: %d to %d, error %v; want ErrPayload", text, low, high, err)
		}
	}
}

func TestPayloadSpecs(t *testing.T) {
	stamped, bare := []string{"a {{stamp}}", "{{stamp}}"}, []string{"a {{stamp}}", "b"}
	for _, test := range []struct {
		spec    PayloadSpec
		words   string
		stamped bool
		fault   string
	}{
		{PayloadSpec{}, "128 bytes, binary", true, ""},
		{PayloadSpec{Min: 24, Max: 64}, "24 to 64 bytes, binary", true, ""},
		{PayloadSpec{Min: 200, Text: true}, "200 bytes, text", true, ""},
		{PayloadSpec{Text: true, Templates: stamped}, "2 text templates", true, ""},
		{PayloadSpec{Text: true, Templates: stamped[:1]}, "1 text template", true, ""},
		{PayloadSpec{Templates: bare}, "2 binary templates without a stamp: matched by order", false, ""},
		{PayloadSpec{Min: 1, Templates: bare}, "2 binary templates without a stamp: matched by order", false, ""},
		{PayloadSpec{Min: 23}, "23 bytes, binary", true, "want 24 or more"},
		{PayloadSpec{Min: MinTextBytes - 1, Text: true}, "47 bytes, text", true, "want 48 or more"},
		{PayloadSpec{Min: 64, Max: 32}, "64 to 32 bytes, binary", true, "the smaller first"},
		{PayloadSpec{Min: -1}, "-1 bytes, binary", true, "want 24 or more"},
		{PayloadSpec{Min: 64, Max: 1<<30 + 1}, "64 to 1073741825 bytes, binary", true, "to 1073741824"},
	} {
		if got := test.spec.String(); got != test.words || test.spec.Stamped() != test.stamped {
			t.Errorf("%+v: %q, stamped %v; want %q, %v", test.spec, got, test.spec.Stamped(), test.words, test.stamped)
		}
		err := test.spec.Validate()
		if (err != nil) != (test.fault != "") || (err != nil && !strings.Contains(err.Error(), test.fault)) {
			t.Errorf("%+v: error %v, want %q", test.spec, err, test.fault)
		}
	}
}

func TestReadTemplates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one {{seq}}\r\n\n  two \nthree")
	if got, err := ReadTemplates(path); err != nil || !slices.Equal(got, []string{"one {{seq}}", "  two ", "three"}) {
		t.Errorf("%q, error %v", got, err)
	}
	write("\n\r\n")
	if got, err := ReadTemplates(path); err == nil || !strings.Contains(err.Error(), "has no message") {
		t.Errorf("%q of an empty file, error %v", got, err)
	}
	if _, err := ReadTemplates(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v of a missing file", err)
	}
}
