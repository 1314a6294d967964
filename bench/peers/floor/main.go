//go:build linux

// Floor is what any server on epoll has to pay: one thread that waits, reads and
// writes on raw sockets, with nothing kept but a byte and a place per connection.
// Servers are measured against it. It follows no library; see epoll(7).
//
// It is no WebSocket server. It answers only the sample key of RFC 6455 section
// 1.3 and returns frames as they came, without the masking key, which must be
// zero: roost-bench needs --sample-key and --zero-mask. A request that is not
// whole in one read, and a frame that is fragmented, above 64 KiB, not text or
// binary or not whole in one read, end their connection.
//
// There are no queues: a full socket is waited for, at most peer.WriteTimeout,
// so one client that does not read holds up all.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"roost/bench/peers/internal/peer"
)

const (
	sampleKey = "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	refusal = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" +
		"GET /echo or /ws with the sample key of RFC 6455 section 1.3\n"
)

// kind is what a descriptor is used for.
type kind byte

const (
	free kind = iota
	accepted
	echoing
	broadcasting
)

// floor belongs to the one goroutine that runs it.
type floor struct {
	epoll, listener int
	buffer          [128 << 10]byte
	kinds           []kind  // by descriptor
	places          []int32 // by descriptor, in members
	members         []int32 // descriptors on /ws
}

func main() {
	ctx, address := peer.Start()
	var f floor
	peer.Ready(f.listen(address))
	go f.run()
	<-ctx.Done()
}

// listen returns the address it listens on.
func (f *floor) listen(address string) string {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().Is4() {
		peer.Fail(fmt.Errorf("-listen %s: want an IPv4 address and a port", address))
	}
	f.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must("socket", err)
	must("SO_REUSEADDR", unix.SetsockoptInt(f.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	// tcp(7): accepted sockets inherit it.
	must("TCP_NODELAY", unix.SetsockoptInt(f.listener, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	must("bind "+address, unix.Bind(f.listener, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}))
	must("listen", unix.Listen(f.listener, 4096))
	f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	must("epoll_create1", err)
	f.watch(f.listener)
	name, err := unix.Getsockname(f.listener)
	must("getsockname", err)
	return netip.AddrPortFrom(at.Addr(), uint16(name.(*unix.SockaddrInet4).Port)).String()
}

func must(what string, err error) {
	if err != nil {
		peer.Fail(fmt.Errorf("%s: %w", what, err))
	}
}

func (f *floor) run() {
	runtime.LockOSThread()
	events := make([]unix.EpollEvent, 1024)
	for {
		n, err := unix.EpollWait(f.epoll, events, -1)
		if err == unix.EINTR {
			continue
		}
		must("epoll_wait", err)
		for i := range n {
			if fd := int(events[i].Fd); fd == f.listener {
				f.accept()
			} else {
				f.read(fd)
			}
		}
	}
}

func (f *floor) watch(fd int) {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	must("epoll_ctl", unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

func (f *floor) accept() {
	for {
		// The calls below never wait, so the scheduler need not know of them.
		r, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(f.listener), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno == unix.EAGAIN {
			return
		}
		if errno == unix.ECONNABORTED || errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			must("accept4", errno)
		}
		fd := int(r)
		for fd >= len(f.kinds) {
			f.kinds, f.places = append(f.kinds, free), append(f.places, 0)
		}
		f.kinds[fd] = accepted
		f.watch(fd)
	}
}

func (f *floor) read(fd int) {
	r, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&f.buffer[0])), uintptr(len(f.buffer)))
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return
	}
	if errno != 0 || r == 0 {
		f.drop(fd)
		return
	}
	b := f.buffer[:r]
	if f.kinds[fd] == accepted {
		f.handshake(fd, b)
		return
	}
	messages, closing, whole := strip(b)
	if f.kinds[fd] == echoing {
		write(fd, messages)
	} else if len(messages) > 0 {
		for _, member := range f.members {
			write(int(member), messages)
		}
	}
	if len(closing) > 0 {
		write(fd, closing)
	}
	if len(closing) > 0 || !whole {
		f.drop(fd)
	}
}

func (f *floor) handshake(fd int, head []byte) {
	switch known := bytes.Contains(head, []byte(sampleKey)) && bytes.HasSuffix(head, []byte("\r\n\r\n")); {
	case known && bytes.HasPrefix(head, []byte("GET /echo ")):
		f.kinds[fd] = echoing
	case known && bytes.HasPrefix(head, []byte("GET /ws ")):
		f.kinds[fd], f.places[fd] = broadcasting, int32(len(f.members))
		f.members = append(f.members, int32(fd))
	default:
		write(fd, []byte(refusal))
		f.drop(fd)
		return
	}
	write(fd, []byte(switching))
}

func (f *floor) drop(fd int) {
	if f.kinds[fd] == broadcasting {
		last := f.members[len(f.members)-1]
		f.members[f.places[fd]], f.places[last] = last, f.places[fd]
		f.members = f.members[:len(f.members)-1]
	}
	f.kinds[fd] = free
	unix.Close(fd)
}

// strip turns the frames of a client into those of a server, in place: it clears
// the mask bit and takes the masking key out. A close frame is returned apart.
// whole is false when something is left that it does not take.
func strip(b []byte) (messages, closing []byte, whole bool) {
	out := b[:0]
	for len(b) >= 6 {
		op, header, size := b[0], 2, int(b[1]&0x7f)
		if size == 126 {
			header, size = 4, int(binary.BigEndian.Uint16(b[2:]))
		}
		end := header + 4 + size
		if b[1] < 0x80 || b[1] == 0xff || end > len(b) || binary.LittleEndian.Uint32(b[header:]) != 0 {
			return out, nil, false
		}
		if op != 0x81 && op != 0x82 && op != 0x88 { // whole text, binary, close
			return out, nil, false
		}
		start := len(out)
		out = append(out, op, b[1]&0x7f)
		out = append(out, b[2:header]...)
		out = append(out, b[header+4:end]...)
		if op == 0x88 {
			return out[:start], out[start:], true
		}
		b = b[end:]
	}
	return out, nil, len(b) == 0
}

// write writes all of b. Of a connection that fails, or whose client does not
// read, epoll tells later.
func write(fd int, b []byte) {
	for len(b) > 0 {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(peer.WriteTimeout.Milliseconds()))
			if ready == 0 && err == nil {
				_ = unix.Shutdown(fd, unix.SHUT_RDWR) // it may be gone
				return
			}
		default:
			return
		}
	}
}
