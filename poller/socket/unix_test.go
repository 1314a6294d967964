//go:build linux

package socket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// listenUnix returns a listener that lives as long as the test.
func listenUnix(t *testing.T, path string) (int, *UnixFile) {
	t.Helper()
	fd, file, err := ListenUnix(path, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, fd)
	return fd, file
}

func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	lfd, file := listenUnix(t, path)
	wantFlags(t, "listener", lfd)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if got := ListenAddr(lfd); got.Network() != "unix" || got.String() != path {
		t.Errorf("listening on %v %v, want unix %s", got.Network(), got, path)
	}
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	fd, errno := Accept(lfd)
	if errno != 0 {
		t.Fatal(errno)
	}
	closing(t, fd)
	wantFlags(t, "connection", fd)
	if got := PeerAddr(fd); got.IsValid() {
		t.Errorf("peer address %v, want none", got)
	}
	if err := file.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there after Remove: %v", err)
	}
	if err := file.Remove(); err != nil {
		t.Errorf("the second Remove: %v", err)
	}
}

// TestUnixPathInUse: what nobody listens behind is replaced, the rest is not.
func TestUnixPathInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, _, err := ListenUnix(path, 0o777)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ListenUnix(path, 0o777); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("listening twice: %v, want EADDRINUSE", err)
	}
	if fd, errno := Accept(stale); errno != 0 { // it was asked whether it lives
		t.Errorf("the first listener was not asked: %v", errno)
	} else {
		Close(fd)
	}
	Close(stale)
	listenUnix(t, path)

	datagram := filepath.Join(t.TempDir(), "d")
	d, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: datagram, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, _, err := ListenUnix(datagram, 0o777); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a datagram socket is in use there: %v, want EADDRINUSE", err)
	}
}

func TestUnixPathIsNoSocket(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, dir} {
		if _, _, err := ListenUnix(path, 0o777); !errors.Is(err, unix.ENOTSOCK) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want ENOTSOCK and the path", path, err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file has become %q, %v", text, err)
	}
	if _, _, err := ListenUnix(filepath.Join(dir, "no", "folder"), 0o777); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// TestRemoveSparesOthers: somebody has put another socket in the place of ours.
func TestRemoveSparesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	_, file := listenUnix(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, second := listenUnix(t, path)
	if err := file.Remove(); err != nil {
		t.Error(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the other's file is gone: %v", err)
	}
	_ = c.Close()
	if err := second.Remove(); err != nil {
		t.Error(err)
	}
}

func TestUnixPath(t *testing.T) {
	longest := "/" + strings.Repeat("x", 106)
	for _, c := range []struct {
		addr, path string
		ok, bad    bool
	}{
		{"127.0.0.1:80", "", false, false},
		{"unix:/run/s", "/run/s", true, false},
		{"unix:s", "s", true, false},
		{"unix:", "", true, true},
		{"unix:@abstract", "", true, true},
		{"unix:/a\x00b", "", true, true},
		{"unix:" + longest, longest, true, false},
		{"unix:" + longest + "x", "", true, true},
	} {
		path, ok, err := UnixPath(c.addr)
		if ok != c.ok || (err != nil) != c.bad || (ok && err == nil && path != c.path) {
			t.Errorf("%q: %q, %v, %v", c.addr, path, ok, err)
		}
	}
	t.Chdir(t.TempDir())
	listenUnix(t, longest[1:]+"x") // as long, in this folder
}
