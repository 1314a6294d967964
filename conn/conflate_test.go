//go:build linux

package conn

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/poller"
)

// verdict counts what a Watcher is told.
type verdict [Closed + 1]atomic.Int32

func (v *verdict) Told(f Fate) { v[f].Add(1) }

func (v *verdict) counts() (n [Closed + 1]int32) {
	for f := range v {
		n[f] = v[f].Load()
	}
	return n
}

// tick is one frame that was published: its number, what it replaces, and its fate.
type tick struct {
	verdict

	n     int
	key   string
	frame *frame.Prepared
}

// newTick has the text "n key pad".
func newTick(n int, key string, pad int) *tick {
	return &tick{n: n, key: key, frame: frame.Prepare(frame.Text, fmt.Appendf(nil, "%d %s %s", n, key, strings.Repeat(".", pad)))}
}

// alone is t as a Shared of its own.
func (t *tick) alone() *Shared {
	s := new(Shared)
	s.Set(t.frame.Bytes(), 1)
	s.SetKey(t.key)
	s.Watch(t)
	return s
}

// all is told what ticks are told that leave together.
type all []*tick

func (a all) Told(f Fate) {
	for _, t := range a {
		t.Told(f)
	}
}

// joined is some ticks in one Shared, as the hub makes it.
func joined(ticks []*tick) *Shared {
	var b []byte
	for _, t := range ticks {
		b = append(b, t.frame.Bytes()...)
	}
	s := new(Shared)
	s.Set(b, len(ticks))
	s.SetParts(func() (parts []*Shared) {
		for _, t := range ticks {
			parts = append(parts, t.alone())
		}
		return parts
	})
	s.Watch(all(ticks))
	return s
}

