//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of processor times in /proc, proc_pid_stat(5). The
// kernel shows them in 1/100 s on every architecture Go runs on.
const clockTick = 10 * time.Millisecond

// ProcessUsage is what a process has used so far.
type ProcessUsage struct {
	RSSBytes     int64
	User, System time.Duration // processor time, in steps of 10 ms
	Threads      int

	// Of ReadProcess only, proc_pid_smaps(5).
	PSSBytes       int64
	AnonymousBytes int64
}

// ReadProcess reads the usage of a process from /proc. It walks the page tables:
// the counter of the resident set in stat lags behind by up to some hundred pages
// per processor.
func ReadProcess(pid int) (ProcessUsage, error) {
	usage, err := readStat(pid)
	if err != nil {
		return usage, err
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return usage, nil //nolint:nilerr // of another user, or an old kernel: what stat says is left
	}
	usage.RSSBytes = kilobytes(text, "Rss:")
	usage.PSSBytes = kilobytes(text, "Pss:")
	usage.AnonymousBytes = kilobytes(text, "Anonymous:")
	return usage, nil
}

// kilobytes finds a line such as "Rss:  1234 kB" and returns its value in bytes.
func kilobytes(text []byte, name string) int64 {
	for line := range bytes.Lines(text) {
		if rest, found := bytes.CutPrefix(line, []byte(name)); found {
			n, _ := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
			return n << 10
		}
	}
	return 0
}

// socketSlabs are the caches of slabinfo(5) that hold what a TCP socket and its
// descriptor and epoll entry take.
var socketSlabs = []string{"TCP", "TCPv6", "sock_inode_cache", "filp", "dentry", "eventpoll_epi", "eventpoll_pwq", "tw_sock_TCP", "request_sock_TCP"}

// ReadSocketSlabs is the kernel's memory for sockets, of the whole machine. Only
// root may read it; ok is false for others.
func ReadSocketSlabs() (size int64, ok bool) {
	text, err := os.ReadFile("/proc/slabinfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !slices.Contains(socketSlabs, fields[0]) {
			continue
		}
		objects, err1 := strconv.ParseInt(fields[2], 10, 64) // num_objs: active or not, the memory is taken
		each, err2 := strconv.ParseInt(fields[3], 10, 64)
		if err1 == nil && err2 == nil {
			size += objects * each
		}
	}
	return size, size > 0
}

// readStat is ReadProcess at the price of one small file, with the kernel's
// own idea of the resident set.
func readStat(pid int) (ProcessUsage, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return ProcessUsage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	// The second field is the name in parentheses, which may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 22 {
		return ProcessUsage{}, fmt.Errorf("process %d: %s/stat has %d fields", pid, dir, len(fields))
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)   // field 14, utime
	system, err2 := strconv.ParseInt(fields[12], 10, 64) // field 15, stime
	pages, err3 := strconv.ParseInt(fields[21], 10, 64)  // field 24, rss
	threads, err4 := strconv.Atoi(fields[17])            // field 20, num_threads
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return ProcessUsage{}, fmt.Errorf("process %d: %s/stat is malformed", pid, dir)
	}
	return ProcessUsage{
		RSSBytes: pages * int64(os.Getpagesize()),
		User:     time.Duration(user) * clockTick,
		System:   time.Duration(system) * clockTick,
		Threads:  threads,
	}, nil
}

// meter adds up how long the loop has waited.
type meter struct{ waited time.Duration }

// Mark is a moment in a run, for Client.Since.
type Mark struct {
	at, waited, cpu time.Duration
}

// Load is the client's own effort over a span of time.
type Load struct {
	Elapsed time.Duration
	CPU     time.Duration // processor time of the whole client process
	Busy    float64       // share of the time in which the loop did not wait, 0 to 1
}

// Mark notes the present moment.
func (cl *Client) Mark() Mark {
	return Mark{at: cl.Now(), waited: cl.busy.waited, cpu: ownCPU()}
}

// Since is the client's effort since m.
func (cl *Client) Since(m Mark) Load {
	elapsed := cl.Now() - m.at
	load := Load{Elapsed: elapsed, CPU: ownCPU() - m.cpu}
	if elapsed > 0 {
		load.Busy = 1 - float64(cl.busy.waited-m.waited)/float64(elapsed)
	}
	return load
}

func ownCPU() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
