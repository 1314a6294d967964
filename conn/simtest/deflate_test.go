//go:build roostsim

package simtest

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"

	"roost/conn"
	"roost/conn/frame"
	"roost/poller/sim"
)

// What compresses is kept from world to world: its tables take longer to make than a seed.
var (
	compressors = []*frame.Compressor{newCompressor(1, 0), newCompressor(1, 30), newCompressor(6, 0)}
	inflater    frame.Inflater
	deflaters   = map[int]*flate.Writer{}
)

func newCompressor(level, least int) *frame.Compressor {
	z, err := frame.NewCompressor(level, least)
	if err != nil {
		panic(err)
	}
	return z
}

// deflate compresses a client's message, perhaps in two blocks.
func deflate(text string) string {
	level := one(flate.NoCompression, flate.BestSpeed, flate.HuffmanOnly)
	var b bytes.Buffer
	w := deflaters[level]
	if w == nil {
		w, _ = flate.NewWriter(nil, level) // the level is in range
		deflaters[level] = w
	}
	w.Reset(&b)
	if sim.Chance(3) {
		n := sim.Pick(len(text) + 1)
		_, _ = io.WriteString(w, text[:n]) // a bytes.Buffer takes everything
		_ = w.Flush()
		text = text[n:]
	}
	_, _ = io.WriteString(w, text)
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// offer is the header line of a client that would like compression.
func (c *client) offer() string {
	header, window := "Sec-WebSocket-Extensions: permessage-deflate", frame.MaxWindow
	if sim.Chance(2) {
		window = one(frame.LeastWindow, 10, frame.MaxWindow)
		header += fmt.Sprintf("; server_max_window_bits=%d", window)
	}
	if c.run.compressor != nil {
		c.window = window
	}
	return header
}

// agreed fails unless the answer to the request says of compression what it must.
func (c *client) agreed(head string) {
	if strings.Contains(head, "permessage-deflate; server_no_context_takeover; client_no_context_takeover") != (c.window > 0) {
		sim.Fail("%s, with a window of %d, gets %q", c.name, c.window, head)
	}
}

// inflate is the message of a frame. It fails unless that has the one form that it can have
// for c: what is sent to another window, or was changed on its way, has other bytes.
func (c *client) inflate(op frame.Opcode, whole, payload []byte) string {
	compressed := whole[0]&rsv1 != 0
	if compressed && (c.window == 0 || op.IsControl()) {
		sim.Fail("%s, with a window of %d, gets %v with RSV1", c.name, c.window, op)
	}
	if c.window == 0 || op.IsControl() {
		return string(payload)
	}
	message := payload
	if compressed {
		var err error
		if message, err = inflater.Inflate(op, bytes.Clone(payload), 2*longest); err != nil {
			sim.Fail("%s gets %q, which does not inflate: %v", c.name, payload, err)
		}
	}
	if !compressed && c.early(string(message)) {
		return string(message)
	}
	if want := frame.Prepare(op, message).Deflated(c.run.compressor, c.window); !bytes.Equal(whole, want) {
		sim.Fail("%s, with a window of %d, gets %q for %q, want %q", c.name, c.window, whole, message, want)
	}
	return string(message)
}

// early reports whether a message may be plain because what c has agreed to was not known
// when it was sent, or is one that nobody compresses.
func (c *client) early(message string) bool {
	if x := c.session.sent[message]; x != nil {
		return x.watched || x.early
	}
	at, published := c.run.place[message]
	return published && at < c.session.first
}

// violateCompressed breaks the rules of compression.
func (c *client) violateCompressed() {
	why := conn.ReasonProtocolError
	switch sim.Pick(5) {
	case 0:
		c.queue = append(c.queue, masked(byte(frame.Text), "x")...)
		c.queue = append(c.queue, masked(fin|rsv1, "x")...)
	case 1:
		c.queue = append(c.queue, masked(fin|rsv1|byte(frame.Ping), "x")...)
	case 2:
		why = conn.ReasonInvalidPayload
		c.queue = append(c.queue, masked(fin|rsv1|byte(frame.Binary), one("\x07", "", "\x02\x07\x00"))...)
	case 3:
		why = conn.ReasonInvalidPayload
		c.queue = append(c.queue, masked(fin|rsv1|byte(frame.Text), deflate("x\xff"))...)
	case 4:
		most := int(c.run.plan.conn.MaxMessage)
		if most == 0 {
			c.queue = append(c.queue, masked(0xa2, "")...)
			break
		}
		why = conn.ReasonTooBig
		c.queue = append(c.queue, masked(fin|rsv1|byte(frame.Text), deflate(strings.Repeat("x", most+1)))...)
	}
	c.ends(why)
}
