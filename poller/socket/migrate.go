//go:build linux

package socket

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Migrates reports whether the kernel gives what a listening socket leaves behind at
// its close, in the backlog or half through its handshake, to another socket of the same
// SO_REUSEPORT group (sysctl net.ipv4.tcp_migrate_req, Linux 5.14). Otherwise it is reset.
func Migrates() bool {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_migrate_req")
	return err == nil && strings.TrimSpace(string(text)) == "1"
}

// TurnAway has the kernel ignore the connections that begin from now on at the
// listening TCP socket fd: their clients try again, after a second for the first time
// (RFC 6298 section 2.1), and meet another socket of the group when fd is closed by
// then. Handshakes that have begun go on. It is a filter in the kernel (socket(7),
// SO_ATTACH_FILTER), which sees segments from the TCP header on.
func TurnAway(fd int) error {
	const (
		flags    = 13 // offset of the byte with the flags, RFC 9293 section 3.1
		syn, ack = 0x02, 0x10
		whole    = 1<<32 - 1
	)
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: syn | ack},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: whole},
	}
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}))
}
