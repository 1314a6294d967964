//go:build linux

package conn

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"roost/conn/frame"
)

// TestLittleIsKeptOfWhatHasLeft reads large messages but for their ends: what stays in
// memory must be little and be counted.
func TestLittleIsKeptOfWhatHasLeft(t *testing.T) {
	const size = 1 << 20
	g := NewGroup(Config{})
	for rest := size - 1; rest > 0; rest /= 2 {
		var own, given outbound
		own.encode(frame.Binary, make([]byte, size), nil)
		given.share(make([]byte, size), nil, 1)
		for _, o := range []*outbound{&own, &given} {
			for o.bytes > rest { // as a peer takes it
				o.written(g, min(64<<10, o.bytes-rest))
			}
			kept := o.behind + cap(o.segs[0].b)
			if kept > 3*rest+64 || o.weight() < kept*2/3 || o.stub() > kept {
				t.Fatalf("of %d bytes %d wait: %d are kept, %d counted, %d as a stub", size, rest, kept, o.weight(), o.stub())
			}
		}
	}
}

// TestKept holds the short form of a number to 11 bits and never more than it was.
func TestKept(t *testing.T) {
	for n := 1; n < 1<<40; n += 1 + n/7 {
		if got := compress(n).bytes(); got > n || got < n-n>>10 {
			t.Fatalf("%d became %d", n, got)
		}
	}
	if compress(0).bytes() != 0 {
		t.Error("nothing became something")
	}
}

// TestOutboundKeepsBytesInOrder drives a queue with random operations and
// compares what leaves with a plain byte slice.
func TestOutboundKeepsBytesInOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	g := NewGroup(Config{})
	var o outbound
	var want, got []byte
	shared := frame.Prepare(frame.Text, []byte("shared by many"))
	for range 20_000 {
		switch rnd.IntN(5) {
		case 0:
			var whole *Shared
			if rnd.IntN(2) == 0 {
				whole = new(Shared)
				whole.Set(shared.Bytes(), 1)
				whole.retain(g)
			}
			o.share(shared.Bytes(), whole, 1)
			want = append(want, shared.Bytes()...)
		case 1:
			p := bytes.Repeat([]byte{byte(rnd.Uint32())}, rnd.IntN(50))
			o.encode(frame.Binary, p, nil)
			want = frame.AppendFrame(want, frame.Binary, p)
		case 2:
			o.append([]byte("two frames"), 2)
			want = append(want, "two frames"...)
		default:
			n := 0
			if o.bytes > 0 {
				n = 1 + rnd.IntN(o.bytes)
			}
			for left, i := n, 0; left > 0; i++ {
				take := min(left, len(o.segs[i].b))
				got = append(got, o.segs[i].b[:take]...)
				left -= take
			}
			o.written(g, n)
		}
		bytesLeft, frames, alone, held := 0, 0, 0, 0
		for _, seg := range o.segs {
			bytesLeft += len(seg.b)
			frames += int(seg.frames)
			if seg.whole == nil {
				alone += len(seg.b)
			} else {
				held += len(seg.whole.b)
			}
		}
		if bytesLeft != o.bytes || frames != o.frames || alone != o.alone || len(got)+o.bytes != len(want) {
			t.Fatalf("counts %d bytes, %d frames, %d alone; holds %d, %d, %d", o.bytes, o.frames, o.alone, bytesLeft, frames, alone)
		}
		if n := int(g.Stats.WriteQueued.Load()); n != held {
			t.Fatalf("%d bytes of shared frames are counted, %d are held", n, held)
		}
	}
	if !bytes.Equal(got, want[:len(got)]) {
		t.Fatal("bytes left in another order than they came")
	}
	if !bytes.Equal(shared.Payload(), []byte("shared by many")) {
		t.Fatal("a shared frame was changed")
	}
}

// TestOutboundTruncate keeps exactly the frame that has begun to leave.
func TestOutboundTruncate(t *testing.T) {
	g := NewGroup(Config{})
	for _, written := range []int{0, 3} {
		var o outbound
		o.append([]byte("first"), 1)
		o.share([]byte("second"), nil, 1)
		o.append([]byte("third"), 1)
		o.written(g, written)
		dropped := o.truncate(g)
		if written == 0 && (dropped != 3 || len(o.segs) != 0 || o.bytes != 0 || o.frames != 0) {
			t.Errorf("nothing begun: dropped %d, left %+v", dropped, o)
		}
		if written > 0 && (dropped != 2 || string(o.segs[0].b) != "st" || o.bytes != 2 || o.frames != 1) {
			t.Errorf("one begun: dropped %d, left %+v", dropped, o)
		}
	}
}

// TestTruncateFreesThePlaces: a thousand frames that others hold too weigh a
// thousand places.
func TestTruncateFreesThePlaces(t *testing.T) {
	g := NewGroup(Config{})
	for _, written := range []int{0, 3} {
		var o outbound
		for range 1000 {
			s := new(Shared)
			s.Set([]byte("short"), 1)
			s.retain(g)
			o.share([]byte("short"), s, 1)
		}
		o.written(g, written)
		o.truncate(g)
		if most := outboundSize + segmentSize; o.weight() > most {
			t.Errorf("%d written: weighs %d bytes truncated, want at most %d", written, o.weight(), most)
		}
	}
}

func TestOutboundLimits(t *testing.T) {
	g := NewGroup(Config{WriteQueueFrames: 3, WriteQueueBytes: 100})
	var none *outbound
	if none.full(g) || none.half(g) {
		t.Error("no queue is never full")
	}
	var o outbound
	o.append(make([]byte, 10), 1)
	if o.half(g) || o.full(g) {
		t.Error("full with one small frame")
	}
	o.append(make([]byte, 10), 1)
	if !o.half(g) || o.full(g) {
		t.Error("two of three frames are half and not full")
	}
	o.append(make([]byte, 10), 1)
	if !o.full(g) {
		t.Error("three of three frames are full")
	}
	var big outbound
	big.append(make([]byte, 100), 1)
	if !big.full(g) {
		t.Error("100 of 100 bytes are full")
	}
	if big.full(NewGroup(Config{})) {
		t.Error("0 means no limit")
	}
}
