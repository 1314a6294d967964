//go:build linux

package poller

import (
	"io"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"roost/poller/socket"
)

// fill sends until the socket takes no more. The caller holds the write lock.
func (l *link) fill(t testing.TB) {
	t.Helper()
	junk := make([]byte, 4096)
	for {
		switch _, errno := socket.Send(l.FD(), junk); errno {
		case 0:
		case socket.Again:
			return
		default:
			t.Fatal(errno)
		}
	}
}

var pairs = map[string]func(testing.TB) (int, int){"socketpair": pair, "tcp": loopback}

// Room is announced after WantWrite, once, and not before there is any.
func TestWritableAfterWantWrite(t *testing.T) {
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			p := start(t, sequential)
			events := make(chan Events, 8)
			own, peer := pair(t)
			l := register(t, p, own, peer, func(_ *link, _ *Worker, ev Events) Next {
				events <- ev
				return Wait
			})
			eventually(t, "the edge of the new socket is marked", func() bool { return l.has(Writable) })
			l.mu.Lock()
			l.BeforeWrite() // forgets that edge
			l.fill(t)
			l.WantWrite()
			l.mu.Unlock()
			flush(t, p)
			if runs := l.runs.Load(); runs != 0 {
				t.Fatalf("the handler ran %d times although the socket is full", runs)
			}
			buf := make([]byte, 64<<10)
			eventually(t, "the peer drains the socket and Writable comes", func() bool {
				drain(peer, buf) // TCP sends the rest as the window opens
				return len(events) > 0
			})
			if ev := <-events; ev != Writable {
				t.Errorf("events: %b, want Writable", ev)
			}
			// Nobody wants to write any more: further edges run nothing.
			l.mu.Lock()
			l.BeforeWrite()
			l.fill(t)
			l.mu.Unlock()
			eventually(t, "room is marked", func() bool {
				drain(peer, buf)
				return l.has(Writable)
			})
			flush(t, p)
			if runs := l.runs.Load(); runs != 1 {
				t.Errorf("the handler ran %d times for one WantWrite", runs)
			}
		})
	}
}

// The peer makes room after the write has failed and before WantWrite.
func TestEdgeBeforeWantWriteIsNotLost(t *testing.T) {
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			p := start(t, sequential)
			events := make(chan Events, 8)
			own, peer := pair(t)
			l := register(t, p, own, peer, func(_ *link, _ *Worker, ev Events) Next {
				events <- ev
				return Wait
			})
			flush(t, p)
			l.mu.Lock()
			l.BeforeWrite()
			l.fill(t)
			buf := make([]byte, 64<<10)
			eventually(t, "the peer drains the socket and the edge is marked", func() bool {
				drain(peer, buf)
				return l.has(Writable)
			})
			if runs := l.runs.Load(); runs != 0 {
				t.Errorf("the handler ran %d times and nobody wanted to write", runs)
			}
			l.WantWrite()
			l.mu.Unlock()
			if ev := await(t, events, "Writable comes although its edge was early"); ev != Writable {
				t.Errorf("events: %b, want Writable", ev)
			}
		})
	}
}

// A stream far larger than the socket's buffer, written by several goroutines
// and the handler in turns, arrives whole and in order.
func TestWantWriteUnderLoad(t *testing.T) {
	const total, writers = 2 << 20, 3
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			p := start(t, Config{Reactors: 1, Workers: 2, Help: 1, Buffer: 64})
			own, peer := pair(t)
			if err := unix.SetsockoptInt(own, unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10); err != nil {
				t.Fatal(err)
			}
			dup, err := unix.FcntlInt(uintptr(peer), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			reader, err := socket.NetConn(dup, nil)
			if err != nil {
				t.Fatal(err)
			}

			var next int     // next byte of the stream; guarded by the link's mu
			var waiting bool // WantWrite is in force; guarded by the link's mu
			chunk := make([]byte, 4096)
			write := func(l *link) { // the caller holds mu
				for next < total {
					b := chunk[:min(len(chunk), total-next)]
					for i := range b {
						b[i] = byte((next + i) % 251)
					}
					l.BeforeWrite()
					n, errno := socket.Send(l.FD(), b)
					next += n
					if errno == socket.Again {
						waiting = true
						l.WantWrite()
						return
					}
					if errno != 0 {
						t.Errorf("send: %v", errno)
						return
					}
				}
			}
			l := register(t, p, own, peer, func(l *link, _ *Worker, ev Events) Next {
				l.mu.Lock()
				defer l.mu.Unlock()
				if ev&Writable != 0 {
					waiting = false
					write(l)
				}
				return Wait
			})
			// Other goroutines write only where nothing waits before them, and leave
			// the rest to the handler.
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						l.mu.Lock()
						if !waiting {
							write(l)
						}
						l.mu.Unlock()
						l.Call()
					}
				})
			}
			failed := make(chan error, 1)
			go func() {
				defer reader.Close()
				buf := make([]byte, 3000)
				for got := 0; got < total; {
					n, err := reader.Read(buf)
					for i, b := range buf[:n] {
						if b != byte((got+i)%251) {
							failed <- io.ErrUnexpectedEOF
							return
						}
					}
					got += n
					if err != nil {
						failed <- err
						return
					}
				}
				failed <- nil
			}()
			if err := await(t, failed, "the stream arrives whole"); err != nil {
				t.Error(err)
			}
			close(stop)
			wg.Wait()
		})
	}
}
