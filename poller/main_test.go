//go:build linux

package poller

import (
	"fmt"
	"maps"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailru/easygo/netpoll"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// patience is how long a test waits for what must happen before it fails. No
// test waits for it to pass.
const patience = 20 * time.Second

// TestMain fails the run when a goroutine or a descriptor is left over.
func TestMain(m *testing.M) {
	// Go's own poller opens its descriptors with the first use and keeps them.
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = l.Close()
	}
	before := descriptors()
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "goroutines left over:", err)
		code = 1
	}
	if after := descriptors(); code == 0 && !maps.Equal(before, after) {
		fmt.Fprintf(os.Stderr, "descriptors left over: %v before, %v after\n", before, after)
		code = 1
	}
	os.Exit(code)
}

// descriptors counts what is open, by kind.
func descriptors() map[string]int {
	kinds := map[string]int{}
	for fd := range open() {
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			continue
		}
		kind, _, _ := strings.Cut(target, ":[")
		kinds[kind]++
		if kind == "anon_inode" {
			kinds[target]++
		}
	}
	return kinds
}

// open is the set of open descriptors.
func open() map[int]bool {
	fds := map[int]bool{}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		var fd int
		if _, err := fmt.Sscan(e.Name(), &fd); err != nil {
			continue
		}
		// The descriptor that the directory was read with is closed by now.
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			fds[fd] = true
		}
	}
	return fds
}

func await[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	var zero T
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %v in vain: %s", patience, what)
		return zero
	}
}

// eventually looks until cond holds: for facts that nobody announces.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// start returns a poller that lives as long as the test.
func start(t testing.TB, c Config) *Poller {
	t.Helper()
	if c.OnError == nil {
		c.OnError = func(err error) { t.Errorf("reactor ended: %v", err) }
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close poller: %v", err)
		}
	})
	return p
}

// sequential is a configuration in which every handler runs on one worker, in
// the order of the queue.
var sequential = Config{Reactors: 1, Workers: 1, Help: -1, Buffer: 4096}

// link is a registration with its owner: what a connection is to the poller.
type link struct {
	Registration
	peer  int
	tag   byte
	ready func(l *link, w *Worker, ev Events) Next

	mu   sync.Mutex // the owner's write lock
	runs atomic.Int64
	stop atomic.Bool
	done chan struct{} // closed when the descriptor is
}

func (l *link) Ready(w *Worker, ev Events) Next {
	l.runs.Add(1)
	if l.stop.Load() {
		return l.shut()
	}
	return l.ready(l, w, ev)
}

// shut is for handlers that end their link.
func (l *link) shut() Next {
	l.mu.Lock()
	l.Close()
	l.mu.Unlock()
	close(l.done)
	return Closed
}

// end asks for the close and waits for it.
func (l *link) end(t testing.TB) {
	t.Helper()
	l.stop.Store(true)
	l.Call()
	await(t, l.done, "the registration closes after Call")
}

func (l *link) has(bits Events) bool { return Events(l.state.Load())&bits == bits }

// connect registers one end of a socketpair.
func connect(t testing.TB, p *Poller, ready func(*link, *Worker, Events) Next) *link {
	t.Helper()
	own, peer := pair(t)
	return register(t, p, own, peer, ready)
}

func register(t testing.TB, p *Poller, own, peer int, ready func(*link, *Worker, Events) Next) *link {
	t.Helper()
	l := &link{peer: peer, ready: ready, done: make(chan struct{})}
	t.Cleanup(func() { unix.Close(peer) })
	if err := p.Register(&l.Registration, own, l); err != nil {
		unix.Close(own)
		t.Fatal(err)
	}
	t.Cleanup(func() { l.end(t) })
	return l
}

func pair(t testing.TB) (own, peer int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

// loopback is pair over TCP.
func loopback(t testing.TB) (own, peer int) {
	t.Helper()
	lfd, err := socket.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close(lfd)
	peer, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	addr := socket.LocalAddr(lfd)
	if err := unix.Connect(peer, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	own, errno := socket.Accept(lfd)
	if errno != 0 {
		t.Fatal(errno)
	}
	if err := unix.SetNonblock(peer, true); err != nil {
		t.Fatal(err)
	}
	return own, peer
}

// send writes to a peer what certainly fits.
func send(t testing.TB, fd int, b ...byte) {
	t.Helper()
	if n, errno := socket.Send(fd, b); errno != 0 || n != len(b) {
		t.Fatalf("send on %d: %d of %d bytes, %v", fd, n, len(b), errno)
	}
}

// drain reads until the kernel has no more and returns how many bytes it was.
func drain(fd int, buf []byte) (total int, eof bool) {
	for {
		n, errno := socket.Recv(fd, buf)
		if errno != 0 {
			return total, errno != socket.Again
		}
		if n == 0 {
			return total, true
		}
		total += n
	}
}

// ignore is a handler for those who only watch that it runs.
func ignore(l *link, w *Worker, _ Events) Next {
	drain(l.FD(), w.Buffer)
	return Wait
}

// flush waits until p, which is sequential, has dispatched all events that came
// before the call and has run all registrations queued by them: epoll reports
// in order of arrival, and the queue keeps it.
func flush(t testing.TB, p *Poller) {
	t.Helper()
	passed := make(chan struct{}, 1)
	own, peer := pair(t)
	l := &link{peer: peer, done: make(chan struct{})}
	l.ready = func(l *link, _ *Worker, ev Events) Next {
		passed <- struct{}{}
		return l.shut()
	}
	if err := p.Register(&l.Registration, own, l); err != nil {
		t.Fatal(err)
	}
	send(t, peer, 1)
	await(t, passed, "an event passes through reactor and worker")
	await(t, l.done, "the link closes")
	unix.Close(peer)
}

// gate is a descriptor whose callback stops a reactor between two events.
type gate struct {
	peer             int
	entered, proceed chan struct{}
}

func newGate(t testing.TB, re *reactor) *gate {
	t.Helper()
	own, peer := pair(t)
	g := &gate{peer: peer, entered: make(chan struct{}), proceed: make(chan struct{})}
	if err := re.epoll.add(own, func(ev netpoll.EpollEvent) {
		if ev&netpoll.EPOLLIN == 0 {
			return // the edge of a new socket that can be written
		}
		g.entered <- struct{}{}
		<-g.proceed
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = re.epoll.Del(own)
		unix.Close(own)
		unix.Close(peer)
	})
	return g
}

// duplicate returns a second descriptor of the same socket.
func duplicate(t testing.TB, fd int) int {
	t.Helper()
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return dup
}
