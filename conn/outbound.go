//go:build linux

package conn

import (
	"syscall"

	"roost/conn/frame"
	"roost/poller/socket"
)

// outbound is what waits to be written to one connection, in order. It is
// guarded by the connection's mu.
type outbound struct {
	segs    []segment
	bytes   int    // in segs
	frames  int    // in segs; frames of a segment leave with its last byte
	partial bool   // part of segs[0] has been written
	buf     []byte // backing array of the first own segment, kept by a worker's cork
}

// segment is a run of whole frames, except that the first in the queue may have
// lost its beginning to the kernel.
type segment struct {
	b      []byte
	frames int
	own    bool // b belongs to this queue and may be appended to; else it is shared and immutable
}

// full reports whether the limits forbid another frame.
func (o *outbound) full(g *Group) bool {
	return o != nil && (g.WriteQueueFrames > 0 && o.frames >= g.WriteQueueFrames ||
		g.WriteQueueBytes > 0 && o.bytes >= g.WriteQueueBytes)
}

// half reports whether so much waits that its client should not ask for more.
func (o *outbound) half(g *Group) bool {
	return o != nil && (g.WriteQueueFrames > 0 && o.frames >= (g.WriteQueueFrames+1)/2 ||
		g.WriteQueueBytes > 0 && o.bytes >= (g.WriteQueueBytes+1)/2)
}

// share appends b, which nobody may change from now on.
func (o *outbound) share(b []byte, frames int) {
	o.segs = append(o.segs, segment{b: b, frames: frames})
	o.bytes += len(b)
	o.frames += frames
}

// tail returns an own segment at the end of the queue, to be appended to with grow.
func (o *outbound) tail() *segment {
	if n := len(o.segs); n > 0 && o.segs[n-1].own {
		return &o.segs[n-1]
	}
	seg := segment{own: true}
	if len(o.segs) == 0 {
		seg.b, o.buf = o.buf[:0], nil
	}
	o.segs = append(o.segs, seg)
	return &o.segs[len(o.segs)-1]
}

// append copies b, which holds whole frames.
func (o *outbound) append(b []byte, frames int) {
	seg := o.tail()
	seg.b = append(seg.b, b...)
	seg.frames += frames
	o.bytes += len(b)
	o.frames += frames
}

// encode appends one frame.
func (o *outbound) encode(op frame.Opcode, payload []byte) {
	seg := o.tail()
	before := len(seg.b)
	seg.b = frame.AppendFrame(seg.b, op, payload)
	seg.frames++
	o.bytes += len(seg.b) - before
	o.frames++
}

// written removes n bytes from the front.
func (o *outbound) written(n int) {
	o.bytes -= n
	i := 0
	for i < len(o.segs) && n >= len(o.segs[i].b) {
		n -= len(o.segs[i].b)
		o.frames -= o.segs[i].frames
		if o.segs[i].own && !o.partial {
			o.buf = o.segs[i].b[:0]
		}
		o.partial = false
		i++
	}
	rest := copy(o.segs, o.segs[i:])
	clear(o.segs[rest:])
	o.segs = o.segs[:rest]
	if n > 0 {
		o.segs[0].b = o.segs[0].b[n:]
		o.partial = true
	}
}

// truncate drops everything that has not begun to leave and returns how many
// frames that was.
func (o *outbound) truncate() int {
	keep := 0
	if o.partial {
		keep = 1
	}
	dropped := 0
	for _, seg := range o.segs[keep:] {
		dropped += seg.frames
		o.bytes -= len(seg.b)
	}
	o.frames -= dropped
	clear(o.segs[keep:])
	o.segs = o.segs[:keep]
	return dropped
}

// reset empties a worker's cork for the next run and keeps its memory.
func (o *outbound) reset() {
	if cap(o.buf) > corkKeep {
		o.buf = nil
	}
	clear(o.segs) // what a failure left
	*o = outbound{segs: o.segs[:0], buf: o.buf}
}

// writeTo hands as much as possible to the kernel.
func (o *outbound) writeTo(fd int) (int, syscall.Errno) {
	if len(o.segs) == 1 {
		return socket.Send(fd, o.segs[0].b)
	}
	var bufs [socket.MaxIovecs][]byte
	k := min(len(o.segs), len(bufs))
	for i := range k {
		bufs[i] = o.segs[i].b
	}
	return socket.Writev(fd, bufs[:k])
}
