package bench

import "github.com/klauspost/compress/flate"

// deflator compresses the messages of all connections of a client, one at a time
// and each by itself. It takes about 1 MB.
type deflator struct {
	w   *flate.Writer
	out []byte // what w has written
}

// deflateLevel is the fastest: the load generator shares its processors with the
// server that it measures.
const deflateLevel = flate.BestSpeed

// syncBytes end every flush, and are not sent: RFC 7692 section 7.2.1.
const syncBytes = 4

// Write is for the writer.
func (d *deflator) Write(b []byte) (int, error) {
	d.out = append(d.out, b...)
	return len(b), nil
}

// deflate compresses a message. The result is valid until the next call.
func (d *deflator) deflate(message []byte) []byte {
	d.out = reusableOut(d.out)
	if d.w == nil {
		d.w, _ = flate.NewWriter(d, deflateLevel) // the level is one of flate's
	} else {
		d.w.Reset(d)
	}
	_, _ = d.w.Write(message) // Write above does not fail
	_ = d.w.Flush()
	return d.out[:len(d.out)-syncBytes]
}

// compress returns what is sent of a message on a connection that has agreed:
// what does not get shorter goes as it is.
func (cl *Client) compress(op byte, message []byte) (first byte, payload []byte) {
	if cl.deflator == nil {
		cl.deflator = new(deflator)
	}
	payload = cl.deflator.deflate(message)
	if len(payload) < len(message) {
		op |= rsv1
	} else {
		payload = message
	}
	cl.tally.deflate.Out.count(op&rsv1 != 0, len(message), len(payload))
	return op, payload
}
