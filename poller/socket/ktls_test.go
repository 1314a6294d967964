//go:build linux

package socket

import (
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// needKernelTLS skips a test where the kernel has no TLS. scripts/ktls.sh runs them where
// it has, and says so.
func needKernelTLS(t *testing.T) {
	t.Helper()
	known, err := KernelTLS()
	if slices.Equal(known, TLSSuites) {
		return
	}
	if os.Getenv("ROOST_REQUIRE_KTLS") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

func TestKernelTLSSaysWhyNot(t *testing.T) {
	known, err := KernelTLS()
	if (err == nil) != slices.Equal(known, TLSSuites) {
		t.Errorf("%#x are known, and the error is: %v", known, err)
	}
}

// sealed is a pair of TCP sockets with TLS.
func sealed(t *testing.T, suite uint16) (a, b int) {
	t.Helper()
	a, b = loopback(t, "127.0.0.1:0")
	closing(t, a, b)
	key := &TLSKey{Suite: suite, Key: make([]byte, 32), IV: make([]byte, 12)}
	if suite == TLSSuites[0] {
		key.Key = key.Key[:16]
	}
	_, _ = rand.Read(key.Key)
	for _, fd := range []int{a, b} {
		if _, err := StartTLS(fd, key, key); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// await waits for something to read.
func await(t *testing.T, fd int) {
	t.Helper()
	ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(ready, 10_000); n != 1 {
		t.Fatal("nothing to read:", err)
	}
}

func TestKernelTLSRecords(t *testing.T) {
	needKernelTLS(t)
	for _, suite := range TLSSuites {
		a, b := sealed(t, suite)
		buf := make([]byte, 100)
		if _, errno := Recv(b, buf); errno != Again {
			t.Fatal("an empty socket:", errno)
		}
		if n, errno := Writev(a, [][]byte{[]byte("one, "), []byte("two")}); n != 8 || errno != 0 {
			t.Fatal(n, errno)
		}
		if errno := SendAlert(a, 1, 0); errno != 0 {
			t.Fatal(errno)
		}
		if n, errno := Send(a, []byte("three")); n != 5 || errno != 0 {
			t.Fatal(n, errno)
		}
		await(t, b)
		if n, errno := Recv(b, buf); errno != 0 || string(buf[:n]) != "one, two" {
			t.Fatalf("%q, %v", buf[:n], errno)
		}
		await(t, b)
		for range 2 { // asking does not take it away
			if _, errno := Recv(b, buf); errno != ControlRecord {
				t.Fatal("in front of an alert:", errno)
			}
		}
		if kind, n, errno := RecvControl(b, buf); kind != RecordAlert || n != 2 || errno != 0 || buf[0] != 1 || buf[1] != 0 {
			t.Fatal(kind, n, errno, buf[:2])
		}
		await(t, b)
		if n, errno := Recv(b, buf); errno != 0 || string(buf[:n]) != "three" {
			t.Fatalf("%q, %v", buf[:n], errno)
		}
	}
}

// A full socket takes no alert, and none is lost.
func TestAlertBehindFullSocket(t *testing.T) {
	needKernelTLS(t)
	a, b := sealed(t, TLSSuites[0])
	chunk, sent := make([]byte, 40_000), 0
	for {
		n, errno := Send(a, chunk)
		if sent += n; errno == Again {
			break
		} else if errno != 0 {
			t.Fatal(errno)
		}
	}
	if errno := SendAlert(a, 1, 0); errno != Again {
		t.Fatal("alert to a full socket:", errno)
	}
	buf, got, alerted := make([]byte, 64<<10), 0, false
	for {
		if !alerted {
			if errno := SendAlert(a, 1, 0); errno == 0 {
				alerted = true
				if err := ShutdownWrite(a); err != nil {
					t.Fatal(err)
				}
			}
		}
		await(t, b)
		n, errno := Recv(b, buf)
		if errno == ControlRecord {
			break
		}
		if errno != 0 && errno != Again || n == 0 && errno == 0 {
			t.Fatalf("after %d of %d bytes: %v", got, sent, errno)
		}
		got += n
	}
	if got != sent {
		t.Errorf("%d bytes of %d", got, sent)
	}
}

func TestForgedRecord(t *testing.T) {
	needKernelTLS(t)
	a, b := loopback(t, "127.0.0.1:0")
	closing(t, a, b)
	key := &TLSKey{Suite: TLSSuites[0], Key: make([]byte, 16), IV: make([]byte, 12)}
	if _, err := StartTLS(b, key, key); err != nil {
		t.Fatal(err)
	}
	if _, errno := Send(a, append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...)); errno != 0 {
		t.Fatal(errno)
	}
	await(t, b)
	if n, errno := Recv(b, make([]byte, 100)); errno != unix.EBADMSG {
		t.Error(n, errno)
	}
}

func TestStartTLSWithoutAPeer(t *testing.T) {
	needKernelTLS(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(fd)
	key := &TLSKey{Suite: TLSSuites[0], Key: make([]byte, 16), IV: make([]byte, 12)}
	if half, err := StartTLS(fd, key, key); half || !errors.Is(err, unix.ENOTCONN) {
		t.Error(half, err)
	}
}
