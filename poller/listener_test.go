//go:build linux

package poller

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// listen returns a listener that lives as long as the test. Callbacks that c
// lacks fail it.
func listen(t *testing.T, p *Poller, addr string, c ListenerConfig) *Listener {
	t.Helper()
	if c.OnPause == nil {
		c.OnPause = func(errno syscall.Errno) { t.Errorf("accepting paused: %v", errno) }
	}
	if c.OnResume == nil {
		c.OnResume = func() { t.Error("OnResume without OnPause") }
	}
	l, err := p.Listen(addr, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func portOf(l *Listener) int { return l.Addr().(*net.TCPAddr).Port }

func needIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 loopback on this machine: %v", err)
	}
	l.Close()
}

func TestListenerAccepts(t *testing.T) {
	for _, c := range []struct {
		name, addr string
		dial       []string
	}{
		{"IPv4", "127.0.0.1:0", []string{"127.0.0.1"}},
		{"IPv6", "[::1]:0", []string{"::1"}},
		{"both", ":0", []string{"127.0.0.1", "::1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name != "IPv4" {
				needIPv6(t)
			}
			p := start(t, sequential)
			accepted := make(chan int, 1)
			l := listen(t, p, c.addr, ListenerConfig{OnAccept: func(fd int) { accepted <- fd }})
			port := portOf(l)
			if port == 0 {
				t.Fatal("Addr has port 0, not the one the kernel chose")
			}
			for _, host := range c.dial {
				client := dial(t, net.JoinHostPort(host, strconv.Itoa(port)))
				fd := await(t, accepted, "the connection is accepted")
				want := netip.MustParseAddrPort(client.LocalAddr().String())
				if got := socket.PeerAddr(fd); got != want {
					t.Errorf("accepted a connection of %v, want %v", got, want)
				}
				flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
				if err != nil || flags&unix.O_NONBLOCK == 0 {
					t.Errorf("accepted descriptor: flags %#x, %v; want O_NONBLOCK", flags, err)
				}
				flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
				if err != nil || flags&unix.FD_CLOEXEC == 0 {
					t.Errorf("accepted descriptor: descriptor flags %#x, %v; want FD_CLOEXEC", flags, err)
				}
				socket.Close(fd)
			}
		})
	}
}

// One edge may stand for a whole backlog, longer than one run accepts.
func TestListenerAcceptsWholeBacklog(t *testing.T) {
	const clients = 2*acceptBudget + 10
	p := start(t, sequential)
	entered, proceed := make(chan struct{}), make(chan struct{})
	blocker := connect(t, p, func(*link, *Worker, Events) Next {
		entered <- struct{}{}
		<-proceed
		return Wait
	})
	var accepted atomic.Int64
	l := listen(t, p, "127.0.0.1:0", ListenerConfig{OnAccept: func(fd int) {
		accepted.Add(1)
		socket.Close(fd)
	}})
	blocker.Call()
	await(t, entered, "the only worker is busy")
	for range clients {
		dial(t, l.Addr().String())
	}
	if n := accepted.Load(); n != 0 {
		t.Fatalf("%d connections accepted without a worker", n)
	}
	proceed <- struct{}{}
	eventually(t, "all are accepted", func() bool { return accepted.Load() == clients })
}

func TestListenerWaitsForAdmission(t *testing.T) {
	p := start(t, sequential)
	var admit atomic.Bool
	var asked atomic.Int64
	accepted := make(chan int, 4)
	l := listen(t, p, "127.0.0.1:0", ListenerConfig{
		OnAccept: func(fd int) { accepted <- fd },
		Admit: func() bool {
			asked.Add(1)
			return admit.Load()
		},
	})
	dial(t, l.Addr().String())
	eventually(t, "the listener pauses", l.paused.Load)
	flush(t, p)
	before := asked.Load()
	for range 3 {
		dial(t, l.Addr().String())
		flush(t, p)
	}
	if n := asked.Load(); n != before {
		t.Errorf("a paused listener tried %d times", n-before)
	}
	l.Resume() // still not admitted
	flush(t, p)
	if !l.paused.Load() || len(accepted) != 0 {
		t.Fatalf("paused: %v, accepted: %d; want a pause as long as Admit says no", l.paused.Load(), len(accepted))
	}
	admit.Store(true)
	l.Resume()
	for range 4 {
		socket.Close(await(t, accepted, "all that waited are accepted"))
	}
}

// A place comes free, and Resume is called, after Admit has said no and before
// the listener pauses.
func TestResumeDuringRefusalIsNotLost(t *testing.T) {
	p := start(t, sequential)
	accepted := make(chan int, 1)
	var l *Listener
	ready := make(chan struct{})
	first := true
	l = listen(t, p, "127.0.0.1:0", ListenerConfig{
		OnAccept: func(fd int) { accepted <- fd },
		Admit: func() bool {
			<-ready // until l is assigned
			if first {
				first = false
				l.Resume()
				return false
			}
			return true
		},
	})
	close(ready)
	dial(t, l.Addr().String())
	socket.Close(await(t, accepted, "the connection is accepted after Resume"))
}

