package frame

// Prepared is a whole server frame (FIN set, not masked), encoded once and
// sent to any number of connections. It never changes after Prepare, so any
// number of goroutines may use it at the same time.
type Prepared struct {
	frame  []byte
	header int // bytes of frame in front of the payload
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

// Opcode returns the frame's opcode.
func (f *Prepared) Opcode() Opcode { return Opcode(f.frame[0] & bitsOpcode) }

// Payload returns the frame's payload, which aliases Bytes and must not be
// modified either.
func (f *Prepared) Payload() []byte { return f.frame[f.header:] }
