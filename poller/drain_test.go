//go:build linux

package poller

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// busy keeps the only worker and reactor of p until the returned function is called.
func busy(t *testing.T, p *Poller) (release func()) {
	t.Helper()
	entered, proceed := make(chan struct{}), make(chan struct{})
	blocker := connect(t, p, func(*link, *Worker, Events) Next {
		entered <- struct{}{}
		<-proceed
		return Wait
	})
	blocker.Call()
	await(t, entered, "the only worker is busy")
	return func() { proceed <- struct{}{} }
}

// TestDrainAcceptsTheBacklog: whoever has connected is accepted, be it more than one run
// takes and whatever Admit says, and Close resets the same.
func TestDrainAcceptsTheBacklog(t *testing.T) {
	const clients = 2*acceptBudget + 10
	for _, c := range []struct {
		name   string
		listen string
		reuse  bool
		drain  bool
	}{
		{"tcp", "127.0.0.1:0", false, true},
		{"reused port", "127.0.0.1:0", true, true},
		{"unix", "unix:" + filepath.Join(t.TempDir(), "s"), false, true},
		{"closed at once", "127.0.0.1:0", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, sequential)
			var accepted atomic.Int64
			l := listen(t, p, c.listen, ListenerConfig{
				OnAccept: func(fd int) {
					accepted.Add(1)
					if n, errno := socket.Send(fd, []byte("x")); n != 1 {
						t.Errorf("send: %v", errno)
					}
					socket.Close(fd)
				},
				Admit:     func() bool { return false },
				ReusePort: c.reuse,
			})
			release := busy(t, p)
			conns := make([]net.Conn, clients)
			for i := range conns {
				var err error
				if conns[i], err = net.Dial(l.Addr().Network(), l.Addr().String()); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conns[i].Close() })
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if c.drain {
					l.Drain()
				} else {
					l.Close()
				}
			}()
			eventually(t, "the listener is told to stop", l.stopping.Load)
			release()
			await(t, done, "the listener is closed")
			want := 0
			if c.drain {
				want = clients
			}
			if n := int(accepted.Load()); n != want {
				t.Errorf("%d connections accepted, want %d", n, want)
			}
			for _, nc := range conns[:want] {
				_ = nc.SetReadDeadline(time.Now().Add(20 * time.Second))
				if b, err := io.ReadAll(nc); string(b) != "x" || err != nil {
					t.Fatalf("a client got %q, %v", b, err)
				}
			}
		})
	}
}

func TestUnixListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	p := start(t, sequential)
	accepted := make(chan int, 1)
	quiet := ListenerConfig{OnAccept: func(fd int) { accepted <- fd }, OnPause: func(syscall.Errno) {}, OnResume: func() {}, ReusePort: true}
	l, err := p.Listen("unix:"+path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if a := l.Addr(); a.Network() != "unix" || a.String() != path {
		t.Errorf("listening on %s %s", a.Network(), a)
	}
	if _, err := p.Listen("unix:"+path, quiet); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("listening twice: %v, want EADDRINUSE", err)
	}
	socket.Close(await(t, accepted, "the question whether somebody listens"))
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	socket.Close(await(t, accepted, "the connection is accepted"))
	l.Drain()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there after the end: %v", err)
	}
	for _, addr := range []string{"unix:", "unix:@x"} {
		if _, err := p.Listen(addr, quiet); err == nil {
			t.Errorf("listening on %q succeeded", addr)
		}
	}
	closed := start(t, sequential)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := closed.Listen("unix:"+path, quiet); !errors.Is(err, ErrClosed) {
		t.Errorf("listening after Close: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a listener that failed leaves its file: %v", err)
	}
}

// TestListenOn takes over a socket and leaves its file.
func TestListenOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	theirs, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	theirs.SetUnlinkOnClose(false)
	f, err := theirs.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := socket.Inherit(f)
	if err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	p := start(t, sequential)
	accepted := make(chan int, 1)
	l, err := p.ListenOn(fd, ListenerConfig{OnAccept: func(fd int) { accepted <- fd }, OnPause: func(syscall.Errno) {}, OnResume: func() {}, ReusePort: true})
	if err != nil {
		t.Fatal(err)
	}
	dialed, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	socket.Close(await(t, accepted, "the connection is accepted"))
	l.Drain()
	// f holds the socket: what connects now is the next one's.
	late, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the socket has not survived: %v", err)
	}
	_ = late.Close()
}