// Accepting pauses once for want of descriptors, does not spin, and goes on by itself
// after Resume.
func TestListenerOutOfDescriptors(t *testing.T) {
	const child = "POLLER_TEST_OUT_OF_DESCRIPTORS"
	if os.Getenv(child) == "" {
		// The limit holds for the whole process, so it is lowered in one of its own.
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	p := start(t, sequential)
	var pauses, resumes, tries atomic.Int64
	accepted := make(chan int, 8)
	paused, resumed := make(chan syscall.Errno, 8), make(chan struct{}, 8)
	l := listen(t, p, "127.0.0.1:0", ListenerConfig{
		OnAccept: func(fd int) { accepted <- fd },
		Admit: func() bool {
			tries.Add(1)
			return true
		},
		OnPause: func(errno syscall.Errno) {
			pauses.Add(1)
			paused <- errno
		},
		OnResume: func() {
			resumes.Add(1)
			resumed <- struct{}{}
		},
	})
	// All that this test needs is opened before the descriptors run out.
	barrier, passed := link{}, make(chan struct{}, 8)
	own, peer := pair(t)
	barrier.done = make(chan struct{})
	barrier.ready = func(l *link, w *Worker, _ Events) Next {
		if n, _ := drain(l.FD(), w.Buffer); n > 0 {
			passed <- struct{}{}
		}
		return Wait
	}
	if err := p.Register(&barrier.Registration, own, &barrier); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(peer)
	defer barrier.end(t)
	sa := &unix.SockaddrInet4{Port: portOf(l), Addr: [4]byte{127, 0, 0, 1}}
	clients := make([]int, 5)
	for i := range clients {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		clients[i] = fd
	}
	connect := func(fd int) {
		if err := unix.Connect(fd, sa); err != nil {
			t.Fatal(err)
		}
		send(t, peer, 1)
		await(t, passed, "what came before has been handled")
	}
	limit := unix.Rlimit{Cur: 64, Max: 64}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var hoard []int
	for {
		fd, err := unix.FcntlInt(uintptr(peer), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		hoard = append(hoard, fd)
	}
	release := func(n int) {
		for _, fd := range hoard[:n] {
			unix.Close(fd)
		}
		hoard = hoard[n:]
	}
	defer func() { release(len(hoard)) }()

	connect(clients[0])
	if errno := await(t, paused, "OnPause is called"); errno != unix.EMFILE {
		t.Errorf("OnPause got %v, want EMFILE", errno)
	}
	// Every further connection is an edge; none may make the listener try.
	before := tries.Load()
	for _, fd := range clients[1:] {
		connect(fd)
	}
	if n := tries.Load(); n != before {
		t.Errorf("a paused listener tried %d times", n-before)
	}
	if state := l.reg.state.Load(); state&uint32(scheduled) != 0 {
		t.Errorf("the paused listener is scheduled (state %b): it spins", state)
	}
	l.Resume() // in vain
	connectionsHandled := func() {
		send(t, peer, 1)
		await(t, passed, "Resume has been handled")
	}
	connectionsHandled()
	if pauses.Load() != 1 || resumes.Load() != 0 || len(accepted) != 0 {
		t.Errorf("after Resume in vain: %d pauses, %d resumes, %d accepted; want 1, 0, 0", pauses.Load(), resumes.Load(), len(accepted))
	}
	// Some descriptors come free, then enough.
	release(2)
	l.Resume()
	connectionsHandled()
	if len(accepted) != 2 || pauses.Load() != 1 || resumes.Load() != 0 {
		t.Errorf("with two descriptors: %d pauses, %d resumes, %d accepted; want 1, 0, 2", pauses.Load(), resumes.Load(), len(accepted))
	}
	release(10)
	l.Resume()
	await(t, resumed, "OnResume is called")
	if len(accepted) != len(clients) || pauses.Load() != 1 || resumes.Load() != 1 {
		t.Errorf("with descriptors: %d pauses, %d resumes, %d accepted; want 1, 1, %d", pauses.Load(), resumes.Load(), len(accepted), len(clients))
	}
	for range len(accepted) {
		socket.Close(<-accepted)
	}
}

func TestListenerCloseFreesPort(t *testing.T) {
	p := start(t, sequential)
	var l *Listener
	for _, paused := range []bool{false, true} {
		addr := "127.0.0.1:0"
		if l != nil {
			addr = l.Addr().String()
		}
		var err error
		l, err = p.Listen(addr, ListenerConfig{
			OnAccept: socket.Close,
			Admit:    func() bool { return !paused },
			OnPause:  func(errno syscall.Errno) { t.Errorf("accepting paused: %v", errno) },
			OnResume: func() {},
		})
		if err != nil {
			t.Fatalf("listen on %s: %v", addr, err)
		}
		if paused {
			dial(t, l.Addr().String())
			eventually(t, "the listener pauses", l.paused.Load)
		}
		if _, err := p.Listen(l.Addr().String(), ListenerConfig{}); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("listening twice on %v: %v, want EADDRINUSE", l.Addr(), err)
		}
		l.Close()
		l.Close()  // does nothing
		l.Resume() // does nothing
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			c.Close()
			t.Error("a client connects after Close")
		}
	}
	if fd, err := socket.Listen(l.Addr().String(), false); err != nil {
		t.Errorf("the port is not free after Close: %v", err)
	} else {
		socket.Close(fd)
	}
}

func TestListenRefusesBadAddress(t *testing.T) {
	p := start(t, sequential)
	for _, addr := range []string{"127.0.0.1", "127.0.0.1:99999", "192.0.2.1:0"} {
		if l, err := p.Listen(addr, ListenerConfig{}); err == nil {
			l.Close()
			t.Errorf("listening on %q succeeded", addr)
		}
	}
}
