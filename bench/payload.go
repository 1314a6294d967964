package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Stamp is what a message says about itself.
type Stamp struct {
	Publisher uint32
	Sequence  uint32        // from 1
	Sent      time.Duration // on the run's clock; in open loop, when it was due
}

// Match tells whose a received message is.
type Match uint8

const (
	// MatchOurs is a whole message of this run.
	MatchOurs Match = iota
	// MatchForeign is a message nobody sent in this run: a greeting, another client's.
	MatchForeign
	// MatchCorrupt bears the mark of this run, but has another length or content.
	MatchCorrupt
	// MatchUnstamped is a message when those of this run bear no mark: which one
	// it is follows from the order only.
	MatchUnstamped
)

// Sizes of the marks, and so of the smallest generated messages, in bytes.
const (
	MinBinaryBytes = 24
	MinTextBytes   = len(textMark) + 8 + 1 + 8 + 1 + 8 + 1 + 16
)

// textMark begins a mark in a text. What follows is hexadecimal, so that it
// survives in JSON, in HTML and in logs.
const textMark = "rstb-"

// PayloadSpec says what messages are. The zero value is 128 bytes of binary.
type PayloadSpec struct {
	// Bytes of a generated message, from Min to Max: MinBinaryBytes or more, or
	// MinTextBytes or more of text. 0: 128.
	Min, Max int
	Text     bool // text instead of binary messages
	// Templates are messages to send in turn in place of generated ones, with
	//
	//	{{conn}}   number of the sending connection or publisher, from 0
	//	{{seq}}    number of its message, from 1
	//	{{time}}   nanoseconds since 1970 when the message was sent or due
	//	{{stamp}}  a mark by which roost-bench knows the message again
	//
	// A server must pass the mark on, wherever in its own message. Without one,
	// what comes back is matched by order alone.
	Templates []string `json:",omitempty"`
}

// DefaultPayloadBytes is the size of a message unless said otherwise.
const DefaultPayloadBytes = 128

// ErrPayload is returned for a size that is none.
var ErrPayload = errors.New("want a size in bytes such as 128 or a range such as 64-4096")

// ParseSizes reads 128 or 64-4096.
func ParseSizes(text string) (low, high int, err error) {
	first, last, ranged := strings.Cut(text, "-")
	low, err1 := strconv.Atoi(strings.TrimSpace(first))
	high, err2 := low, error(nil)
	if ranged {
		high, err2 = strconv.Atoi(strings.TrimSpace(last))
	}
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("payload %q: %w", text, ErrPayload)
	}
	return low, high, nil
}

// ReadTemplates reads a file of real messages, one per line. Empty lines are
// left out.
func ReadTemplates(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("payload file: %w", err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("payload file: %s has no message", path)
	}
	return lines, nil
}

// WithDefaults fills the sizes that are 0.
func (s PayloadSpec) WithDefaults() PayloadSpec {
	setDefault(&s.Min, DefaultPayloadBytes)
	setDefault(&s.Max, s.Min)
	return s
}

// Validate reports the first fault, or nil.
func (s PayloadSpec) Validate() error {
	s = s.WithDefaults()
	if len(s.Templates) > 0 {
		return nil
	}
	least := MinBinaryBytes
	if s.Text {
		least = MinTextBytes
	}
	if s.Min < least || s.Max < s.Min || s.Max > 1<<30 {
		return fmt.Errorf("payload: %d to %d bytes, want %d or more (the mark that is checked) to %d, the smaller first", s.Min, s.Max, least, 1<<30)
	}
	return nil
}

// Stamped tells whether every message bears a mark.
func (s PayloadSpec) Stamped() bool {
	for _, t := range s.Templates {
		if !strings.Contains(t, "{{stamp}}") {
			return false
		}
	}
	return true
}

// String says in words what the messages are.
func (s PayloadSpec) String() string {
	s = s.WithDefaults()
	kind := "binary"
	if s.Text {
		kind = "text"
	}
	templates := kind + " templates"
	if len(s.Templates) == 1 {
		templates = kind + " template"
	}
	switch {
	case len(s.Templates) > 0 && s.Stamped():
		return fmt.Sprintf("%d %s", len(s.Templates), templates)
	case len(s.Templates) > 0:
		return fmt.Sprintf("%d %s without a stamp: matched by order", len(s.Templates), templates)
	case s.Min == s.Max:
		return fmt.Sprintf("%d bytes, %s", s.Min, kind)
	}
	return fmt.Sprintf("%d to %d bytes, %s", s.Min, s.Max, kind)
}

// Payloads builds and checks the messages of one run.
//
// A generated binary message, little endian:
//
//	0   magic      4 bytes
//	4   run        4 bytes, random per run
//	8   publisher  4 bytes
//	12  sequence   4 bytes, from 1
//	16  sent       8 bytes, nanoseconds on the run's clock
//	24  filler     follows from the sequence, as does its length
//
// A generated text has the same in hexadecimal, and filler of letters.
type Payloads struct {
	spec    PayloadSpec
	stamped bool
	run     uint32
	epoch   time.Time // when the run's clock showed 0
	pattern []byte    // the filler of a message is a window of it
}

const (
	payloadMagic  = 0x62747372 // "rstb"
	patternShifts = 256
)

