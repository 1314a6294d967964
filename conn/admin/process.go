//go:build linux

package admin

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"roost/conn/machine"
	"roost/conn/server"
)

// process reads what the process takes. No question costs more with more
// connections: in particular nothing lists /proc/self/fd, as the collector of the
// Prometheus library does.
type process struct {
	// Static after newProcess.
	began time.Time
	idle  int // descriptors that were open when no connection was

	bare atomic.Int64 // resident set before the first connection
}

func newProcess() *process {
	p := &process{began: began()}
	p.bare.Store(p.memory())
	if _, counted := countDescriptors(); !counted {
		if all, err := os.ReadDir("/proc/self/fd"); err == nil {
			p.idle = len(all)
		}
	}
	return p
}

// began is when the process began: the clock ticks since boot are the 22nd field of
// stat, the 20th behind the command in parentheses (proc_pid_stat(5)).
func began() time.Time {
	now := time.Now()
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return now
	}
	_, rest, _ := strings.Cut(string(stat[max(0, strings.LastIndexByte(string(stat), ')')):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return now
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	var up unix.Timespec
	if err = errors.Join(err, unix.ClockGettime(unix.CLOCK_BOOTTIME, &up)); err != nil {
		return now
	}
	const perSecond = 100 // USER_HZ, on every architecture that Go knows
	return now.Add(time.Duration(ticks)*time.Second/perSecond - time.Duration(up.Nano()))
}

// cpu is the processor time used so far, in seconds.
func (p *process) cpu() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil { // cannot fail with these arguments
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// memory is the resident set, in bytes; 0 when it cannot be read.
func (p *process) memory() int64 {
	n, _ := machine.This().ResidentSet()
	return n
}

// descriptors are how many are open. Before Linux 6.2 the number is made of those
// that were open at the start and those of connections.
func (p *process) descriptors(st *server.Stats) int64 {
	if n, ok := countDescriptors(); ok {
		return n
	}
	return int64(p.idle) + st.Handshaking + st.Open + st.Closing + st.HTTP
}

// countDescriptors asks for the size of /proc/self/fd, which is the number of open
// descriptors since Linux 6.2 (proc_pid_fd(5)) and 0 before.
func countDescriptors() (n int64, ok bool) {
	var st unix.Stat_t
	if unix.Stat("/proc/self/fd", &st) != nil {
		return 0, false
	}
	return st.Size, st.Size > 0
}

// descriptorLimit is how many may be open.
func (p *process) descriptorLimit() int64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil { // cannot fail with these arguments
		return 0
	}
	return int64(min(limit.Cur, 1<<62))
}
