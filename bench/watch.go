//go:build linux

package bench

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ServerSecond is what the server process had or did in a second.
type ServerSecond struct {
	RSSBytes        int64   `json:"rss_bytes"` // as proc_pid_stat(5) has it: some hundred pages behind
	CPUCores        float64 `json:"cpu_cores"` // 1: one core all the time
	Threads         int     `json:"threads"`
	Descriptors     int     `json:"descriptors"`
	ContextSwitches float64 `json:"context_switches_per_second"`
}

// watch samples a process on demand, in a goroutine of its own: counting the
// descriptors of a large server takes longer than the client may stand still.
type watch struct {
	pid int
	// ask carries the index of a second that has just ended; nil without a pid.
	// One that cannot be taken at once is left out.
	ask     chan int
	done    sync.WaitGroup
	samples map[int]ServerSecond // owned by the goroutine until done
}

// usageSample is what is read of a process at one moment.
type usageSample struct {
	at    time.Time
	usage ProcessUsage
	// switches is the sum over the threads alive, voluntary or not.
	switches    int64
	descriptors int
}

func (w *watch) start(pid int) {
	if pid == 0 {
		return
	}
	w.pid, w.ask, w.samples = pid, make(chan int, 1), map[int]ServerSecond{}
	ask := w.ask
	w.done.Go(func() { w.run(ask) })
}

func (w *watch) run(ask <-chan int) {
	last, err := sampleProcess(w.pid)
	for index := range ask {
		if err != nil {
			continue // the process has ended, and its number may go to another
		}
		var now usageSample
		if now, err = sampleProcess(w.pid); err == nil {
			w.samples[index] = now.since(last)
			last = now
		}
	}
}

// take asks for a sample at the end of second index.
func (w *watch) take(index int) {
	select {
	case w.ask <- index:
	default: // without a pid, or the last one is still being read
	}
}

// stop ends the goroutine and waits for it. It may be called again.
func (w *watch) stop() {
	if w.ask != nil {
		close(w.ask)
		w.ask = nil
		w.done.Wait()
	}
}

func sampleProcess(pid int) (usageSample, error) {
	usage, err := readStat(pid)
	if err != nil {
		return usageSample{}, err
	}
	dir := "/proc/" + strconv.Itoa(pid)
	return usageSample{time.Now(), usage, contextSwitches(dir), countDescriptors(dir)}, nil
}

func (s usageSample) since(last usageSample) ServerSecond {
	second := ServerSecond{RSSBytes: s.usage.RSSBytes, Threads: s.usage.Threads, Descriptors: s.descriptors}
	if elapsed := s.at.Sub(last.at).Seconds(); elapsed > 0 {
		second.CPUCores = (s.usage.User + s.usage.System - last.usage.User - last.usage.System).Seconds() / elapsed
		// The sum falls when a thread ends; that is no negative work.
		second.ContextSwitches = float64(max(0, s.switches-last.switches)) / elapsed
	}
	return second
}

// contextSwitches adds up those of every thread: status of the process itself
// has only the main thread's.
func contextSwitches(dir string) (sum int64) {
	tasks, err := os.ReadDir(dir + "/task")
	if err != nil {
		return 0
	}
	for _, task := range tasks {
		status, _ := os.ReadFile(dir + "/task/" + task.Name() + "/status") // a thread may just have ended
		for line := range bytes.Lines(status) {
			if name, value, ok := strings.Cut(string(line), ":"); ok && strings.HasSuffix(name, "voluntary_ctxt_switches") {
				n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
				sum += n
			}
		}
	}
	return sum
}

// countDescriptors asks for the size of the folder, which is their number since
// Linux 6.2, and counts them where it is not. 0: no permission.
func countDescriptors(dir string) int {
	if info, err := os.Stat(dir + "/fd"); err == nil && info.Size() > 0 {
		return int(info.Size())
	}
	folder, err := os.Open(dir + "/fd")
	if err != nil {
		return 0
	}
	defer folder.Close()
	names, _ := folder.Readdirnames(-1)
	return len(names)
}
