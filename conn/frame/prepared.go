package frame

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// Prepared is a whole server frame (FIN set, not masked), encoded once and
// sent to any number of connections. Its bytes never change after Prepare, so any
// number of goroutines may use it at the same time.
type Prepared struct {
	frame  []byte
	header int // bytes of frame in front of the payload

	deflated atomic.Pointer[deflatedForms] // nil until somebody needs one
}

// deflatedForms are the compressed forms of one frame.
type deflatedForms struct {
	mu sync.Mutex
	by [MaxWindow - LeastWindow + 1][]byte // guarded by mu; by window, nil before it is needed
}

// Prepare encodes a frame. It copies payload, which stays the caller's. What
// AppendFrame says about payloads holds here too.
func Prepare(op Opcode, payload []byte) *Prepared {
	payload = cut(op, payload)
	header := HeaderSize(len(payload))
	// Room for exactly this frame, since it may wait in many queues.
	frame := AppendFrame(make([]byte, 0, header+len(payload)), op, payload)
	return &Prepared{frame: frame, header: header}
}

// Bytes returns the whole frame as it goes on the wire. It is shared and must
// not be modified.
func (f *Prepared) Bytes() []byte { return f.frame }

// Deflated returns the frame for connections that have agreed to a window of 1<<window bytes,
// from LeastWindow to MaxWindow: compressed by z, or Bytes when that would be no shorter.
// The work is done once, for the first who asks, however many do at the same time.
// z is always the same. The bytes are shared and must not be modified.
func (f *Prepared) Deflated(z *Compressor, window int) []byte {
	if 1<<window >= len(f.Payload()) {
		window = MaxWindow // comes to the same, and is shared with more
	}
	forms := f.deflated.Load()
	if forms == nil {
		f.deflated.CompareAndSwap(nil, new(deflatedForms))
		forms = f.deflated.Load()
	}
	forms.mu.Lock()
	defer forms.mu.Unlock()
	form := &forms.by[window-LeastWindow]
	if *form == nil {
		*form = f.frame
		if d := z.Deflate(f.Opcode(), f.Payload(), window); d != nil {
			*form = bytes.Clone(d.Bytes())
			d.Release()
		}
	}
	return *form
}

// Opcode returns the frame's opcode.
func (f *Prepared) Opcode() Opcode { return Opcode(f.frame[0] & bitsOpcode) }

// Payload returns the frame's payload, which aliases Bytes and must not be
// modified either.
func (f *Prepared) Payload() []byte { return f.frame[f.header:] }
