package frame

import (
	"encoding/binary"
	"slices"

	"github.com/gobwas/ws"
)

// MaxLeftover is the most bytes that Parser.Next leaves to be kept for the
// next call: the longest header and the longest control payload.
const MaxLeftover = ws.MaxHeaderSize + maxControlPayload

// maskSize is the length of the key that ends every client header.
const maskSize = 4

// Parser is an incremental parser of client frames. The zero value stands at
// the start of a connection's first frame, and a parser returns to the zero
// value after every message: only in between is there anything to store.
//
// A Parser is a plain value without pointers. It may be copied, and whoever
// holds the latest copy goes on. It is not safe for concurrent use.
type Parser struct {
	remaining int64     // bytes of the open data frame still to come
	announced int64     // bytes of the open message over all its frame headers so far
	mask      maskKey   // of the open data frame, for its next byte
	text      textState // of the open message
	op        Opcode    // Text or Binary while a message is open, else Continuation
	inFrame   bool      // the header of a data frame was read, not all of the frame
	fin       bool      // the open data frame is the last of its message
	started   bool      // a part of the open message was handed out
	deflated  bool      // the open message is compressed
	failed    uint8     // 1 + position in parserErrors, or 0
}

// Part is one piece of a message, or one whole control frame.
type Part struct {
	// Op is Text or Binary for a piece of a message, in whichever of its frames
	// it came; else Close, Ping or Pong.
	Op Opcode
	// Data is the unmasked payload. It aliases the input of Next and is valid
	// until the caller reuses that buffer. It may be changed but not appended
	// to in place: its capacity ends where the payload does.
	Data []byte
	// First marks the first part of a message. Always true for control frames.
	First bool
	// Last marks the part that completes a message. Always true for control
	// frames. Only a last part of a message may have no Data.
	Last bool
	// Deflated marks the parts of a compressed message: put together, they are for
	// Inflater. Text was not checked.
	Deflated bool
}

// Next parses the front of b, a piece of the client's byte stream that begins
// where the call before left off. Payload is unmasked in place.
//
//   - ok: part is the next part, taken from the first n bytes of b. The caller
//     calls again with b[n:] until ok is false.
//   - not ok, no error: b holds too little. The caller drops n bytes (the
//     header of a data frame, empty fragments, or nothing), keeps b[n:], which
//     is at most MaxLeftover bytes, and calls again once more bytes follow them.
//   - error: the client broke the protocol. It is one of the *Error values of
//     this package; the parser is dead, and Next returns the same error from
//     now on. n is 0.
//
// The payload of a data frame is handed out as it arrives, so that a message
// never has to fit into memory at once and bad text fails early. A control
// frame is handed out whole, also between the fragments of a message.
//
// maxMessage bounds the bytes of a message over all its fragments; 0 means no
// limit. It is checked when a header's length is there, before any payload. A
// compressed message may have a little more, since data without repetition grows.
//
// deflate says that permessage-deflate was agreed to: then RSV1 on the first frame
// of a message says that it is compressed (RFC 7692 section 6).
//
// Next does not allocate.
func (p *Parser) Next(b []byte, maxMessage int64, deflate bool) (part Part, n int, ok bool, err error) {
	if p.failed != 0 {
		return Part{}, 0, false, parserErrors[p.failed-1]
	}
	for !p.inFrame {
		h, size, e := p.readHeader(b[n:], maxMessage, deflate)
		if e != nil {
			return p.fail(e)
		}
		if size == 0 {
			return Part{}, n, false, nil
		}
		// Most frames are a whole message, or control, and all here: the parser's
		// state has no part in them. For short ones this saves a third of the time.
		if start := n + size; h.fin && h.op != Continuation && h.length <= int64(len(b)-start) {
			end := start + int(h.length)
			data := b[start:end:end]
			unmask(data, h.mask)
			// RFC 6455 section 8.1: text that is not UTF-8 fails the connection.
			if h.op == Text && !h.deflated && textBetween.next(data) != textBetween {
				return p.fail(ErrInvalidUTF8)
			}
			return Part{Op: h.op, Data: data, First: true, Last: true, Deflated: h.deflated}, end, true, nil
		}
		if h.op.IsControl() {
			return Part{}, n, false, nil
		}
		n += size
		p.open(h)
	}
	return p.payload(b, n)
}

// AtRest reports that the parser is the zero Parser: no message is open, no
// error has occurred, and nothing but leftover bytes needs to be kept.
func (p *Parser) AtRest() bool { return p.op == Continuation && p.failed == 0 }

// header is a client frame's header, checked.
type header struct {
	length   int64
	mask     maskKey
	op       Opcode
	fin      bool
	deflated bool // RSV1 is set
}

