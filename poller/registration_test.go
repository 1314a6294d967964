//go:build linux

package poller

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// Every connection pays for a Registration: DESIGN counts on 40 bytes at most.
func TestRegistrationSize(t *testing.T) {
	if size := unsafe.Sizeof(Registration{}); size > 40 {
		t.Errorf("Registration is %d bytes, want 40 at most", size)
	}
}

// The handler has read everything and not returned yet when more bytes come.
func TestEdgeDuringRunIsNotLost(t *testing.T) {
	p := start(t, Config{Reactors: 1, Workers: 1, Help: -1, Buffer: 16})
	entered, proceed := make(chan Events), make(chan struct{})
	l := connect(t, p, func(l *link, w *Worker, ev Events) Next {
		drain(l.FD(), w.Buffer)
		entered <- ev
		<-proceed
		return Wait
	})
	send(t, l.peer, 'a')
	await(t, entered, "the handler runs for the first byte")
	send(t, l.peer, 'b')
	eventually(t, "the second edge is marked", func() bool { return l.has(Readable) })
	if queued := p.Stats().Queued; queued != 0 {
		t.Errorf("%d registrations in the queue while the only one runs", queued)
	}
	proceed <- struct{}{}
	if ev := await(t, entered, "the handler runs for the second byte"); ev != Readable {
		t.Errorf("events of the second run: %b, want Readable", ev)
	}
	proceed <- struct{}{}
	eventually(t, "the registration comes to rest", func() bool { return !l.has(scheduled) })
	if runs := l.runs.Load(); runs != 2 {
		t.Errorf("the handler ran %d times for two edges", runs)
	}
}

func TestCallsDoNotOverlapAndNothingIsLost(t *testing.T) {
	const writers, each = 8, 2000
	for name, c := range map[string]Config{
		"helping":  {Reactors: 2, Workers: 4, Help: 1, Buffer: 64},
		"blocking": {Reactors: 2, Workers: 4, Blocking: true, Buffer: 64},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, c)
			var inside atomic.Int32
			var got int // plain: the race detector sees whether runs are ordered
			all := make(chan struct{})
			ready := func(l *link, w *Worker, _ Events) Next {
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d calls at once", n)
				}
				n, _ := drain(l.FD(), w.Buffer)
				if got += n; n > 0 && got == writers*each {
					close(all)
				}
				inside.Add(-1)
				return Wait
			}
			l := connect(t, p, ready)
			// Others keep the queue long enough for the reactors to help.
			others := make([]*link, 8)
			for i := range others {
				others[i] = connect(t, p, ignore)
			}
			var wg sync.WaitGroup
			for i := range writers {
				wg.Go(func() {
					for range each {
						for {
							_, errno := socket.Send(l.peer, []byte{'x'})
							if errno == 0 {
								break
							}
							if errno != socket.Again {
								t.Errorf("send: %v", errno)
								return
							}
						}
						l.Call()
						others[i].Call()
					}
				})
			}
			wg.Wait()
			await(t, all, "every byte is read")
		})
	}
}

func TestInQueueOnceAtMost(t *testing.T) {
	p := start(t, sequential)
	entered, proceed := make(chan struct{}), make(chan struct{})
	blocker := connect(t, p, func(l *link, _ *Worker, _ Events) Next {
		entered <- struct{}{}
		<-proceed
		return Wait
	})
	events := make(chan Events, 8)
	l := connect(t, p, func(l *link, w *Worker, ev Events) Next {
		drain(l.FD(), w.Buffer)
		events <- ev
		return Wait
	})
	blocker.Call()
	await(t, entered, "the only worker is busy")
	for range 100 {
		l.Call()
		send(t, l.peer, 'x')
	}
	eventually(t, "the edges are marked", func() bool { return l.has(Readable | Called) })
	if queued := p.Stats().Queued; queued != 1 {
		t.Errorf("one registration is in the queue %d times", queued)
	}
	proceed <- struct{}{}
	if ev := await(t, events, "the handler runs"); ev&(Readable|Called) != Readable|Called {
		t.Errorf("events: %b, want Readable and Called in one run", ev)
	}
}

func TestCallRunsHandler(t *testing.T) {
	p := start(t, sequential)
	events := make(chan Events, 1)
	l := connect(t, p, func(_ *link, _ *Worker, ev Events) Next {
		events <- ev
		return Wait
	})
	for range 3 {
		l.Call()
		if ev := await(t, events, "the handler runs after Call"); ev != Called {
			t.Errorf("events: %b, want Called", ev)
		}
	}
}

func TestHangupIsReported(t *testing.T) {
	p := start(t, sequential)
	events := make(chan Events, 4)
	l := connect(t, p, func(l *link, w *Worker, ev Events) Next {
		drain(l.FD(), w.Buffer)
		events <- ev
		return Wait
	})
	if err := socket.ShutdownWrite(l.peer); err != nil {
		t.Fatal(err)
	}
	if ev := await(t, events, "the handler runs after the peer's FIN"); ev&Hangup == 0 {
		t.Errorf("events: %b, want Hangup", ev)
	}
}

