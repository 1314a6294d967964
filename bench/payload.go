package bench

import (
	"bytes"
	"encoding/binary"
	"time"
)

// MinPayloadBytes is the size of the header every measured message starts with.
const MinPayloadBytes = 24

// The header, little endian:
//
//	0   magic      4 bytes
//	4   run        4 bytes, random per run
//	8   publisher  4 bytes
//	12  sequence   4 bytes, from 1
//	16  sent       8 bytes, nanoseconds of Client.Now
//	24  filler     follows from the sequence
const payloadMagic = 0x62747372 // "rstb"

// Stamp is what a message says about itself.
type Stamp struct {
	Publisher uint32
	Sequence  uint32
	Sent      time.Duration // for open-loop sending: when it was due
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
)

// Payloads builds and checks the messages of one run, all of one size.
type Payloads struct {
	run     uint32
	size    int
	pattern []byte // the filler of a message is a window of it
}

const patternShifts = 256

// NewPayloads makes messages of size bytes, MinPayloadBytes or more.
func NewPayloads(run uint32, size int) *Payloads {
	p := &Payloads{run: run, size: size, pattern: make([]byte, max(0, size-MinPayloadBytes)+patternShifts)}
	for i := range p.pattern {
		p.pattern[i] = byte(mix(uint64(i)))
	}
	return p
}

// Append appends one message.
func (p *Payloads) Append(dst []byte, s Stamp) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, payloadMagic)
	dst = binary.LittleEndian.AppendUint32(dst, p.run)
	dst = binary.LittleEndian.AppendUint32(dst, s.Publisher)
	dst = binary.LittleEndian.AppendUint32(dst, s.Sequence)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Sent))
	return append(dst, p.filler(s.Sequence)...)
}

// Check compares every byte of a received message but the stamp, which the
// caller must judge.
func (p *Payloads) Check(b []byte) (Stamp, Match) {
	if len(b) < MinPayloadBytes ||
		binary.LittleEndian.Uint32(b) != payloadMagic || binary.LittleEndian.Uint32(b[4:]) != p.run {
		return Stamp{}, MatchForeign
	}
	s := Stamp{
		Publisher: binary.LittleEndian.Uint32(b[8:]),
		Sequence:  binary.LittleEndian.Uint32(b[12:]),
		Sent:      time.Duration(binary.LittleEndian.Uint64(b[16:])),
	}
	if !bytes.Equal(b[MinPayloadBytes:], p.filler(s.Sequence)) {
		return s, MatchCorrupt
	}
	return s, MatchOurs
}

func (p *Payloads) filler(sequence uint32) []byte {
	shift := int(sequence % patternShifts)
	return p.pattern[shift : shift+p.size-MinPayloadBytes]
}
