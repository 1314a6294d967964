//go:build linux

package poller

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// The reactor fetches the callbacks of a whole batch of events before it runs
// the first. Here a registration closes, and its number goes to another one on
// the same reactor, between the two.
func TestCallbackFetchedBeforeCloseDoesNothing(t *testing.T) {
	p := start(t, sequential)
	g := newGate(t, p.reactors[0])
	old := connect(t, p, ignore)
	fd := old.FD()
	flush(t, p)

	send(t, g.peer, 1)
	await(t, g.entered, "the reactor stops in its first batch")
	send(t, g.peer, 2) // these two make the second
	send(t, old.peer, 'x')
	g.proceed <- struct{}{}
	await(t, g.entered, "the reactor stops in its second batch")
	old.end(t)
	before := old.runs.Load()

	own, peer := pair(t)
	if own != fd {
		if err := unix.Dup3(own, fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		unix.Close(own)
	}
	heir := register(t, p, fd, peer, ignore)
	g.proceed <- struct{}{}
	flush(t, p)
	if after := old.runs.Load(); after != before {
		t.Errorf("the handler of the closed registration ran %d times", after-before)
	}
	if runs := heir.runs.Load(); runs != 0 {
		t.Errorf("the next owner of the number ran %d times; nothing has happened to it", runs)
	}
	send(t, heir.peer, 'y')
	flush(t, p)
	if heir.runs.Load() == 0 {
		t.Error("the next owner of the number sees no events")
	}
}

// When the callback is fetched after the number has changed hands, the new owner
// is told of the old one's hang-up. An event is a hint: it reads EAGAIN and lives.
func TestEventOfPreviousOwnerIsOnlyAHint(t *testing.T) {
	p := start(t, sequential)
	found := make(chan error, 1)
	l := connect(t, p, func(l *link, w *Worker, ev Events) Next {
		_, errno := socket.Recv(l.FD(), w.Buffer)
		if ev&Hangup == 0 {
			t.Errorf("events: %b, want Hangup", ev)
		}
		found <- errno
		return Wait
	})
	l.mark(events(interest | unix.EPOLLHUP | unix.EPOLLERR)) // as dispatch does, which is the reactor's alone
	if err := await(t, found, "the handler runs"); err != socket.Again {
		t.Errorf("recv: %v, want EAGAIN", err)
	}
}

// Connections open and close under load while others write to whatever is open.
// Every byte carries its connection's tag, so one that reaches the wrong socket
// shows up, in either direction.
func TestDescriptorReuseUnderLoad(t *testing.T) {
	const slots, senders, enough = 6, 2, 64 // enough bytes end a connection
	rounds := 400
	if testing.Short() {
		rounds = 40
	}
	p := start(t, Config{Reactors: 2, Workers: 3, Help: 1, Buffer: 256})
	var table [slots]atomic.Pointer[link]
	var tags atomic.Uint32
	var numbers sync.Map // descriptor -> how often it was used
	var reused atomic.Int64

	open := func(tag byte) (l *link, peer int) {
		own, peer := pair(t)
		if _, was := numbers.Swap(own, true); was {
			reused.Add(1)
		}
		l = &link{peer: peer, tag: tag, done: make(chan struct{})}
		got := 0
		l.ready = func(l *link, w *Worker, _ Events) Next {
			for {
				n, errno := socket.Recv(l.FD(), w.Buffer)
				if errno == socket.Again {
					return Wait
				}
				if errno != 0 || n == 0 {
					t.Errorf("connection %d: recv: %d bytes, %v; its peer is open", tag, n, errno)
					return l.shut()
				}
				for _, b := range w.Buffer[:n] {
					if b != tag {
						t.Errorf("connection %d read a byte of connection %d", tag, b)
						return l.shut()
					}
				}
				if got += n; got >= enough {
					return l.shut()
				}
			}
		}
		if err := p.Register(&l.Registration, own, l); err != nil {
			t.Error(err)
			unix.Close(own)
			unix.Close(peer)
			return nil, -1
		}
		return l, peer
	}

	stop := make(chan struct{})
	var broadcasters, clients sync.WaitGroup
	for range senders {
		broadcasters.Go(func() {
			for ; ; runtime.Gosched() {
				for i := range table {
					select {
					case <-stop:
						return
					default:
					}
					l := table[i].Load()
					if l == nil {
						continue
					}
					l.mu.Lock()
					if fd := l.FD(); fd >= 0 {
						tag := l.tag
						l.BeforeWrite()
						if _, errno := socket.Send(fd, []byte{tag, tag, tag}); errno == socket.Again {
							l.WantWrite()
						}
					}
					l.mu.Unlock()
					l.Call()
				}
			}
		})
	}
	for i := range slots {
		clients.Go(func() {
			buf := make([]byte, 512)
			for range rounds {
				tag := byte(tags.Add(1))
				l, peer := open(tag)
				if l == nil {
					return
				}
				table[i].Store(l)
				for sent, eof := 0, false; !eof; runtime.Gosched() {
					if sent < enough {
						if n, errno := socket.Send(peer, []byte{tag, tag, tag, tag}); errno == 0 {
							sent += n
						}
					}
					n, errno := socket.Recv(peer, buf)
					eof = n == 0 && errno != socket.Again
					for _, b := range buf[:n] {
						if b != tag {
							t.Errorf("the peer of connection %d got a byte of connection %d", tag, b)
						}
					}
				}
				<-l.done
				unix.Close(peer)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		clients.Wait()
		close(stop)
		broadcasters.Wait()
		close(done)
	}()
	await(t, done, "all connections come and go")
	if reused.Load() == 0 {
		t.Error("no descriptor number was used twice: this tested nothing")
	}
}
