//go:build linux

package socket

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TLSKey protects the records of one direction, of TLS 1.3 (RFC 8446 section 5.2).
type TLSKey struct {
	Suite uint16 // one of TLSSuites
	Key   []byte
	IV    []byte // 12 bytes
	Seq   uint64 // of the next record
}

// TLSSuites are the cipher suites of TLS 1.3 that a kernel may know (RFC 8446 appendix
// B.4): AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305.
var TLSSuites = []uint16{0x1301, 0x1302, 0x1303}

// Linux's linux/tls.h.
const (
	tlsTX            = 1
	tlsRX            = 2
	tlsSetRecordType = 1
	tlsGetRecordType = 2
)

// tlsCiphers has the numbers by which linux/tls.h calls TLSSuites.
var tlsCiphers = map[uint16]uint16{0x1301: 51, 0x1302: 52, 0x1303: 54}

// Types of records (RFC 8446 section 5.1) that are not data.
const (
	RecordAlert     = 21
	RecordHandshake = 22
)

// Levels of alerts (RFC 8446 section 6).
const (
	AlertWarning = 1
	AlertFatal   = 2
)

// ControlRecord is the errno of Recv when the next record is not data: RecvControl
// takes it. Only the kernel's TLS gives it.
const ControlRecord = unix.EIO

// StartTLS has the kernel protect what fd, a connected TCP socket, sends and receives from
// now on (Documentation/networking/tls.rst): Recv, Send and Writev are as before, for data.
// If it fails, half says that the socket is of no use any more; else nothing has changed.
func StartTLS(fd int, receive, send *TLSKey) (half bool, err error) {
	if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_ULP, "tls"); err != nil {
		return false, os.NewSyscallError("setsockopt TCP_ULP", err)
	}
	if err := unix.SetsockoptString(fd, unix.SOL_TLS, tlsRX, string(receive.info())); err != nil {
		return false, os.NewSyscallError("setsockopt TLS_RX", err)
	}
	if err := unix.SetsockoptString(fd, unix.SOL_TLS, tlsTX, string(send.info())); err != nil {
		return true, os.NewSyscallError("setsockopt TLS_TX", err)
	}
	return false, nil
}

// info is a struct tls12_crypto_info_… of linux/tls.h: version, cipher, IV, key, salt and
// number of the next record. The first four bytes of an IV for GCM are its salt.
func (k *TLSKey) info() []byte {
	b := binary.NativeEndian.AppendUint16(nil, 0x0304)
	b = binary.NativeEndian.AppendUint16(b, tlsCiphers[k.Suite])
	salt := 4
	if k.Suite == 0x1303 {
		salt = 0
	}
	b = append(b, k.IV[salt:]...)
	b = append(b, k.Key...)
	b = append(b, k.IV[:salt]...)
	return binary.BigEndian.AppendUint64(b, k.Seq)
}

// RecvTLS is Recv for sockets with the kernel's TLS. It decrypts records as long as some are there
// and p is not full, and empty ones fill nothing: so the Go scheduler is told of the call.
func RecvTLS(fd int, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.Syscall6(unix.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// RecvControl reads records that are not data into p, or what there is room for, all of one type,
// and tells it.
func RecvControl(fd int, p []byte) (kind byte, n int, errno syscall.Errno) {
	oob := make([]byte, unix.CmsgSpace(1))
	var oobn int
	err := error(unix.EINTR)
	for err == unix.EINTR {
		n, oobn, _, _, err = unix.Recvmsg(fd, p, oob, unix.MSG_DONTWAIT)
	}
	if err != nil {
		if !errors.As(err, &errno) {
			errno = unix.EIO
		}
		return 0, 0, errno
	}
	messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
	for _, m := range messages {
		if m.Header.Level == unix.SOL_TLS && m.Header.Type == tlsGetRecordType && len(m.Data) > 0 {
			return m.Data[0], n, 0
		}
	}
	return 0, n, 0
}

// poll asks for events without waiting for them (poll(2)).
func poll(fd int, events int16) int16 {
	ready := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		if _, err := unix.Poll(ready, 0); err != unix.EINTR {
			return ready[0].Revents
		}
	}
}

// Ended reports whether the peer of fd has closed its sending side, or there is no connection
// any more. With the kernel's TLS a Recv of 0 bytes alone does not say so: an empty record in front
// of one that is not data gives it too.
func Ended(fd int) bool {
	return poll(fd, unix.POLLRDHUP)&(unix.POLLRDHUP|unix.POLLHUP) != 0
}

// ForgetError has the kernel forget an error of fd that was met while receiving: it would keep
// the last bytes, or an alert, from being sent (socket(7), SO_ERROR).
func ForgetError(fd int) { _, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR) }

// SendAlert sends an alert (RFC 8446 section 6). With Again there was no room for it, or
// records before it have none yet: they would be lost if the socket was shut down behind it.
func SendAlert(fd int, level, description byte) syscall.Errno {
	if poll(fd, unix.POLLOUT) == 0 {
		// Now that it was asked, the kernel will report room, a third of the buffer: so
		// much that it takes the rest of a record, which it keeps until then, and this alert.
		return Again
	}
	oob := make([]byte, unix.CmsgSpace(1))
	h := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(oob)))
	h.Level, h.Type = unix.SOL_TLS, tlsSetRecordType
	h.SetLen(unix.CmsgLen(1))
	oob[unix.CmsgLen(0)] = RecordAlert
	for {
		var errno syscall.Errno
		_, err := unix.SendmsgN(fd, []byte{level, description}, oob, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errors.As(err, &errno); errno != unix.EINTR {
			return errno
		}
	}
}

// KernelTLS tells which of TLSSuites this kernel knows, by having it encrypt and decrypt
// something. The error says why it lacks the others.
func KernelTLS() (known []uint16, err error) {
	for _, suite := range TLSSuites {
		if fault := tryTLS(suite); fault != nil {
			err = errors.Join(err, fmt.Errorf("suite %#x: %w", suite, fault))
			continue
		}
		known = append(known, suite)
	}
	if errors.Is(err, unix.ENOENT) && known == nil {
		err = errors.New("this kernel has no TLS, or has not loaded it (as root: modprobe tls)")
	}
	return known, err
}

// tryTLS sends a record from this process to itself.
func tryTLS(suite uint16) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	key := &TLSKey{Suite: suite, Key: make([]byte, 32), IV: make([]byte, 12)}
	if suite == 0x1301 {
		key.Key = key.Key[:16]
	}
	_, _ = rand.Read(key.Key) // does not fail
	a, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		return err
	}
	defer b.Close()
	for _, end := range []net.Conn{a, b} {
		raw, err := end.(*net.TCPConn).SyscallConn()
		if err != nil {
			return err
		}
		if fault := raw.Control(func(fd uintptr) { _, err = StartTLS(int(fd), key, key) }); fault != nil || err != nil {
			return errors.Join(fault, err)
		}
	}
	sent := []byte("to oneself")
	if _, err := a.Write(sent); err != nil {
		return err
	}
	got := make([]byte, len(sent))
	_ = b.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := io.ReadFull(b, got); err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return errors.New("what has come is not what was sent")
	}
	return nil
}
