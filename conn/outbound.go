//go:build linux

package conn

import (
	"bytes"
	"syscall"
	"unsafe"

	"roost/conn/frame"
	"roost/poller/socket"
)

// outbound is what waits to be written to one connection, in order. It is
// guarded by the connection's mu.
type outbound struct {
	segs    []segment
	bytes   int    // in segs
	frames  int    // in segs; frames of a segment leave with its last byte
	alone   int    // bytes in segs without a Shared
	counted int    // this queue's part in Stats.WriteQueued
	dropped uint64 // frames that found the queue full
	behind  int    // bytes of segs[0] that have left and are kept alive by the rest, unless it is a Shared
	partial bool   // part of segs[0] has been written
	told    bool   // Config.Slow wants to know when the queue is empty
	buf     []byte // backing array of the first own segment, kept by a worker's cork
}

// segment is a run of whole frames, except that the first in the queue may have
// lost its beginning to the kernel.
type segment struct {
	b      []byte
	whole  *Shared // what b is part of; nil if b counts for this queue alone
	frames int32
	own    bool // b belongs to this queue and may be appended to; else it is immutable
}

const (
	// ownMost is the length at which an own segment is followed by another, so that
	// memory returns while a long queue leaves. A run's answers fit into one.
	ownMost = 128 << 10

	segmentSize  = int(unsafe.Sizeof(segment{}))
	outboundSize = int(unsafe.Sizeof(outbound{}))
)

// weight is how many bytes of memory the queue keeps alive by itself. What it
// shares with other queues is counted once for all of them, by [Shared].
func (o *outbound) weight() int {
	return outboundSize + cap(o.segs)*segmentSize + o.alone + o.behind + cap(o.buf)
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

// share appends b, which nobody may change from now on: the end of whole, which
// the caller has retained, or bytes that count for this queue alone if that is nil.
func (o *outbound) share(b []byte, whole *Shared, frames int) {
	o.segs = append(o.segs, segment{b: b, whole: whole, frames: int32(frames)})
	o.bytes += len(b)
	o.frames += frames
	if whole == nil {
		o.alone += len(b)
	}
}

// tail returns an own segment at the end of the queue, to be appended to with grow.
func (o *outbound) tail() *segment {
	if n := len(o.segs); n > 0 && o.segs[n-1].own && len(o.segs[n-1].b) < ownMost {
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
	seg.frames += int32(frames)
	o.bytes += len(b)
	o.alone += len(b)
	o.frames += frames
}

// encode appends one frame, which is deflated unless that is nil.
func (o *outbound) encode(op frame.Opcode, payload, deflated []byte) {
	if deflated != nil {
		o.append(deflated, 1)
		return
	}
	seg := o.tail()
	before := len(seg.b)
	seg.b = frame.AppendFrame(seg.b, op, payload)
	seg.frames++
	o.bytes += len(seg.b) - before
	o.alone += len(seg.b) - before
	o.frames++
}

// leave is called for a segment that is taken out of segs.
func (o *outbound) leave(g *Group, seg *segment, f Fate) {
	o.bytes -= len(seg.b)
	o.frames -= int(seg.frames)
	if seg.whole != nil {
		seg.whole.release(g, f)
	} else {
		o.alone -= len(seg.b)
	}
}

// written removes n bytes from the front.
func (o *outbound) written(g *Group, n int) {
	i := 0
	for i < len(o.segs) && n >= len(o.segs[i].b) {
		n -= len(o.segs[i].b)
		o.leave(g, &o.segs[i], Sent)
		if o.segs[i].own && !o.partial {
			o.buf = o.segs[i].b[:0]
		}
		o.partial = false
		o.behind = 0
		i++
	}
	rest := copy(o.segs, o.segs[i:])
	clear(o.segs[rest:])
	o.segs = o.segs[:rest]
	if n > 0 {
		seg := &o.segs[0]
		seg.b = seg.b[n:]
		o.bytes -= n
		if seg.whole == nil {
			o.alone -= n
			o.behind += n
			o.compact()
		}
		o.partial = true
	}
}

// compact moves the rest of segs[0] when most of it has left: a peer that reads all
// but the end of a large message must not keep the whole in memory. Each copy is
// shorter than what has left since the one before.
func (o *outbound) compact() {
	if seg := &o.segs[0]; o.behind > len(seg.b) {
		seg.b, o.behind = bytes.Clone(seg.b), 0
	}
}

// truncate drops everything that has not begun to leave and returns how many
// frames that was. The places go as well: where short shared frames have waited they
// are nearly all there is to free.
func (o *outbound) truncate(g *Group) int {
	before := o.frames
	o.drop(g, o.begun(), Dropped)
	o.segs = append([]segment(nil), o.segs...)
	o.buf = nil
	return before - o.frames
}

// begun is how many segments have begun to leave, 0 or 1.
func (o *outbound) begun() int {
	if o.partial {
		return 1
	}
	return 0
}

// drop drops all segments but the first keep ones.
func (o *outbound) drop(g *Group, keep int, f Fate) {
	for i := keep; i < len(o.segs); i++ {
		o.leave(g, &o.segs[i], f)
	}
	clear(o.segs[keep:])
	o.segs = o.segs[:keep]
}

// discard drops everything, for a queue that is given up with its connection, or empty.
func (o *outbound) discard(g *Group) {
	o.partial, o.behind = false, 0
	o.drop(g, 0, Closed)
	g.queued(-o.counted)
	o.counted = 0
}

// stub is how many bytes stay alive when everything is dropped that has not begun
// to leave.
func (o *outbound) stub() int {
	switch {
	case !o.partial:
		return 0
	case o.segs[0].whole != nil:
		return len(o.segs[0].whole.b)
	}
	return len(o.segs[0].b) + o.behind
}

// reset empties a worker's cork for the next run and keeps its memory.
func (o *outbound) reset() {
	if cap(o.buf) > corkKeep {
		o.buf = nil
	}
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
