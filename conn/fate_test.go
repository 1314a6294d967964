//go:build linux

package conn

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"roost/conn/frame"
)

// TestFates sends all sorts of things to connections that read a little now and then
// and end in all sorts of ways. Each tick has one fate at the end; what was sent has
// come, in order, and nothing else has.
func TestFates(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 9))
	ends := []func(*Conn){
		func(*Conn) {}, // it reads everything
		func(c *Conn) { c.Abort(ReasonShutdown) },
		func(c *Conn) { c.Shutdown() },
		func(c *Conn) { c.Shed(ReasonWriteQueueTotal) },
		func(c *Conn) { c.Shed(ReasonReadBufferTotal) },
	}
	for _, policy := range []SlowConsumer{Disconnect, Drop, Conflate} {
		g, p, gone := crew(t, Config{SlowConsumer: policy, WriteQueueFrames: 40})
		for round := range 40 {
			c, fd, peer := connected(t, g, p)
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10); err != nil {
				t.Fatal(err)
			}
			w := wire{peer: peer}
			var ticks []*tick
			taken := map[*tick]bool{}
			for range rnd.IntN(200) {
				switch rnd.IntN(8) {
				case 0:
					w.read(t, 1+rnd.IntN(5000))
				case 1:
					_ = c.Write(frame.Binary, make([]byte, rnd.IntN(300)))
				case 2:
					_ = c.Send(frame.Prepare(frame.Binary, make([]byte, rnd.IntN(300))))
				default:
					var some []*tick
					for range 1 + rnd.IntN(9)*rnd.IntN(2) {
						some = append(some, newTick(len(ticks), one(rnd, "", "a", "b", "c"), one(rnd, 0, 40, 900, 9000)))
						ticks = append(ticks, some[len(some)-1])
					}
					s := joined(some)
					if len(some) == 1 {
						s = some[0].alone()
					}
					if c.SendShared(s) == nil {
						for _, one := range some {
							taken[one] = true
						}
					}
				}
			}
			how := rnd.IntN(len(ends))
			ends[how](c)
			until(t, func() bool { w.read(t, -1); return w.eof || how == 0 && c.Backlog().Bytes == 0 })
			if !w.eof {
				c.Abort(ReasonShutdown)
				until(t, func() bool { w.read(t, -1); return w.eof })
			}
			_ = unix.Shutdown(peer, unix.SHUT_RDWR)
			<-gone
			last, came := -1, map[int]bool{}
			for _, n := range w.got {
				if n >= 0 {
					if came[n] = true; n <= last {
						t.Fatalf("policy %d, round %d: number %d comes behind %d", policy, round, n, last)
					}
					last = n
				}
			}
			for _, one := range ticks {
				n := one.counts()
				want := int32(0)
				if taken[one] {
					want = 1
				}
				// Of what is joined the beginning may come, and the fate is that of the end.
				torn := policy != Conflate && n[Closed] == 1
				if n[Sent]+n[Dropped]+n[Closed] != want || came[one.n] != (n[Sent] == 1) && !(came[one.n] && torn) {
					t.Fatalf("policy %d, round %d, end %d: number %d was taken %v, came %v, and was told %v", policy, round, how, one.n, taken[one], came[one.n], n)
				}
				if how == 0 && n[Closed] > 0 && c.why != ReasonSlowConsumer {
					t.Fatalf("policy %d, round %d: number %d is told of an end", policy, round, one.n)
				}
			}
			if n := g.Stats.WriteQueued.Load(); n != 0 {
				t.Fatalf("policy %d, round %d, end %d: %d bytes are left", policy, round, how, n)
			}
		}
		if n := g.Stats.Conflated.Load(); n > 0 != (policy == Conflate) {
			t.Errorf("policy %d: %d were conflated", policy, n)
		}
	}
}

// holding is a watcher that looks whether the Shared is still held.
type holding struct {
	verdict
	s    *Shared
	free atomic.Bool // it was not, when Told
}

func (h *holding) Told(f Fate) {
	h.free.Store(!h.s.Held())
	h.verdict.Told(f)
}

