package frame

// Error is a breach of RFC 6455 by the client. Every error of this package is
// one of the *Error values below, so a caller compares with errors.Is, or
// takes Code and Reason with errors.As to say goodbye:
//
//	AppendClose(dst, e.Code, e.Reason)
type Error struct {
	Code   StatusCode // for the close frame that answers the fault
	Reason string     // plain ASCII, short enough for a close frame
}

// Error returns the reason, with the package in front.
func (e *Error) Error() string { return "frame: " + e.Reason }

// Returned by Parser.Next because of a frame's header.
var (
	// ErrReservedBits is returned when RSV1, RSV2 or RSV3 is set where no extension
	// that is negotiated gives them a meaning.
	ErrReservedBits = &Error{StatusProtocolError, "reserved bits set without an extension"}
	// ErrReservedOpcode is returned for opcodes 3-7 and 11-15.
	ErrReservedOpcode = &Error{StatusProtocolError, "reserved opcode"}
	// ErrControlTooLong is returned when a control frame announces more than
	// 125 bytes of payload.
	ErrControlTooLong = &Error{StatusProtocolError, "control frame longer than 125 bytes"}
	// ErrControlFragmented is returned when a control frame lacks FIN.
	ErrControlFragmented = &Error{StatusProtocolError, "fragmented control frame"}
	// ErrUnexpectedContinuation is returned when a continuation frame comes
	// while no message is open.
	ErrUnexpectedContinuation = &Error{StatusProtocolError, "continuation frame without a message to continue"}
	// ErrExpectedContinuation is returned when a text or binary frame comes
	// while another message is open.
	ErrExpectedContinuation = &Error{StatusProtocolError, "new message before the end of a fragmented one"}
	// ErrMaskRequired is returned when a frame is not masked.
	ErrMaskRequired = &Error{StatusProtocolError, "client frame without a mask"}
	// ErrNonMinimalLength is returned when a length is written in more bytes
	// than it needs.
	ErrNonMinimalLength = &Error{StatusProtocolError, "payload length not in its shortest form"}
	// ErrLengthOverflow is returned when a 64-bit length has its top bit set.
	ErrLengthOverflow = &Error{StatusProtocolError, "payload length above 63 bits"}
	// ErrTooBig is returned when a message announces more bytes than the
	// caller allows.
	ErrTooBig = &Error{StatusTooBig, "message too big"}
)

// Returned by Parser.Next or ParseClose because of a payload.
var (
	// ErrInvalidUTF8 is returned when a text message or a close reason is not
	// valid UTF-8, or a text message ends inside a sequence.
	ErrInvalidUTF8 = &Error{StatusInvalidPayload, "invalid UTF-8"}
	// ErrBadClosePayload is returned for a close payload of one byte, which is
	// neither empty nor a code.
	ErrBadClosePayload = &Error{StatusProtocolError, "close payload of one byte"}
	// ErrBadCloseCode is returned for a close code that may not be sent.
	ErrBadCloseCode = &Error{StatusProtocolError, "invalid close code"}
)

// Returned by Inflater.Inflate, beside ErrTooBig and ErrInvalidUTF8.
var (
	// ErrInvalidDeflate is returned when a compressed message cannot be inflated. RFC
	// 7692 names no code; that for data inconsistent with its type fits best (RFC 6455
	// section 7.4.1).
	ErrInvalidDeflate = &Error{StatusInvalidPayload, "invalid deflate stream"}
)

// parserErrors is everything Parser.Next may fail with. A Parser remembers its
// error as a position in this list, which keeps pointers out of it.
var parserErrors = [...]*Error{
	ErrReservedBits,
	ErrReservedOpcode,
	ErrControlTooLong,
	ErrControlFragmented,
	ErrUnexpectedContinuation,
	ErrExpectedContinuation,
	ErrMaskRequired,
	ErrNonMinimalLength,
	ErrLengthOverflow,
	ErrTooBig,
	ErrInvalidUTF8,
}