// readHeader decodes and checks the header at the front of b. size is its
// length, or 0 when b holds too little of it. Each check is made as soon as the
// bytes it looks at are there, so a fault is answered before the frame's next
// byte; their order is fixed, so how the bytes were cut never changes the outcome.
func (p *Parser) readHeader(b []byte, maxMessage int64, deflate bool) (h header, size int, e *Error) {
	if len(b) == 0 {
		return h, 0, nil
	}
	h.op = Opcode(b[0] & bitsOpcode)
	h.fin = b[0]&bitFin != 0
	h.deflated = deflate && b[0]&bitsRsv == bitRsv1
	if e := p.checkKind(b[0]&bitsRsv, h.op, h.fin, deflate); e != nil {
		return h, 0, e
	}
	if len(b) < 2 {
		return h, 0, nil
	}
	h.length = int64(b[1] & bitsLength)
	// RFC 6455 section 5.5: control frames have 125 bytes or less.
	if h.op.IsControl() && h.length > maxControlPayload {
		return h, 0, ErrControlTooLong
	}
	// RFC 6455 section 5.1: the server must close the connection on a frame
	// that is not masked.
	if b[1]&bitMask == 0 {
		return h, 0, ErrMaskRequired
	}

	size = 2
	switch h.length {
	case length16:
		size = 4
	case length64:
		size = 10
	}
	if len(b) < size {
		return h, 0, nil
	}
	switch size {
	// RFC 6455 section 5.2: the minimal number of bytes must be used to encode
	// the length, and the most significant bit of a 64-bit one must be 0.
	case 4:
		h.length = int64(binary.BigEndian.Uint16(b[2:]))
		if h.length < length16 {
			return h, 0, ErrNonMinimalLength
		}
	case 10:
		h.length = int64(binary.BigEndian.Uint64(b[2:]))
		if h.length < 0 {
			return h, 0, ErrLengthOverflow
		}
		if h.length <= 0xffff {
			return h, 0, ErrNonMinimalLength
		}
	}
	// RFC 6455 section 7.4.1: 1009 for a message too big to process. A
	// subtraction, because the sum may overflow.
	if maxMessage > 0 && !h.op.IsControl() && h.length > maxMessage-p.announced &&
		!((h.deflated || p.deflated) && h.length <= deflatedMost(maxMessage)-p.announced) {
		return h, 0, ErrTooBig
	}
	if len(b) < size+maskSize {
		return h, 0, nil
	}
	h.mask = maskKey(binary.LittleEndian.Uint32(b[size:]))
	return h, size + maskSize, nil
}

// checkKind checks the first byte of a header, which says what kind of frame
// follows.
func (p *Parser) checkKind(rsv byte, op Opcode, fin, deflate bool) *Error {
	switch {
	// RFC 6455 section 5.2: the reserved bits must be 0 unless an extension
	// gives them a meaning. RFC 7692 section 6.1: it is for the first frame of a message.
	case rsv != 0 && !(deflate && rsv == bitRsv1 && (op == Text || op == Binary)):
		return ErrReservedBits
	// RFC 6455 section 5.2: the receiver must fail the connection on an unknown
	// opcode.
	case op.IsReserved():
		return ErrReservedOpcode
	case op.IsControl():
		// RFC 6455 section 5.5: control frames must not be fragmented.
		if !fin {
			return ErrControlFragmented
		}
	// RFC 6455 section 5.4: the fragments of one message must not be mixed with
	// those of another.
	case op == Continuation && p.op == Continuation:
		return ErrUnexpectedContinuation
	case op != Continuation && p.op != Continuation:
		return ErrExpectedContinuation
	}
	return nil
}

// open enters a data frame. An empty fragment is over at once, unless it ends
// the message, which its part has to say.
func (p *Parser) open(h header) {
	if h.op != Continuation {
		p.op, p.deflated = h.op, h.deflated
	}
	p.remaining = h.length
	p.announced += h.length
	p.mask = h.mask
	p.fin = h.fin
	p.inFrame = h.fin || h.length > 0
}

// payload hands out what b[n:] holds of the open data frame.
func (p *Parser) payload(b []byte, n int) (Part, int, bool, error) {
	end := n + int(min(p.remaining, int64(len(b)-n)))
	if end == n && p.remaining > 0 {
		return Part{}, n, false, nil
	}
	data := b[n:end:end]
	p.mask = unmask(data, p.mask)
	p.remaining -= int64(len(data))

	last := p.fin && p.remaining == 0
	// RFC 6455 sections 8.1 and 5.6: text must be UTF-8 over the whole message,
	// so a sequence may span parts and fragments, but not its end.
	if p.op == Text && !p.deflated {
		p.text = p.text.next(data)
		if p.text == textInvalid || last && p.text != textBetween {
			return p.fail(ErrInvalidUTF8)
		}
	}
	part := Part{Op: p.op, Data: data, First: !p.started, Last: last, Deflated: p.deflated}
	if last {
		*p = Parser{}
	} else {
		p.started = true
		p.inFrame = p.remaining > 0
	}
	return part, end, true, nil
}

// fail kills the parser. e must be in parserErrors.
func (p *Parser) fail(e *Error) (Part, int, bool, error) {
	*p = Parser{failed: uint8(1 + slices.Index(parserErrors[:], e))}
	return Part{}, 0, false, e
}