// TestWatcherIsToldOfItsUseOnly has a Shared used anew as soon as nobody holds it, as
// the hub does, while the queue is emptied by a worker.
func TestWatcherIsToldOfItsUseOnly(t *testing.T) {
	g, p, gone := crew(t, Config{})
	c, fd, peer := connected(t, g, p)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<10); err != nil {
		t.Fatal(err)
	}
	w := wire{peer: peer}
	s, pad := new(Shared), make([]byte, 100<<10)
	held := 0
	for range 100 {
		watched := holding{s: s}
		s.Set(frame.Prepare(frame.Binary, pad).Bytes(), 1)
		s.Watch(&watched)
		if err := c.SendShared(s); err != nil {
			t.Fatal(err)
		}
		waits := s.Held()
		if waits {
			held++
		}
		until(t, func() bool { w.read(t, -1); return !s.Held() })
		if waits && watched.free.Load() {
			t.Fatal("it may be used anew before its watcher has been told")
		}
		if n := watched.counts(); n != [...]int32{Sent: 1, Closed: 0} {
			t.Fatalf("nobody holds it, and its watcher was told %v", n)
		}
		s.Set(frame.Prepare(frame.Binary, pad[:10]).Bytes(), 1)
		if err := c.SendShared(s); err != nil {
			t.Fatal(err)
		}
		until(t, func() bool { w.read(t, -1); return !s.Held() })
		if n := watched.counts(); n != [...]int32{Sent: 1, Closed: 0} {
			t.Fatalf("told of the next use: %v", n)
		}
	}
	if held == 0 {
		t.Error("the socket has never been full")
	}
	c.Abort(ReasonShutdown)
	<-gone
}

// quoting answers a message with ticks that are collected in the worker's cork.
type quoting struct {
	nobody
	ticks []*tick
}

func (q *quoting) OnMessage(c *Conn, _ frame.Opcode, _ []byte) {
	for _, one := range q.ticks {
		_ = c.SendShared(one.alone())
	}
}

// TestFatesInACork: a worker has taken the frames before the kernel is asked.
func TestFatesInACork(t *testing.T) {
	for _, full := range []bool{false, true} {
		q := &quoting{ticks: []*tick{newTick(0, "a", 9), newTick(1, "", 9), newTick(2, "a", 9), newTick(3, "b", 9)}}
		g, p, gone := crew(t, Config{SlowConsumer: Conflate, Handler: q})
		c, fd, peer := connected(t, g, p)
		w := wire{peer: peer}
		for stuffed := false; full && !stuffed; { // frames without content
			_, err := unix.Write(fd, []byte{0x82, 0})
			stuffed = err == unix.EAGAIN
		}
		say(t, peer, "?")
		if full {
			until(t, func() bool { return c.Backlog().Frames == 3 && c.WriteQueued() > 0 })
			if err := c.SendShared(newTick(4, "b", 9).alone()); err != nil {
				t.Fatal(err)
			}
		}
		var got []int
		until(t, func() bool {
			w.read(t, -1)
			got = nil
			for _, n := range w.got {
				if n >= 0 {
					got = append(got, n)
				}
			}
			return len(got) == 3
		})
		want, fates := []int{1, 2, 3}, []Fate{Dropped, Sent, Sent, Sent}
		if full {
			want[2], fates[3] = 4, Dropped
		}
		if !slices.Equal(got, want) {
			t.Errorf("full %v: got %v, want %v", full, got, want)
		}
		for i, one := range q.ticks {
			var all [Closed + 1]int32
			all[fates[i]] = 1
			until(t, func() bool { return one.counts() != [Closed + 1]int32{} })
			if n := one.counts(); n != all {
				t.Errorf("full %v: number %d was told %v, want %v", full, i, n, all)
			}
		}
		until(t, func() bool { return g.Stats.WriteQueued.Load() == 0 })
		c.Abort(ReasonShutdown)
		<-gone
	}
}

// TestSendSharedAllocatesNothing on the way that nearly all frames take.
func TestSendSharedAllocatesNothing(t *testing.T) {
	for _, policy := range []SlowConsumer{Disconnect, Conflate} {
		g, p, gone := crew(t, Config{SlowConsumer: policy})
		c, _, peer := connected(t, g, p)
		f := frame.Prepare(frame.Binary, make([]byte, 100))
		buf, s, v := make([]byte, 1<<10), new(Shared), new(verdict)
		for how, set := range map[string]func(){
			"plain":   func() {},
			"keyed":   func() { s.SetKey("a") },
			"watched": func() { s.Watch(v) },
			"joined":  func() { s.SetParts(func() []*Shared { t.Error("taken apart"); return nil }) },
		} {
			if n := testing.AllocsPerRun(100, func() {
				s.Set(f.Bytes(), 1)
				set()
				if err := c.SendShared(s); err != nil {
					t.Error(err)
				}
				_, _ = unix.Read(peer, buf)
			}); n > 1 && how == "joined" || n > 0 && how != "joined" { // its closure
				t.Errorf("policy %d, %s: %v allocations", policy, how, n)
			}
		}
		if n := v.counts(); n != [...]int32{Sent: 101, Closed: 0} {
			t.Errorf("told %v", n)
		}
		c.Abort(ReasonShutdown)
		<-gone
	}
}
