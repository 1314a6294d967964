//go:build linux

package bench

import (
	"bytes"
	"context"
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
	UserCores       float64 `json:"cpu_user_cores"`
	SystemCores     float64 `json:"cpu_system_cores"`
	Threads         int     `json:"threads"`
	Descriptors     int     `json:"descriptors"`
	ContextSwitches float64 `json:"context_switches_per_second"`
}

// Watch samples a server once a second, when the run's clock shows a whole one,
// in a goroutine of its own: counting the descriptors of a large server takes
// longer than a client may stand still.
type Watch struct {
	// Static after StartWatch.
	pid    int     // 0: no process
	scrape *Scrape // nil: no metrics
	start  time.Time
	cancel context.CancelFunc

	// Owned by the goroutine until done.
	samples map[int]ServerSecond // by the second that has ended
	metrics map[int]map[string]float64
	done    sync.WaitGroup
}

// usageSample is what is read of a process at one moment.
type usageSample struct {
	at    time.Time
	usage ProcessUsage
	// switches is the sum over the threads alive, voluntary or not.
	switches    int64
	descriptors int
}

// StartWatch begins to sample the process, unless pid is 0, and the metrics,
// unless scrape is nil. Stop must be called in the end.
func StartWatch(pid int, scrape *Scrape, epoch time.Duration) *Watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watch{
		pid: pid, scrape: scrape, start: startOf(epoch), cancel: cancel,
		samples: map[int]ServerSecond{}, metrics: map[int]map[string]float64{},
	}
	if pid != 0 || scrape != nil {
		w.done.Go(func() { w.run(ctx) })
	}
	return w
}

func (w *Watch) run(ctx context.Context) {
	var last usageSample
	known := false
	for {
		if w.pid != 0 {
			now, err := sampleProcess(w.pid)
			if err != nil {
				w.pid = 0 // the process has ended, and its number may go to another
			} else if known {
				w.samples[w.ended(now.at)] = now.since(last)
			}
			last, known = now, err == nil
		}
		if w.scrape != nil {
			if values, err := w.scrape.Read(ctx); err == nil {
				w.metrics[w.ended(time.Now())] = values
			}
		}
		now := time.Since(w.start)
		select {
		case <-ctx.Done():
			return
		case <-time.After(now.Truncate(time.Second) + time.Second - now):
		}
	}
}

// ended is the number of the second that has just ended.
func (w *Watch) ended(at time.Time) int { return int(at.Sub(w.start).Seconds()) - 1 }

// Stop ends the sampling and adds what was seen to the seconds it was seen in.
// It may be called again.
func (w *Watch) Stop(seconds []Second) {
	w.cancel()
	w.done.Wait()
	for i := range seconds {
		second := int(seconds[i].Start)
		if sample, ok := w.samples[second]; ok {
			seconds[i].Server = &sample
		}
		seconds[i].Metrics = w.metrics[second]
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
		second.UserCores = (s.usage.User - last.usage.User).Seconds() / elapsed
		second.SystemCores = (s.usage.System - last.usage.System).Seconds() / elapsed
		second.CPUCores = second.UserCores + second.SystemCores
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
