//go:build linux

package socket

import (
	"bytes"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSendAndRecv(t *testing.T) {
	a, b := pair(t)
	closing(t, a)
	buf := make([]byte, 8)
	if n, errno := Recv(a, buf); n != 0 || errno != Again {
		t.Errorf("recv with nothing there: %d, %v; want 0, EAGAIN", n, errno)
	}
	if n, errno := Send(b, []byte("hello")); n != 5 || errno != 0 {
		t.Fatalf("send: %d, %v", n, errno)
	}
	if n, errno := Recv(a, buf[:3]); errno != 0 || string(buf[:n]) != "hel" {
		t.Errorf("recv into 3 bytes: %q, %v", buf[:n], errno)
	}
	if n, errno := Recv(a, buf); errno != 0 || string(buf[:n]) != "lo" {
		t.Errorf("recv of the rest: %q, %v", buf[:n], errno)
	}
	if n, errno := Send(b, nil); n != 0 || errno != 0 {
		t.Errorf("send of nothing: %d, %v", n, errno)
	}
	Close(b)
	if n, errno := Recv(a, buf); n != 0 || errno != 0 {
		t.Errorf("recv at the end of the stream: %d, %v; want 0, 0", n, errno)
	}
}

func TestUnread(t *testing.T) {
	a, b := pair(t)
	closing(t, a, b)
	server, client := loopback(t, "127.0.0.1:0")
	closing(t, server, client)
	for _, ends := range [][2]int{{a, b}, {client, server}} {
		if n := Unread(ends[1]); n != 0 {
			t.Errorf("%d bytes of nothing", n)
		}
		if n, errno := Send(ends[0], []byte("hello")); n != 5 || errno != 0 {
			t.Fatal(n, errno)
		}
		if n := Unread(ends[1]); n != 5 {
			t.Errorf("%d bytes, want 5", n)
		}
	}
	if n := Unread(-1); n != 0 {
		t.Errorf("%d bytes on no descriptor", n)
	}
}

// MSG_DONTWAIT holds on a descriptor that blocks, too.
func TestBlockingDescriptorDoesNotBlock(t *testing.T) {
	server, client := loopback(t, "127.0.0.1:0")
	closing(t, server, client)
	if n, errno := Recv(client, make([]byte, 1)); n != 0 || errno != Again {
		t.Errorf("recv: %d, %v; want EAGAIN", n, errno)
	}
	junk := make([]byte, 1<<20)
	sent := 0
	for {
		n, errno := Send(client, junk)
		sent += n
		if errno == Again {
			break
		}
		if errno != 0 {
			t.Fatal(errno)
		}
	}
	if n, errno := Writev(client, [][]byte{junk}); n != 0 || errno != Again {
		t.Errorf("writev to a full socket: %d, %v; want EAGAIN", n, errno)
	}
	if sent == 0 {
		t.Error("nothing was sent before EAGAIN")
	}
}

// A send larger than the room takes a part; the stream stays whole.
func TestSendTakesPart(t *testing.T) {
	server, client := loopback(t, "127.0.0.1:0")
	closing(t, server, client)
	big := make([]byte, 32<<20)
	for i := range big {
		big[i] = byte(i % 251)
	}
	n, errno := Send(server, big)
	if errno != 0 || n == 0 || n == len(big) {
		t.Fatalf("send of %d bytes: %d, %v; want a part", len(big), n, errno)
	}
	got := make([]byte, n)
	for read := 0; read < n; {
		k, err := unix.Read(client, got[read:])
		if err != nil || k == 0 {
			t.Fatalf("read: %d, %v", k, err)
		}
		read += k
	}
	if !bytes.Equal(got, big[:n]) {
		t.Error("the peer read something else than the part that was taken")
	}
}

// Without MSG_NOSIGNAL the process would get SIGPIPE; Go ends a program only for
// descriptors 1 and 2, so the signal is made visible by asking for it.
func TestBrokenPipeRaisesNoSignal(t *testing.T) {
	a, b := pair(t)
	closing(t, a)
	Close(b)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGPIPE, syscall.SIGWINCH)
	defer signal.Stop(signals)
	if n, errno := Send(a, []byte("x")); n != 0 || errno != unix.EPIPE {
		t.Errorf("send: %d, %v; want EPIPE", n, errno)
	}
	if n, errno := Writev(a, [][]byte{{'x'}}); n != 0 || errno != unix.EPIPE {
		t.Errorf("writev: %d, %v; want EPIPE", n, errno)
	}
	// os/signal reports pending signals by number: a SIGPIPE would come before this.
	if err := unix.Kill(unix.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	if got := <-signals; got != syscall.SIGWINCH {
		t.Errorf("got signal %v", got)
	}
}

func TestErrorsOfClosedDescriptor(t *testing.T) {
	a, b := pair(t)
	Close(a)
	Close(b)
	if _, errno := Recv(a, make([]byte, 1)); errno != unix.EBADF {
		t.Errorf("recv: %v, want EBADF", errno)
	}
	if _, errno := Send(a, make([]byte, 1)); errno != unix.EBADF {
		t.Errorf("send: %v, want EBADF", errno)
	}
	if fd, errno := Accept(a); fd != -1 || errno != unix.EBADF {
		t.Errorf("accept: %d, %v; want -1, EBADF", fd, errno)
	}
}

func TestShutdownWrite(t *testing.T) {
	server, client := loopback(t, "127.0.0.1:0")
	closing(t, server, client)
	if _, errno := Send(server, []byte("bye")); errno != 0 {
		t.Fatal(errno)
	}
	if err := ShutdownWrite(server); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if n, err := unix.Read(client, buf); err != nil || string(buf[:n]) != "bye" {
		t.Errorf("the peer read %q, %v", buf[:n], err)
	}
	if n, err := unix.Read(client, buf); err != nil || n != 0 {
		t.Errorf("the peer read %d bytes, %v after FIN", n, err)
	}
	if _, err := unix.Write(client, []byte("answer")); err != nil {
		t.Fatal(err)
	}
	// On loopback the bytes are there when write returns.
	if n, errno := Recv(server, buf); errno != 0 || string(buf[:n]) != "answer" {
		t.Errorf("recv after ShutdownWrite: %q, %v", buf[:n], errno)
	}
	if _, errno := Send(server, []byte("x")); errno != unix.EPIPE {
		t.Errorf("send after ShutdownWrite: %v, want EPIPE", errno)
	}
}

func TestPassingAcceptErrors(t *testing.T) {
	for _, errno := range []syscall.Errno{unix.ECONNABORTED, unix.EPROTO, unix.ENETUNREACH} {
		if !PassingAcceptError(errno) {
			t.Errorf("%v speaks of one connection, want passing", errno)
		}
	}
	for _, errno := range []syscall.Errno{Again, unix.EBADF, unix.EINVAL, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if PassingAcceptError(errno) {
			t.Errorf("%v: want not passing", errno)
		}
	}
}

func TestSetNoDelay(t *testing.T) {
	server, client := loopback(t, "127.0.0.1:0")
	closing(t, server, client)
	if err := SetNoDelay(server); err != nil {
		t.Fatal(err)
	}
	if on, err := unix.GetsockoptInt(server, unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || on != 1 {
		t.Errorf("TCP_NODELAY is %d, %v", on, err)
	}
	a, b := pair(t)
	closing(t, a, b)
	if err := SetNoDelay(a); err == nil {
		t.Error("a unix socket took TCP_NODELAY")
	}
}
