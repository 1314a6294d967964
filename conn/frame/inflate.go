package frame

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/flate"
)

// keepMost is the largest buffer that an Inflater or Compressor keeps from one message to
// the next, in bytes.
const keepMost = 256 << 10

// leastGrowth is how much the buffer of an Inflater grows at least, in bytes.
const leastGrowth = 512

// tail ends what a client sends of a message: first what it left away (RFC 7692 section
// 7.2.2), then an empty final block, by which a reader knows that the message is whole.
var tail = []byte{0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff}

// deflatedMost is how many bytes a message of n may have when it is compressed: the worst
// that zlib makes of data without repetition, with the least memory.
func deflatedMost(n int64) int64 { return n + min(n>>3+64, math.MaxInt64-n) }

// Inflater inflates messages, one at a time and each by itself. The zero value is ready;
// about 45 kB of tables come with the first message. It is not safe for concurrent use.
type Inflater struct {
	r   io.Reader // a flate.Resetter; nil before the first message
	in  bytes.Reader
	src []byte // a payload with its tail, where that had no room for it
	out []byte
}

// Inflate returns the message of a compressed payload, put together of all its frames,
// valid until the next call. maxMessage bounds it in bytes, 0 means no limit: beyond, the
// error is ErrTooBig, and little was allocated, however much there would have been. The
// others are ErrInvalidDeflate and, when op is Text, ErrInvalidUTF8. payload may be
// appended to in place.
func (f *Inflater) Inflate(op Opcode, payload []byte, maxMessage int64) ([]byte, error) {
	if cap(payload)-len(payload) < len(tail) {
		f.src = append(append(f.src[:0], payload...), tail...)
		payload = f.src
	} else {
		payload = append(payload, tail...)
	}
	message, err := f.inflate(payload, maxMessage)
	f.in.Reset(nil)
	if cap(f.src) > keepMost {
		f.src = nil
	}
	if err == nil && op == Text && textBetween.next(message) != textBetween {
		err = ErrInvalidUTF8
	}
	if err != nil {
		return nil, err
	}
	return message, nil
}

func (f *Inflater) inflate(src []byte, maxMessage int64) ([]byte, error) {
	if maxMessage <= 0 {
		maxMessage = math.MaxInt64
	}
	f.begin(src)
	f.out = f.out[:0]
	for len(f.out) < keepMost {
		if len(f.out) == cap(f.out) {
			f.out = slices.Grow(f.out, max(leastGrowth, len(f.out)))
		}
		room := f.out[len(f.out):min(cap(f.out), keepMost)]
		n, end, err := f.read(room)
		f.out = f.out[:len(f.out)+n]
		switch {
		case int64(len(f.out)) > maxMessage:
			return nil, ErrTooBig
		case err != nil:
			return nil, err
		case end:
			return f.out, nil
		}
	}
	// It is long. How long is counted before it gets memory of its own.
	total := int64(len(f.out))
	for end := false; !end; {
		var n int
		var err error
		n, end, err = f.read(f.out)
		switch total += int64(n); {
		case total > maxMessage:
			return nil, ErrTooBig
		case err != nil:
			return nil, err
		}
	}
	message := make([]byte, total)
	f.begin(src)
	for read := 0; read < len(message); {
		n, _, err := f.read(message[read:])
		if err != nil {
			return nil, err
		}
		read += n
	}
	return message, nil
}

// begin goes to the start of src.
func (f *Inflater) begin(src []byte) {
	f.in.Reset(src)
	f.restart()
}

// restart begins a stream where the one before has ended.
func (f *Inflater) restart() {
	if f.r == nil {
		f.r = flate.NewReader(&f.in)
		return
	}
	_ = f.r.(flate.Resetter).Reset(&f.in, nil) // it has no error to return
}

// read fills b with what comes next. end says that this is all of the message.
func (f *Inflater) read(b []byte) (n int, end bool, err error) {
	n, err = f.r.Read(b)
	switch {
	case err == nil:
		return n, false, nil
	case !errors.Is(err, io.EOF):
		return n, false, ErrInvalidDeflate
	}
	// A final block has ended: the tail's, or one of the client's, which may be followed by
	// others at the next byte (RFC 7692 section 7.2.1), or end the message.
	if left := f.in.Len(); left == 0 || left == len(tail) {
		return n, true, nil
	}
	f.restart()
	return n, false, nil
}