// NewPayloads makes the messages of the run with this random number. spec must be valid.
func NewPayloads(run uint32, spec PayloadSpec, epoch time.Time) *Payloads {
	p := &Payloads{spec: spec.WithDefaults(), stamped: spec.Stamped(), run: run, epoch: epoch}
	p.pattern = make([]byte, p.spec.Max+patternShifts)
	for i := range p.pattern {
		p.pattern[i] = byte(mix(uint64(i)))
		if p.spec.Text {
			p.pattern[i] = 'a' + p.pattern[i]%26
		}
	}
	return p
}

// Op is the opcode of the messages.
func (p *Payloads) Op() byte {
	if p.spec.Text {
		return OpText
	}
	return OpBinary
}

// Append appends one message.
func (p *Payloads) Append(dst []byte, s Stamp) []byte {
	if len(p.spec.Templates) > 0 {
		return p.appendTemplate(dst, s)
	}
	if p.spec.Text {
		dst = p.appendMark(dst, s)
		return append(dst, p.filler(s, MinTextBytes)...)
	}
	dst = binary.LittleEndian.AppendUint32(dst, payloadMagic)
	dst = binary.LittleEndian.AppendUint32(dst, p.run)
	dst = binary.LittleEndian.AppendUint32(dst, s.Publisher)
	dst = binary.LittleEndian.AppendUint32(dst, s.Sequence)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Sent))
	return append(dst, p.filler(s, MinBinaryBytes)...)
}

// appendTemplate fills in the next template.
func (p *Payloads) appendTemplate(dst []byte, s Stamp) []byte {
	rest := p.spec.Templates[int(s.Sequence-1)%len(p.spec.Templates)]
	for {
		before, after, found := strings.Cut(rest, "{{")
		dst = append(dst, before...)
		if !found {
			return dst
		}
		name, tail, closed := strings.Cut(after, "}}")
		switch {
		case closed && name == "conn":
			dst = strconv.AppendUint(dst, uint64(s.Publisher), 10)
		case closed && name == "seq":
			dst = strconv.AppendUint(dst, uint64(s.Sequence), 10)
		case closed && name == "time":
			dst = strconv.AppendInt(dst, p.epoch.Add(s.Sent).UnixNano(), 10)
		case closed && name == "stamp":
			dst = p.appendMark(dst, s)
		default: // not ours: it stands for itself
			dst = append(dst, "{{"...)
			tail = after
		}
		rest = tail
	}
}

// appendMark appends the stamp as text, MinTextBytes long.
func (p *Payloads) appendMark(dst []byte, s Stamp) []byte {
	dst = append(dst, textMark...)
	dst = appendHex(dst, uint64(p.run), 8)
	dst = append(dst, '-')
	dst = appendHex(dst, uint64(s.Publisher), 8)
	dst = append(dst, '-')
	dst = appendHex(dst, uint64(s.Sequence), 8)
	dst = append(dst, '-')
	return appendHex(dst, uint64(s.Sent), 16)
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[v>>shift&15])
	}
	return dst
}

// Check compares every byte of a generated message but the stamp, which the
// caller must judge; of a template it only looks for the mark.
func (p *Payloads) Check(b []byte) (Stamp, Match) {
	switch {
	case !p.stamped:
		return Stamp{}, MatchUnstamped
	case len(p.spec.Templates) > 0:
		at := bytes.Index(b, []byte(textMark))
		if at < 0 {
			return Stamp{}, MatchForeign
		}
		return p.readMark(b[at:])
	case p.spec.Text:
		s, match := p.readMark(b)
		if match == MatchOurs && !bytes.Equal(b[MinTextBytes:], p.filler(s, MinTextBytes)) {
			match = MatchCorrupt
		}
		return s, match
	}
	if len(b) < MinBinaryBytes ||
		binary.LittleEndian.Uint32(b) != payloadMagic || binary.LittleEndian.Uint32(b[4:]) != p.run {
		return Stamp{}, MatchForeign
	}
	s := Stamp{
		Publisher: binary.LittleEndian.Uint32(b[8:]),
		Sequence:  binary.LittleEndian.Uint32(b[12:]),
		Sent:      time.Duration(binary.LittleEndian.Uint64(b[16:])),
	}
	if !bytes.Equal(b[MinBinaryBytes:], p.filler(s, MinBinaryBytes)) {
		return s, MatchCorrupt
	}
	return s, MatchOurs
}

// readMark reads the stamp at the start of b.
func (p *Payloads) readMark(b []byte) (Stamp, Match) {
	if len(b) < MinTextBytes || string(b[:len(textMark)]) != textMark {
		return Stamp{}, MatchForeign
	}
	var fields [4]uint64
	at, ok := len(textMark), true
	for i, digits := range [...]int{8, 8, 8, 16} {
		ok = ok && b[at-1] == '-'
		fields[i], ok = parseHex(b[at:at+digits], ok)
		at += digits + 1
	}
	switch {
	case !ok:
		return Stamp{}, MatchCorrupt
	case fields[0] != uint64(p.run):
		return Stamp{}, MatchForeign
	}
	return Stamp{uint32(fields[1]), uint32(fields[2]), time.Duration(fields[3])}, MatchOurs
}

func parseHex(b []byte, ok bool) (v uint64, good bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			ok = false
		}
	}
	return v, ok
}

// filler is what follows the mark of a message, which takes mark bytes.
func (p *Payloads) filler(s Stamp, mark int) []byte {
	size := p.spec.Min
	if spread := p.spec.Max - p.spec.Min; spread > 0 {
		size += int(mix(uint64(s.Publisher)<<32|uint64(s.Sequence)) % uint64(spread+1))
	}
	shift := int(s.Sequence % patternShifts)
	return p.pattern[shift : shift+size-mark]
}
