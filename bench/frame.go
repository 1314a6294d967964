package bench

import (
	"encoding/binary"
	"errors"
)

// Opcodes, RFC 6455 section 5.2.
const (
	opContinuation = 0x0
	// OpText and OpBinary are the opcodes of messages.
	OpText   = 0x1
	OpBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// rsv1 in the first byte of a message's first frame says that it is compressed.
const rsv1 = 0x40

// Close codes, RFC 6455 section 7.4.1.
const (
	CloseNormal   = 1000
	closeProtocol = 1002
	// CloseNoStatus stands for a close frame without a code.
	CloseNoStatus = 1005
	// CloseAbnormal stands for a connection that ended without a close frame.
	CloseAbnormal = 1006
	closeTooBig   = 1009
)

// Faults of the server's frames; each ends the connection.
var (
	// ErrFrameReserved is returned when a reserved bit or opcode is used that was not negotiated, or not for such a frame.
	ErrFrameReserved = errors.New("frame with a reserved bit or opcode")
	// ErrFrameMasked is returned when the server masks a frame.
	ErrFrameMasked = errors.New("frame from the server is masked")
	// ErrFrameControl is returned when a control frame is fragmented or longer than 125 bytes.
	ErrFrameControl = errors.New("control frame fragmented or longer than 125 bytes")
	// ErrFrameLength is returned when a length is not in its shortest form or has the top bit set.
	ErrFrameLength = errors.New("frame length not in its shortest form")
	// ErrFrameSequence is returned when a continuation continues nothing, or a new message starts inside another.
	ErrFrameSequence = errors.New("fragments out of sequence")
	// ErrFrameClose is returned when a close frame has one byte or a code that must not be sent.
	ErrFrameClose = errors.New("malformed close frame")
	// ErrDeflate is returned when a message cannot be inflated.
	ErrDeflate = errors.New("compressed message that cannot be inflated")
	// ErrMessageTooBig is returned when a message, inflated, is longer than Config.MaxMessageBytes.
	ErrMessageTooBig = errors.New("message longer than the client accepts")
)

// frameHeader describes one frame of the server.
type frameHeader struct {
	fin     bool
	op      byte // with rsv1 where a compressed message begins, RFC 7692 section 6
	size    int  // bytes of the header; 0 while it is incomplete
	payload int  // bytes of the payload
}

// parseHeader reads a frame header from the start of b, RFC 6455 section 5.2.
// deflate says that permessage-deflate was agreed on.
func parseHeader(b []byte, deflate bool) (h frameHeader, err error) {
	if len(b) < 2 {
		return h, nil
	}
	first, second := b[0], b[1]
	h.fin, h.op = first&0x80 != 0, first&0x0f
	if deflate && first&0x70 == rsv1 && (h.op == OpText || h.op == OpBinary) {
		h.op, first = h.op|rsv1, first&^rsv1
	}
	switch {
	case first&0x70 != 0, h.op&0x7 > 2: // known are 0 to 2 (data) and 8 to 10 (control)
		return h, ErrFrameReserved
	case second&0x80 != 0:
		// Section 5.1: a server MUST NOT mask any frames that it sends to the client.
		return h, ErrFrameMasked
	case h.op&opClose != 0 && (!h.fin || second > 125):
		return h, ErrFrameControl // section 5.5
	}
	switch second {
	default:
		h.size, h.payload = 2, int(second)
	case 126:
		if len(b) < 4 {
			return h, nil
		}
		h.size, h.payload = 4, int(binary.BigEndian.Uint16(b[2:]))
		if h.payload < 126 {
			return h, ErrFrameLength
		}
	case 127:
		if len(b) < 10 {
			return h, nil
		}
		length := binary.BigEndian.Uint64(b[2:])
		if length>>63 != 0 || length <= 0xffff {
			return h, ErrFrameLength
		}
		h.size, h.payload = 10, int(length)
	}
	return h, nil
}

// appendFrame appends a final frame with a masked copy of payload. op may have
// rsv1. Section 5.3: a client masks every frame with a fresh key.
func appendFrame(dst []byte, op byte, key uint32, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n <= 0xffff:
		dst = append(dst, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = binary.LittleEndian.AppendUint32(dst, key)
	start := len(dst)
	dst = append(dst, payload...)
	mask(dst[start:], key)
	return dst
}

// mask applies the key, whose first byte is its lowest, to b in place.
func mask(b []byte, key uint32) {
	if key == 0 {
		return
	}
	wide := uint64(key)<<32 | uint64(key)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * (i & 3)))
	}
}

// sendableCode tells whether a close frame may carry code, section 7.4.
func sendableCode(code uint16) bool {
	switch {
	case code < 1000, code == 1004, code == CloseNoStatus, code == CloseAbnormal, code == 1015, code >= 5000:
		return false
	}
	return true
}
