package frame

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
)

// The sizes of a window with which messages are compressed, as powers of two.
const (
	LeastWindow = 9
	MaxWindow   = 15
)

// Compressor makes compressed frames, each by itself (RFC 7692 section 7.2.1, without
// context takeover), and counts. It may be used by any number of goroutines at once; each
// that is at it takes about 0.8 MB, more with a higher level.
type Compressor struct {
	least int // bytes of a payload that is worth the work
	idle  sync.Pool

	In  Traffic // what Inflate has made
	Out Traffic // what has become shorter; a Prepared counts once
}

// Traffic counts compressed messages. It only grows.
type Traffic struct {
	Messages atomic.Uint64
	Plain    atomic.Uint64 // bytes of their payloads before deflating, or after inflating
	Deflated atomic.Uint64 // bytes of their payloads as they go on the wire
}

func (t *Traffic) count(plain, deflated int) {
	t.Messages.Add(1)
	t.Plain.Add(uint64(plain))
	t.Deflated.Add(uint64(deflated))
}

// NewCompressor returns a Compressor of a level, from 1, which is fastest, to 9. Payloads
// of less than least bytes are left as they are.
func NewCompressor(level, least int) (*Compressor, error) {
	if level < flate.BestSpeed || level > flate.BestCompression {
		return nil, fmt.Errorf("compression level %d is out of range; want %d to %d", level, flate.BestSpeed, flate.BestCompression)
	}
	z := &Compressor{least: least}
	z.idle.New = func() any {
		d := &Deflated{of: z}
		d.w, _ = flate.NewWriter(d, level) // the level is in range
		return d
	}
	return z, nil
}

// Inflate is f.Inflate, counted.
func (z *Compressor) Inflate(f *Inflater, op Opcode, payload []byte, maxMessage int64) ([]byte, error) {
	message, err := f.Inflate(op, payload, maxMessage)
	if err == nil {
		z.In.count(len(message), len(payload))
	}
	return message, err
}

// Deflated is a compressed frame, until Release.
type Deflated struct {
	of    *Compressor
	w     *flate.Writer
	buf   []byte // room for a header, and what w has written
	start int    // of the frame in buf
}

// maxHeader is the longest header of a server's frame in bytes.
const maxHeader = 10

// Deflate encodes a frame in compressed form, for whoever has agreed to a window of 1<<window
// bytes. It returns nil when payload is better sent as it is: in a control frame, when it is
// short, or would not get shorter. The caller releases the frame.
func (z *Compressor) Deflate(op Opcode, payload []byte, window int) *Deflated {
	if op.IsControl() || len(payload) < z.least || len(payload) == 0 {
		return nil
	}
	d := z.idle.Get().(*Deflated)
	d.deflate(payload, window)
	body := len(d.buf) - maxHeader
	if HeaderSize(body)+body >= HeaderSize(len(payload))+len(payload) {
		d.Release()
		return nil
	}
	d.start = maxHeader - HeaderSize(body)
	header := appendHeader(d.buf[:d.start], op, body)
	header[d.start] |= bitRsv1
	z.Out.count(len(payload), body)
	return d
}

// deflate puts the compressed payload into buf. What is compressed in pieces of the size of
// the window, each forgetting those before, never refers to anything outside of it.
func (d *Deflated) deflate(payload []byte, window int) {
	piece := len(payload)
	if window < MaxWindow {
		piece = 1 << window
	}
	d.buf = append(d.buf[:0], make([]byte, maxHeader)...)
	for len(payload) > 0 {
		n := min(piece, len(payload))
		d.w.Reset(d)
		_, _ = d.w.Write(payload[:n]) // Write below has no error to return
		_ = d.w.Flush()
		payload = payload[n:]
	}
	// RFC 7692 section 7.2.1: the last four bytes of a flush are not sent.
	d.buf = d.buf[:len(d.buf)-syncTail]
}

// syncTail is the length of an empty stored block without its header.
const syncTail = 4

// Write is for the writer of d.
func (d *Deflated) Write(b []byte) (int, error) {
	d.buf = append(d.buf, b...)
	return len(b), nil
}

// Bytes returns the whole frame as it goes on the wire, valid until Release.
func (d *Deflated) Bytes() []byte { return d.buf[d.start:] }

// Release gives d back. It must not be used afterwards.
func (d *Deflated) Release() {
	if cap(d.buf) > keepMost {
		d.buf = nil
	}
	d.of.idle.Put(d)
}
