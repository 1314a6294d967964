package bench

import (
	"bytes"
	"errors"
	"hash/maphash"
	"io"
	"slices"

	"github.com/klauspost/compress/flate"
)

const (
	// memoryPlaces is how many inflated messages are remembered: those that a
	// server sends to one connection before it turns to the next.
	memoryPlaces = 1024
	// memoryBytes bounds what they take in all, in both forms.
	memoryBytes = 8 << 20
	// leastGrowth is how much the room for a message grows at least.
	leastGrowth = 512
)

// inflator inflates the messages of all connections of a client, each by itself.
// In a broadcast they all get the same bytes, so it remembers the last ones.
type inflator struct {
	r   io.ReadCloser // a flate.Resetter; nil before the first message
	in  bytes.Reader
	src []byte // a payload with its tail

	seed   maphash.Seed
	memory [memoryPlaces]remembered // by hash
	bytes  int                      // of memory
}

// remembered is a message in both forms.
type remembered struct {
	hash              uint64
	deflated, message []byte
}

func (m *remembered) bytes() int { return cap(m.deflated) + cap(m.message) }

// deflateTail ends what a peer sends of a message: first what it left away, RFC 7692
// section 7.2.2, then a final block without content, which ends the stream.
var deflateTail = []byte{0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff}

func newInflator() *inflator { return &inflator{seed: maphash.MakeSeed()} }

// inflate returns the message of a compressed payload, valid until the next call.
// The error is ErrDeflate, or ErrMessageTooBig beyond most bytes.
func (f *inflator) inflate(payload []byte, most int) ([]byte, error) {
	hash := maphash.Bytes(f.seed, payload)
	m := &f.memory[hash%memoryPlaces]
	if m.hash == hash && m.message != nil && bytes.Equal(m.deflated, payload) {
		return m.message, nil
	}
	before := m.bytes()
	message, err := f.read(m.message[:0], payload, most)
	if err != nil {
		f.bytes -= before
		*m = remembered{} // its room was written to
		return nil, err
	}
	m.hash, m.deflated, m.message = hash, append(m.deflated[:0], payload...), message
	if f.bytes += m.bytes() - before; f.bytes > memoryBytes {
		clear(f.memory[:])
		f.bytes = 0
	}
	return message, nil
}

// read appends the message of a payload to dst.
func (f *inflator) read(dst, payload []byte, most int) ([]byte, error) {
	f.src = append(append(f.src[:0], payload...), deflateTail...)
	f.in.Reset(f.src)
	f.src = reusableOut(f.src)
	f.restart()
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, max(leastGrowth, len(dst)))
		}
		// One byte more than allowed tells that there are too many.
		n, err := f.r.Read(dst[len(dst):min(cap(dst), most+1)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > most:
			return nil, ErrMessageTooBig
		case err == nil:
		case !errors.Is(err, io.EOF):
			return nil, ErrDeflate
		case f.in.Len() == 0, f.in.Len() == len(deflateTail):
			return dst, nil
		default: // a final block of the peer's own, which others may follow, section 7.2.1
			f.restart()
		}
	}
}

// restart begins a stream at the next byte.
func (f *inflator) restart() {
	if f.r == nil {
		f.r = flate.NewReader(&f.in)
		return
	}
	_ = f.r.(flate.Resetter).Reset(&f.in, nil) // it has no error to return
}

// inflated returns the message of a payload, and counts it where compression was
// agreed on. op has rsv1 when it is compressed.
func (cl *Client) inflated(c *Conn, op byte, payload []byte) (message []byte, err error) {
	if !c.deflate {
		return payload, nil
	}
	message = payload
	if op&rsv1 != 0 {
		if cl.inflator == nil {
			cl.inflator = newInflator()
		}
		if message, err = cl.inflator.inflate(payload, cl.cfg.MaxMessageBytes); err != nil {
			return nil, err
		}
	}
	cl.tally.deflate.In.count(op&rsv1 != 0, len(message), len(payload))
	return message, nil
}

// mostBytes is how long the payload of a message may be: compressed, which op
// tells, what does not repeat gets a little longer.
func (cl *Client) mostBytes(op byte) int {
	if op&rsv1 != 0 {
		return cl.cfg.MaxMessageBytes + cl.cfg.MaxMessageBytes>>3 + 64
	}
	return cl.cfg.MaxMessageBytes
}
