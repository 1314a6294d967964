//go:build roostsim

package kernel

import (
	"golang.org/x/sys/unix"

	"roost/poller/sim"
)

// Recv is recv(2).
func (k *Kernel) Recv(fd int, p []byte) (int, unix.Errno) {
	e := enter[*Endpoint](k, fd, "recv")
	if k.interrupted() {
		return 0, unix.EINTR
	}
	n, errno := e.recv(p)
	sim.Note("recv %d of at most %d: %d %v", fd, len(p), n, text(errno))
	sim.Step("received")
	return n, errno
}

// Send is send(2).
func (k *Kernel) Send(fd int, p []byte) (int, unix.Errno) {
	e := enter[*Endpoint](k, fd, "send")
	if k.interrupted() {
		return 0, unix.EINTR
	}
	n, errno := e.send(p)
	sim.Note("send %d of %d: %d %v", fd, len(p), n, text(errno))
	sim.Step("sent")
	return n, errno
}

// Touch is a call that changes nothing here.
func (k *Kernel) Touch(fd int, call string) { enter[file](k, fd, call) }

func text(errno unix.Errno) string {
	if errno == 0 {
		return ""
	}
	return errno.Error()
}

// ShutdownWrite is shutdown(2) with SHUT_WR.
func (k *Kernel) ShutdownWrite(fd int) error {
	e := enter[*Endpoint](k, fd, "shutdown")
	if e.dead {
		return unix.ENOTCONN
	}
	e.shutW, e.out.fin = true, true
	sim.Note("shutdown %d", fd)
	sim.Step("shut down")
	return nil
}

// What Read and Write return.
const (
	Again  = unix.EAGAIN // there is no room
	Closed = unix.EBADF  // we have closed the socket
)

// The client's side. It is another process: it blocks, and has no descriptors here.

// Read waits until there is something to read and returns what has come, at most
// len(p) bytes; 0 and errno 0 at the end of the stream.
func (e *Endpoint) Read(p []byte) (int, unix.Errno) {
	for {
		sim.Step("client reads")
		if e.closed {
			return 0, unix.EBADF
		}
		if n, errno := e.recv(p); errno != unix.EAGAIN {
			return n, errno
		}
		e.waiting.Park("client's socket")
	}
}

// WaitRoom waits until Write would take something or fail.
func (e *Endpoint) WaitRoom() {
	for e.errno == 0 && !e.dead && !e.closed && len(e.out.sent) >= e.k.SendCap {
		e.waiting.Park("room in client's socket")
	}
}

// Readable reports whether Read returns at once.
func (e *Endpoint) Readable() bool { return e.poll()&unix.EPOLLIN != 0 }

// Write sends what there is room for.
func (e *Endpoint) Write(p []byte) (int, unix.Errno) {
	sim.Step("client writes")
	if e.errno != 0 || e.dead || e.closed || e.shutW {
		return 0, unix.EPIPE
	}
	n := min(len(p), e.k.SendCap-len(e.out.sent))
	if n == 0 {
		return 0, unix.EAGAIN
	}
	e.out.sent = append(e.out.sent, p[:n]...)
	return n, 0
}

// CloseWrite sends FIN.
func (e *Endpoint) CloseWrite() { e.shutW, e.out.fin = true, true }

// Close closes both directions, with RST if something is unread.
func (e *Endpoint) Close() {
	if !e.closed {
		sim.Note("%v closes", e)
		e.shut()
		e.waiting.Wake(e.waiting.Len())
	}
}

// Reset closes with RST.
func (e *Endpoint) Reset() {
	if !e.closed {
		sim.Note("%v resets", e)
		e.abort()
		e.waiting.Wake(e.waiting.Len())
	}
}

// Closed reports whether the descriptor has been closed.
func (e *Endpoint) Closed() bool { return e.closed }

// Dead reports whether the connection was reset.
func (e *Endpoint) Dead() bool { return e.dead }

// Unread is what has arrived and was not read: bytes, and whether the end has come.
func (e *Endpoint) Unread() (bytes int, end bool) { return len(e.in.arrived), e.in.eof || e.dead }

// Writable reports whether the kernel would take bytes and epoll say so.
func (e *Endpoint) Writable() bool { return e.writable() && !e.dead }

// Unwatched reports whether epoll_ctl has failed to add the socket.
func (e *Endpoint) Unwatched() bool { return e.unwatched }

// Drained reports whether all that the peer has sent has been read.
func (e *Endpoint) Drained() bool { return len(e.in.sent) == 0 && len(e.in.arrived) == 0 }