// After Close neither Call nor WantWrite nor a callback that the reactor had
// fetched before has any effect.
func TestClosedRegistrationStaysQuiet(t *testing.T) {
	p := start(t, sequential)
	l := connect(t, p, ignore)
	callback := l.dispatch
	l.end(t)
	runs := l.runs.Load()
	if fd := l.FD(); fd != -1 {
		t.Errorf("FD after Close: %d, want -1", fd)
	}
	l.Call()
	l.WantWrite()
	callback(interest)
	flush(t, p)
	if after := l.runs.Load(); after != runs {
		t.Errorf("the handler ran %d times after Close", after-runs)
	}
	if _, eof := drain(l.peer, make([]byte, 1)); !eof {
		t.Error("the peer sees no end of the stream after Close")
	}
}

// The descriptor outlives a registration that detaches it.
func TestDetachGivesDescriptorAway(t *testing.T) {
	p := start(t, sequential)
	detached := make(chan int, 2)
	own, peer := pair(t)
	defer unix.Close(peer)
	l := &link{}
	l.ready = func(l *link, _ *Worker, _ Events) Next {
		detached <- l.Detach()
		detached <- l.Detach()
		return Closed
	}
	if err := p.Register(&l.Registration, own, l); err != nil {
		t.Fatal(err)
	}
	l.Call()
	if fd := await(t, detached, "the handler detaches"); fd != own {
		t.Errorf("Detach returned %d, want %d", fd, own)
	}
	if fd := await(t, detached, "the handler detaches again"); fd != -1 {
		t.Errorf("second Detach returned %d, want -1", fd)
	}
	send(t, peer, 'x')
	flush(t, p)
	if runs := l.runs.Load(); runs != 1 {
		t.Errorf("the handler ran %d times, want once", runs)
	}
	if n, _ := drain(own, make([]byte, 4)); n != 1 {
		t.Errorf("read %d bytes from the detached descriptor, want 1", n)
	}
	// It may be registered once more.
	again := register(t, p, own, peer, ignore)
	send(t, peer, 'y')
	flush(t, p)
	if again.runs.Load() == 0 {
		t.Error("no event after the detached descriptor was registered again")
	}
}

// One that always answers Again takes turns with the others.
func TestAgainQueuesBehindOthers(t *testing.T) {
	p := start(t, sequential)
	entered, proceed := make(chan struct{}), make(chan struct{})
	blocker := connect(t, p, func(*link, *Worker, Events) Next {
		entered <- struct{}{}
		<-proceed
		return Wait
	})
	blocker.Call()
	await(t, entered, "the only worker is busy")

	var order []byte // written by the only worker
	finished := make(chan struct{})
	greedy := connect(t, p, func(l *link, _ *Worker, ev Events) Next {
		if ev&Called == 0 {
			t.Errorf("run after Again with events %b, want Called among them", ev)
		}
		if order = append(order, 'A'); len(order) == 9 {
			close(finished)
			return Wait
		}
		return Again
	})
	greedy.Call()
	for i := range 3 {
		left := 2
		connect(t, p, func(*link, *Worker, Events) Next {
			order = append(order, byte('b'+i))
			if left--; left == 0 {
				return Wait
			}
			return Again
		}).Call()
	}
	proceed <- struct{}{}
	await(t, finished, "the greedy one is finished")
	if want := "AbcdAbcdA"; !slices.Equal(order, []byte(want)) {
		t.Errorf("order of runs %q, want %q", order, want)
	}
}

// One that answers Again for ever starves nobody, reactors that help included.
func TestAgainForEverStarvesNobody(t *testing.T) {
	for name, c := range map[string]Config{
		"default":  {Reactors: 1, Workers: 1, Buffer: 64},
		"helping":  {Reactors: 1, Workers: 2, Help: 1, Buffer: 64},
		"blocking": {Reactors: 1, Workers: 2, Blocking: true, Buffer: 64},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, c)
			for range 4 {
				connect(t, p, func(*link, *Worker, Events) Next { return Again }).Call()
			}
			l := connect(t, p, func(l *link, w *Worker, _ Events) Next {
				for {
					n, errno := socket.Recv(l.FD(), w.Buffer)
					if errno != 0 || n == 0 {
						return Wait
					}
					_, _ = socket.Send(l.FD(), w.Buffer[:n])
				}
			})
			buf := make([]byte, 4)
			for i := range 200 {
				send(t, l.peer, byte(i))
				eventually(t, "the echo comes back past greedy registrations", func() bool {
					n, errno := socket.Recv(l.peer, buf)
					return errno == 0 && n == 1 && buf[0] == byte(i)
				})
			}
		})
	}
}
