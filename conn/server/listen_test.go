//go:build linux

package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
	"roost/poller/socket"
)

// talk has two clients chat and one ask for a page, the second on the page's connection.
func talk(t *testing.T, srv *server.Server, addr string) {
	t.Helper()
	a, b := conntest.Dial(t, addr, "/ws"), conntest.Connect(t, addr)
	b.Raw([]byte("GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	res := b.Response()
	if body, err := io.ReadAll(res.Body); string(body) != "GET /page" || err != nil {
		t.Errorf("the page is %q, %v", body, err)
	}
	b.Raw(append([]byte(conntest.Request("localhost", "/ws")), conntest.Frame(true, 1, "early")...))
	b.Accepted()
	b.ExpectText("early")
	a.ExpectText("early")
	a.Text("hello")
	a.ExpectText("hello")
	b.ExpectText("hello")
	a.Raw(conntest.CloseFrame(1000, ""))
	if code := a.Closed(); code != 1000 {
		t.Errorf("closed with %d", code)
	}
	_ = b.Close()
	if err := srv.Hub().Drain(t.Context()); err != nil { // what was said is not for those who come next
		t.Fatal(err)
	}
}

var pages = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, " ", r.URL.Path) })

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roost.sock")
	var log conntest.Log
	config := server.Config{Listen: []string{"127.0.0.1:0", "unix:" + path}, Handler: server.Chat(), HTTP: pages,
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	srv, addr := start(t, config)
	if a := srv.Addrs()[1]; a.Network() != "unix" || a.String() != path {
		t.Errorf("listening on %s %s", a.Network(), a)
	}
	talk(t, srv, "unix:"+path)
	talk(t, srv, addr)
	eventually(t, "the log says who has left, as far as it can be known", func() bool {
		return strings.Contains(log.String(), "peer=unknown") && strings.Contains(log.String(), "peer=127.0.0.1:")
	})

	second, err := server.New(server.Config{Listen: []string{"unix:" + path}, Handler: server.Chat(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second server: %v, want EADDRINUSE", err)
	}
	talk(t, srv, "unix:"+path)
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

// TestSlowPeerOfAUnixSocket fills its queue and empties it again: room is announced as on TCP.
func TestSlowPeerOfAUnixSocket(t *testing.T) {
	addr := "unix:" + filepath.Join(t.TempDir(), "s")
	start(t, server.Config{Listen: []string{addr}, Handler: server.Echo(), WriteQueueFrames: 8, WriteQueueBytes: 16 << 10})
	c := conntest.Dial(t, addr, "/ws")
	const n = 5000
	payload := strings.Repeat("x", 1000)
	go func() {
		for i := range n {
			c.Text(fmt.Sprint(i, payload))
		}
	}()
	for i := range n {
		c.ExpectText(fmt.Sprint(i, payload))
	}
}

// handDown opens listening sockets as another process would, and returns their files.
func handDown(t *testing.T, named map[string]string) (files []*os.File, addrs map[string]string) {
	t.Helper()
	addrs = map[string]string{}
	for name, addr := range named {
		network, at := "tcp", addr
		if path, ok := strings.CutPrefix(addr, "unix:"); ok {
			network, at = "unix", path
		}
		l, err := net.Listen(network, at)
		if err != nil {
			t.Fatal(err)
		}
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		addrs[name] = strings.TrimPrefix(network+":", "tcp:") + l.Addr().String()
		_ = l.Close()
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		named := os.NewFile(uintptr(fd), name)
		t.Cleanup(func() { _ = named.Close() })
		files = append(files, named)
	}
	return files, addrs
}

func TestInheritedSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	files, addrs := handDown(t, map[string]string{"web": "127.0.0.1:0", "local": "unix:" + path, "more": "127.0.0.1:0"})
	srv, _ := start(t, server.Config{Listen: []string{"systemd:local", "127.0.0.1:0", "systemd"}, Inherited: files, Handler: server.Chat(), HTTP: pages})
	if n := len(srv.Addrs()); n != 4 || srv.Addrs()[0].String() != path {
		t.Errorf("listening on %v", srv.Addrs())
	}
	for _, addr := range addrs {
		talk(t, srv, addr)
	}
	for _, f := range files {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: the server has not closed it: %v", f.Name(), err)
		}
	}
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the file of an inherited socket is gone: %v", err)
	}
}

// TestInheritedFaults says which descriptor or name is wrong.
func TestInheritedFaults(t *testing.T) {
	pipe, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer other.Close()
	files, _ := handDown(t, map[string]string{"web": "127.0.0.1:0"})
	for _, c := range []struct {
		listen    []string
		inherited []*os.File
		want      error
		say       string
	}{
		{[]string{"systemd"}, nil, server.ErrNotInherited, `"systemd"`},
		{[]string{"systemd:api"}, files, server.ErrNotInherited, `"web"`},
		{[]string{"systemd"}, []*os.File{pipe}, socket.ErrNotListening, fmt.Sprint("descriptor ", pipe.Fd())},
		{[]string{"systemd:web", "systemd"}, files, server.ErrNotInherited, `"systemd"`}, // all are taken; it closes them
	} {
		srv, err := server.New(server.Config{Listen: c.listen, Inherited: c.inherited, Handler: server.Chat(), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Start(); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%v: %v; want %v, naming %s", c.listen, err, c.want, c.say)
		}
	}
}

func TestAddressFaults(t *testing.T) {
	for _, addr := range []string{"nowhere", "unix:", "unix:@x", "unix:/" + strings.Repeat("x", 107), "systemd:", "systemdx", "127.0.0.1:http0"} {
		if err := (server.Config{Listen: []string{addr}, Handler: server.Echo()}).Validate(); err == nil || !strings.Contains(err.Error(), addr) {
			t.Errorf("%q: %v", addr, err)
		}
	}
	for _, addr := range []string{"unix:/" + strings.Repeat("x", 106), "systemd", "systemd:web", "[::1]:http", ":0"} {
		if err := (server.Config{Listen: []string{addr}, Handler: server.Echo()}).Validate(); err != nil {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

// TestProgress: the server shows that it works, and not when its workers are stuck.
func TestProgress(t *testing.T) {
	entered, proceed := make(chan struct{}), make(chan struct{})
	h := &hooks{message: func(*conn.Conn, frame.Opcode, []byte) {
		close(entered)
		<-proceed
	}}
	srv, addr := start(t, server.Config{Handler: h, Workers: 1, Reactors: 2, Blocking: true})
	for range 3 {
		if err := srv.Progress(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	c := conntest.Dial(t, addr, "/ws")
	c.Text("stick")
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := srv.Progress(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the only worker is stuck: %v", err)
	}
	close(proceed)
	if err := srv.Progress(context.Background()); err != nil {
		t.Errorf("it goes on: %v", err)
	}
	_ = c.Close()
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := srv.Progress(context.Background()); !errors.Is(err, server.ErrStopping) {
		t.Errorf("after the end: %v", err)
	}
}
