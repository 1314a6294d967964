package frame

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// Opcode says what a frame carries (RFC 6455 section 5.2).
type Opcode = ws.OpCode

// The opcodes RFC 6455 defines. All others are reserved.
const (
	Continuation Opcode = ws.OpContinuation
	Text         Opcode = ws.OpText
	Binary       Opcode = ws.OpBinary
	Close        Opcode = ws.OpClose
	Ping         Opcode = ws.OpPing
	Pong         Opcode = ws.OpPong
)

const (
	// maxControlPayload is the most bytes a control frame may carry (RFC 6455
	// section 5.5).
	maxControlPayload = ws.MaxControlFramePayloadSize

	// The first byte of a frame: FIN, three reserved bits, opcode. The second:
	// MASK and a seven-bit length, where 126 and 127 announce a longer one.
	bitFin     = 0x80
	bitsRsv    = 0x70
	bitRsv1    = 0x40
	bitsOpcode = 0x0f
	bitMask    = 0x80
	bitsLength = 0x7f
	length16   = 126
	length64   = 127
)

// AppendFrame appends a whole server frame (FIN set, not masked) to dst and
// returns the extended slice. It allocates only when dst lacks room for
// HeaderSize(len(payload)) + len(payload) bytes, and keeps no reference to
// payload.
//
// The payload of a Close, Ping or Pong is cut to 125 bytes, because no valid
// frame holds more (RFC 6455 section 5.5). Text must be valid UTF-8; this is
// not checked here.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	payload = cut(op, payload)
	return append(appendHeader(dst, op, len(payload)), payload...)
}

// HeaderSize returns the number of bytes in front of a server frame's payload
// of payloadLen bytes: 2, 4 or 10.
func HeaderSize(payloadLen int) int {
	switch {
	case payloadLen < length16:
		return 2
	case payloadLen <= 0xffff:
		return 4
	default:
		return 10
	}
}

func appendHeader(dst []byte, op Opcode, payloadLen int) []byte {
	first := bitFin | byte(op)&bitsOpcode
	// RFC 6455 section 5.2: the minimal number of bytes must be used to encode
	// the length.
	switch HeaderSize(payloadLen) {
	case 2:
		return append(dst, first, byte(payloadLen))
	case 4:
		return binary.BigEndian.AppendUint16(append(dst, first, length16), uint16(payloadLen))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, length64), uint64(payloadLen))
	}
}

// cut makes payload fit into a frame of this opcode.
func cut(op Opcode, payload []byte) []byte {
	if op.IsControl() && len(payload) > maxControlPayload {
		return payload[:maxControlPayload]
	}
	return payload
}
