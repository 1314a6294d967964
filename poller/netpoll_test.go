//go:build linux

package poller

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// netpoll keeps the callback of an Add that failed; the number would then be
// taken for every later connection.
func TestFailedRegisterLeavesNumberUsable(t *testing.T) {
	p := start(t, sequential)
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	refused := &link{ready: ignore}
	// epoll_ctl(2): EPERM, the file does not support epoll.
	if err := p.Register(&refused.Registration, fd, refused); !errors.Is(err, unix.EPERM) {
		t.Fatalf("register a regular file: %v, want EPERM", err)
	}
	if got := refused.FD(); got != -1 {
		t.Errorf("FD after a failed Register: %d, want -1", got)
	}

	own, peer := pair(t)
	// fd is still ours: put the socket in its place.
	if err := unix.Dup3(own, fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	unix.Close(own)
	l := register(t, p, fd, peer, ignore)
	send(t, peer, 'x')
	flush(t, p)
	if l.runs.Load() == 0 {
		t.Error("no event for the socket that took the number")
	}
	if runs := refused.runs.Load(); runs != 0 {
		t.Errorf("the refused registration ran %d times", runs)
	}
}

// A second registration of one number does not harm the first.
func TestRegisterTwice(t *testing.T) {
	p := start(t, sequential)
	l := connect(t, p, ignore)
	again := &link{ready: ignore}
	if err := p.Register(&again.Registration, l.FD(), again); err == nil {
		t.Fatal("registering a registered descriptor succeeded")
	}
	send(t, l.peer, 'x')
	flush(t, p)
	if l.runs.Load() == 0 {
		t.Error("the first registration lost its events")
	}
}

// netpoll creates its descriptors without close-on-exec.
func TestChildInheritsNoDescriptor(t *testing.T) {
	before := open()
	start(t, Config{Reactors: 3, Workers: 1})
	created := 0
	for fd := range open() {
		if before[fd] {
			continue
		}
		created++
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			target, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
			t.Errorf("descriptor %d (%s) is not close-on-exec", fd, target)
		}
	}
	if created < 6 {
		t.Errorf("%d new descriptors for 3 reactors, want an epoll and an event descriptor each", created)
	}
	out, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
	if err != nil {
		t.Fatalf("ls: %v: %s", err, out)
	}
	if strings.Contains(string(out), "anon_inode") {
		t.Errorf("a child process inherits:\n%s", out)
	}
}

// Any wait error ends netpoll's loop: the program has to learn of it.
func TestWaitErrorIsReported(t *testing.T) {
	before := open()
	failed := make(chan error, 4)
	p := start(t, Config{Reactors: 1, Workers: 1, Help: -1, Buffer: 16, OnError: func(err error) { failed <- err }})
	epfd := -1
	for fd := range open() {
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err == nil && !before[fd] && target == "anon_inode:[eventpoll]" {
			epfd = fd
		}
	}
	if epfd < 0 {
		t.Fatal("no epoll descriptor found")
	}
	l := connect(t, p, ignore)

	// Put something that is no epoll instance in its place. epoll_wait(2) goes on
	// in the instance it was called for, until the next event makes it return.
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Dup3(null, epfd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	unix.Close(null)
	send(t, l.peer, 'x')
	if err := await(t, failed, "OnError is called"); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "epoll_wait") {
		t.Errorf("OnError got %v, want EINVAL from epoll_wait", err)
	}
	// Call needs no reactor, so what is open can still be closed in order.
	l.end(t)
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name string
		in   int
		want Events
	}{
		{"nothing", 0, 0},
		{"in", unix.EPOLLIN, Readable},
		{"out", unix.EPOLLOUT, Writable},
		{"half-closed", unix.EPOLLIN | unix.EPOLLRDHUP, Readable | Hangup},
		{"closed", unix.EPOLLHUP, Hangup},
		{"error", unix.EPOLLERR, Hangup},
		{"netpoll's closed mark", 0x20, 0},
	} {
		if got := Events(events(netpoll.EpollEvent(c.in))); got != c.want {
			t.Errorf("%s: %b, want %b", c.name, got, c.want)
		}
	}
}