// crew is a group and a poller for connected.
func crew(t testing.TB, config Config) (g *Group, p *poller.Poller, gone chan struct{}) {
	t.Helper()
	gone = make(chan struct{}, 10)
	config.Log = slog.New(slog.DiscardHandler)
	config.Policy = &handshake.Policy{Path: "/", MaxHead: 8192, MaxHeaders: 100}
	config.Gone = func(*Conn, bool) { gone <- struct{}{} }
	if config.Handler == nil {
		config.Handler = nobody{}
	}
	p, err := poller.New(poller.Config{Reactors: 1, Workers: 1, Buffer: 64 << 10, NewScratch: NewScratch,
		OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return NewGroup(config), p, gone
}

// wire is what a peer has read, as the numbers of ticks; other frames are -1.
type wire struct {
	peer int
	rest []byte
	got  []int
	eof  bool
}

// read takes up to n bytes, or what is there if n is negative. It reports whether
// something has come.
func (w *wire) read(t *testing.T, n int) bool {
	t.Helper()
	if n < 0 {
		n = 32 << 10
	}
	buf := make([]byte, n)
	n, err := unix.Read(w.peer, buf)
	if err != nil {
		return false
	}
	w.eof = n == 0
	w.rest = append(w.rest, buf[:n]...)
	for {
		if len(w.rest) < 2 {
			break
		}
		header, long := 2, int(w.rest[1])
		switch long {
		case 126:
			if header = 4; len(w.rest) >= 4 {
				long = int(w.rest[2])<<8 | int(w.rest[3])
			}
		case 127:
			if header = 10; len(w.rest) >= 10 {
				long = int(w.rest[6])<<24 | int(w.rest[7])<<16 | int(w.rest[8])<<8 | int(w.rest[9])
			}
		}
		if len(w.rest) < header+long {
			break
		}
		number := -1
		if w.rest[0] == 0x81 { // a whole text message
			text := string(w.rest[header : header+long])
			first, _, _ := strings.Cut(text, " ")
			if number, err = strconv.Atoi(first); err != nil {
				t.Fatalf("frames are torn: %.100q", text)
			}
		} else if w.rest[0] != 0x88 && w.rest[0] != 0x82 {
			t.Fatalf("frames are torn: %.100q", w.rest)
		}
		w.got = append(w.got, number)
		w.rest = w.rest[header+long:]
	}
	return n > 0
}

// TestLatestValuesOnly has a client stand still while 100 keys change 10,000 times.
// What the kernel has not taken by then it gets as one value of each key, the last,
// in the order of publishing, and what waits for it stays small all the time.
func TestLatestValuesOnly(t *testing.T) {
	const keys, ticks, most = 100, 10_000, 256
	for how, batch := range map[string]func(*rand.Rand) int{
		"single": func(*rand.Rand) int { return 1 },
		"joined": func(*rand.Rand) int { return 64 },
		"mixed":  func(rnd *rand.Rand) int { return 1 + rnd.IntN(most)*rnd.IntN(2) },
	} {
		t.Run(how, func(t *testing.T) {
			g, p, gone := crew(t, Config{SlowConsumer: Conflate, WriteQueueFrames: keys + 1,
				Slow: func(s Slow) bool { t.Errorf("told %+v", s); return false }})
			c, fd, peer := connected(t, g, p)
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 32<<10); err != nil {
				t.Fatal(err)
			}
			rnd := rand.New(rand.NewPCG(7, 7))
			var sent []*tick
			latest, size := map[string]int{}, 0
			for len(sent) < ticks {
				var some []*tick
				for range min(batch(rnd), ticks-len(sent)) {
					one := newTick(len(sent), fmt.Sprint("key", rnd.IntN(keys)), rnd.IntN(20))
					latest[one.key], size = one.n, max(size, len(one.frame.Bytes()))
					some, sent = append(some, one), append(sent, one)
				}
				s := joined(some)
				if len(some) == 1 {
					s = some[0].alone()
				}
				if err := c.SendShared(s); err != nil {
					t.Fatalf("tick %d: %v", len(sent), err)
				}
				b, n := c.Backlog(), g.Stats.WriteQueued.Load()
				if b.Frames > keys+1 || b.Bytes > (keys+1)*size || b.Dropped != 0 {
					t.Fatalf("%+v waits for %d keys", b, keys)
				}
				if bound := outboundSize + 2*(keys+most)*segmentSize + (keys+1)*size; n > int64(bound) {
					t.Fatalf("%d bytes are kept, want at most %d", n, bound)
				}
			}
			if b := c.Backlog(); b.Frames < keys {
				t.Fatalf("it has not stopped the client: %+v", b)
			}
			w := wire{peer: peer}
			until(t, func() bool {
				w.read(t, -1)
				return len(w.got) > 0 && w.got[len(w.got)-1] == ticks-1 && len(w.rest) == 0
			})
			before := 0 // what the kernel had when the client stopped
			for before < len(w.got) && w.got[before] == before {
				before++
			}
			seen := map[string]bool{}
			for i, n := range w.got[before:] {
				if n <= w.got[before+i-1] {
					t.Fatalf("number %d comes behind %d", n, w.got[before+i-1])
				}
				key := sent[n].key
				if seen[key] || n != latest[key] {
					t.Errorf("number %d of %s came, seen before: %v; the latest is %d", n, key, seen[key], latest[key])
				}
				seen[key] = true
			}
			last := map[string]int{}
			for _, n := range w.got {
				last[sent[n].key] = n
			}
			for key, n := range latest {
				if last[key] != n {
					t.Errorf("the last value of %s is number %d, want %d", key, last[key], n)
				}
			}
			until(t, func() bool { return g.Stats.WriteQueued.Load() == 0 })
			dropped := 0
			for _, one := range sent {
				switch one.counts() {
				case [...]int32{Sent: 1, Closed: 0}:
				case [...]int32{Dropped: 1, Closed: 0}:
					dropped++
				default:
					t.Fatalf("number %d was told %v", one.n, one.counts())
				}
			}
			if n := int(g.Stats.Conflated.Load()); n != dropped || n != ticks-len(w.got) || g.Stats.Dropped.Load() != 0 {
				t.Errorf("%d were conflated, %d told so, %d missed, %d dropped", n, dropped, ticks-len(w.got), g.Stats.Dropped.Load())
			}
			c.Abort(ReasonShutdown)
			<-gone
		})
	}
}

// TestBegunFrameIsNotReplaced: of a frame larger than the socket a part has left.
func TestBegunFrameIsNotReplaced(t *testing.T) {
	g, p, gone := crew(t, Config{SlowConsumer: Conflate})
	for _, together := range []bool{false, true} {
		c, _, peer := connected(t, g, p)
		ticks := []*tick{newTick(0, "small", 10), newTick(1, "large", 1<<20), newTick(2, "small", 5), newTick(3, "small", 1), newTick(4, "large", 9)}
		var batch *Shared
		if together {
			batch = joined(ticks[:4])
			if err := c.SendShared(batch); err != nil {
				t.Fatal(err)
			}
		} else {
			for _, one := range ticks[:4] {
				if err := c.SendShared(one.alone()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := c.SendShared(ticks[4].alone()); err != nil {
			t.Fatal(err)
		}
		if together && batch.Held() {
			t.Error("the queue holds the batch, not its parts")
		}
		w := wire{peer: peer}
		until(t, func() bool { w.read(t, -1); return len(w.got) == 4 })
		if want := []int{0, 1, 3, 4}; fmt.Sprint(w.got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", w.got, want)
		}
		until(t, func() bool { return g.Stats.WriteQueued.Load() == 0 })
		for _, one := range ticks {
			want := [...]int32{Sent: 1, Closed: 0}
			if one.n == 2 {
				want = [...]int32{Dropped: 1, Closed: 0}
			}
			if got := one.counts(); got != want {
				t.Errorf("together %v: number %d was told %v, want %v", together, one.n, got, want)
			}
		}
		c.Abort(ReasonShutdown)
		<-gone
	}
}

// TestConflateIsBounded: what has no key fills the queue, and the bound holds. A frame
// whose key waits already is taken by a full queue.
func TestConflateIsBounded(t *testing.T) {
	var told []SlowEvent
	g, p, gone := crew(t, Config{SlowConsumer: Conflate, WriteQueueFrames: 4,
		Slow: func(s Slow) bool { told = append(told, s.What); return true }})
	for _, last := range []string{"", "b"} {
		told = nil
		closed := g.Stats.Ended[ReasonSlowConsumer].Load()
		c, _, _ := connected(t, g, p)
		ticks := []*tick{newTick(0, "", 1<<20), newTick(1, "a", 9), newTick(2, "", 9), newTick(3, "", 9)}
		for _, one := range ticks {
			if err := c.SendShared(one.alone()); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if err := c.SendShared(newTick(4, "a", 9).alone()); err != nil {
				t.Fatal(err)
			}
		}
		over, also := newTick(5, last, 9), newTick(6, last, 9)
		if err := c.SendShared(joined([]*tick{over, also})); err != ErrSlowConsumer {
			t.Fatalf("%v, want %v", err, ErrSlowConsumer)
		}
		if over.counts() != also.counts() || over.counts() != [Closed + 1]int32{} {
			t.Errorf("what was not taken was told %v", over.counts())
		}
		if fmt.Sprint(told) != fmt.Sprint([]SlowEvent{CutOff}) {
			t.Errorf("told %v", told)
		}
		if got := ticks[3].counts(); got != [...]int32{Dropped: 1, Closed: 0} {
			t.Errorf("what waited was told %v", got)
		}
		c.Abort(ReasonShutdown) // it is not read
		<-gone
		if got := ticks[0].counts(); got != [...]int32{Closed: 1} {
			t.Errorf("what was leaving was told %v", got)
		}
		if n := g.Stats.Ended[ReasonSlowConsumer].Load() - closed; n != 1 {
			t.Errorf("%d were closed as slow", n)
		}
	}
	if n := g.Stats.WriteQueued.Load(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

// TestPartsAreForConflation: with another policy nobody asks for them, and they are not
// kept; nor while nobody is behind.
func TestPartsAreForConflation(t *testing.T) {
	for _, policy := range []SlowConsumer{Disconnect, Drop, Conflate} {
		g, p, gone := crew(t, Config{SlowConsumer: policy})
		c, _, peer := connected(t, g, p)
		asked := 0
		batch := func(pad int) *Shared {
			s := joined([]*tick{newTick(0, "a", pad), newTick(1, "a", pad)})
			split := s.split
			s.SetParts(func() []*Shared { asked++; return split() })
			return s
		}
		s := batch(1)
		if err := c.SendShared(s); err != nil || asked != 0 {
			t.Fatalf("policy %d: %v, asked %d times for what has left", policy, err, asked)
		}
		s = batch(1 << 20)
		for range 2 {
			if err := c.SendShared(s); err != nil {
				t.Fatal(err)
			}
		}
		if policy == Conflate {
			if asked != 1 || s.Held() || c.Backlog().Frames != 2 {
				t.Errorf("asked %d times, held %v, %+v", asked, s.Held(), c.Backlog())
			}
		} else if asked != 0 || !s.Held() || s.split != nil || c.Backlog().Frames != 4 {
			t.Errorf("policy %d: asked %d times, held %v, %+v", policy, asked, s.Held(), c.Backlog())
		}
		w := wire{peer: peer}
		until(t, func() bool { w.read(t, -1); return g.Stats.WriteQueued.Load() == 0 })
		c.Abort(ReasonShutdown)
		<-gone
	}
}

// TestConflationAgainstModel does random things to a queue and to a list of what should
// be in it.
func TestConflationAgainstModel(t *testing.T) {
	type waiting struct {
		*tick
		left int
		run  int // of frames that are the queue's own: they share a segment
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	g := NewGroup(Config{SlowConsumer: Conflate})
	var o outbound
	var model []waiting
	var ticks []*tick
	want := map[*tick]Fate{}
	runs, left := 0, 0 // left is the run of the byte that has left last
	begun := func() bool { return len(model) > 0 && model[0].run == left }
	add := func(one *tick, run int) { model = append(model, waiting{one, len(one.frame.Bytes()), run}) }
	pick := func() *tick {
		one := newTick(len(ticks), one(rnd, "", "a", "b", "cc", "dd"), rnd.IntN(30))
		ticks = append(ticks, one)
		return one
	}
	publish := func(some []*tick) {
		for _, one := range some {
			for i, old := range model {
				if one.key != "" && old.key == one.key && (i > 0 || !begun()) {
					want[old.tick] = Dropped
					model = append(model[:i], model[i+1:]...)
					break
				}
			}
			runs++
			add(one, runs)
		}
	}
	for step := range 50_000 {
		switch rnd.IntN(10) {
		case 0, 1, 2:
			some := []*tick{pick()}
			for range rnd.IntN(8) * rnd.IntN(2) {
				some = append(some, pick())
			}
			s := joined(some)
			if len(some) == 1 {
				s = some[0].alone()
			}
			before := 0
			if len(o.segs) > 0 {
				o.supersede(g, s.takeApart())
			} else { // as after a direct write
				before = rnd.IntN(len(s.b))
			}
			o.shareEach(g, s.takeApart(), before)
			for n := before; n > 0; some = some[1:] {
				size := len(some[0].frame.Bytes())
				if n >= size {
					want[some[0]] = Sent
				} else {
					runs++
					left = runs
					model = append(model, waiting{some[0], size - n, runs})
				}
				n -= min(n, size)
			}
			publish(some)
		case 3: // nobody else's
			one := pick()
			one.key = ""
			o.append(one.frame.Bytes(), 1)
			if k := len(model); k == 0 || want[model[k-1].tick] <= Closed {
				runs++
			}
			add(one, runs)
			want[one] = Closed + 1 // nobody is told
		case 4:
			if rnd.IntN(20) == 0 {
				o.truncate(g)
				keep := 0
				for keep < len(model) && model[keep].run == left {
					keep++
				}
				for _, gone := range model[keep:] {
					if want[gone.tick] <= Closed {
						want[gone.tick] = Dropped
					}
				}
				model = model[:keep]
			}
		case 5:
			if rnd.IntN(20) == 0 {
				o.discard(g)
				for _, gone := range model {
					if want[gone.tick] <= Closed {
						want[gone.tick] = Closed
					}
				}
				model = nil
			}
		default:
			if o.bytes == 0 {
				continue
			}
			n := 1 + rnd.IntN(o.bytes)
			if rnd.IntN(2) == 0 {
				n = 1 + rnd.IntN(min(20, o.bytes))
			}
			var out []byte
			for n, i := n, 0; n > 0; i++ {
				k := min(n, len(o.segs[i].b))
				out = append(out, o.segs[i].b[:k]...)
				n -= k
			}
			o.written(g, n)
			for n > 0 {
				head := &model[0]
				b := head.frame.Bytes()
				k := min(n, head.left)
				if at := len(b) - head.left; !bytes.Equal(out[:k], b[at:at+k]) {
					t.Fatalf("step %d: %q leaves, want %q", step, out[:k], b[at:at+k])
				}
				out, n, left = out[k:], n-k, head.run
				if head.left -= k; head.left == 0 {
					if want[head.tick] <= Closed {
						want[head.tick] = Sent
					}
					model = model[1:]
				}
			}
		}
		waits, held := 0, 0
		for _, w := range model {
			waits += w.left
		}
		for _, seg := range o.segs {
			if seg.whole != nil {
				held += len(seg.whole.b)
			}
		}
		if o.bytes != waits {
			t.Fatalf("step %d: %d bytes wait, want %d", step, o.bytes, waits)
		}
		if n := int(g.Stats.WriteQueued.Load()); n != held {
			t.Fatalf("step %d: %d bytes are counted, %d held", step, n, held)
		}
	}
	o.discard(g)
	for _, gone := range model {
		if want[gone.tick] <= Closed {
			want[gone.tick] = Closed
		}
	}
	for _, one := range ticks {
		var all [Closed + 1]int32
		if f := want[one]; f <= Closed {
			all[f] = 1
		}
		if got := one.counts(); got != all {
			t.Fatalf("number %d was told %v, want %v", one.n, got, all)
		}
	}
	if n := g.Stats.WriteQueued.Load(); n != 0 || o.bytes != 0 || o.frames != 0 || o.alone != 0 {
		t.Errorf("at the end %d are counted, %+v", n, o)
	}
}

func one[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }
