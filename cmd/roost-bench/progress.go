package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"roost/bench"
)

// progress shows snapshots of a run. show is called by one goroutine, close
// after it has ended.
type progress struct {
	show  func(bench.Snapshot) // nil: nothing is shown
	close func()
}

// newProgress draws a live view when w is a terminal, else it writes a line each
// second; quiet does neither.
func newProgress(w io.Writer, quiet bool) progress {
	return chooseProgress(w, quiet, isTerminal(w))
}

func chooseProgress(w io.Writer, quiet, terminal bool) progress {
	switch {
	case quiet:
		return progress{close: func() {}}
	case terminal:
		l := newLive(w)
		return progress{l.show, l.close}
	}
	l := &lines{w: w}
	return progress{l.show, func() {}}
}

// isTerminal asks for a size, since on a terminal without one, as some programs
// make them, nothing can be drawn.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil && size.Col > 0 && size.Row > 0
}

// lines writes a plain line at the start of each phase and then each second.
type lines struct {
	w     io.Writer
	phase string
	next  time.Duration // of the phase
}

func (l *lines) show(s bench.Snapshot) {
	if s.Phase == l.phase && s.Elapsed < l.next {
		return
	}
	l.phase, l.next = s.Phase, s.Elapsed.Truncate(time.Second)+time.Second
	if s.Last != nil && s.Last.Phase != s.Phase {
		s.Last = nil // it would pass for a second of this phase
	}
	parts := []string{seconds(s.Elapsed), connections(s)}
	for _, part := range []string{rates(s.Last), percentiles(s.Last), share(s)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	fmt.Fprintf(l.w, "%s: %s\n", s.Phase, strings.Join(parts, ", "))
}

// connections says how many there are, and what became of the others.
func connections(s bench.Snapshot) string {
	return fmt.Sprintf("%d of %d open, %d failed, %d closed", s.Open, s.Conns, s.Failed, s.Closed)
}

// rates says how often things happened in the last second, if they did.
func rates(last *bench.Second) string {
	if last == nil || last.Length <= 0 {
		return ""
	}
	received, name := last.Deliveries, "deliveries"
	if received == 0 {
		received, name = last.Received, "received" // not of this run
	}
	var parts []string
	for _, rate := range []struct {
		count int64
		name  string
	}{{last.Sent, "sent"}, {received, name}, {last.Opened, "connects"}} {
		if rate.count > 0 {
			parts = append(parts, fmt.Sprintf("%.0f %s/s", float64(rate.count)/last.Length, rate.name))
		}
	}
	return strings.Join(parts, ", ")
}

// percentiles are those of the messages and the handshakes of the last second.
func percentiles(last *bench.Second) string {
	if last == nil {
		return ""
	}
	var parts []string
	if q := last.Latency; q != nil {
		parts = append(parts, fmt.Sprintf("p50 %s, p99 %s", latency(q.P50), latency(q.P99)))
	}
	if q := last.Handshake; q != nil {
		parts = append(parts, fmt.Sprintf("handshake p50 %s, p99 %s", latency(q.P50), latency(q.P99)))
	}
	return strings.Join(parts, ", ")
}

// share says how much of the phase is done, and how long the rest may take.
func share(s bench.Snapshot) string {
	switch {
	case s.Unit == "":
		return ""
	case s.Total <= 0:
		return amount(s.Done, s.Unit)
	}
	text := fmt.Sprintf("%d %% of %s", min(100, 100*s.Done/s.Total), amount(s.Total, s.Unit))
	if left, known := remaining(s); known {
		text += "; " + seconds(left) + " left"
	}
	return text
}

// remaining expects the rest to take as long as what is done did.
func remaining(s bench.Snapshot) (left time.Duration, known bool) {
	switch {
	case s.Unit == milliseconds:
		return max(0, time.Duration(s.Total-s.Done)*time.Millisecond), true
	case s.Done <= 0:
		return 0, false
	}
	return time.Duration(float64(s.Elapsed) * float64(max(0, s.Total-s.Done)) / float64(s.Done)), true
}

// milliseconds is the unit of a phase that lasts a given time.
const milliseconds = "milliseconds"

func amount(n int64, unit string) string {
	if unit == milliseconds {
		return strconv.FormatFloat(float64(n)/1e3, 'f', -1, 64) + " s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

// latency writes microseconds with two digits or three.
func latency(us int64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%d us", us)
	case us < 100_000:
		return fmt.Sprintf("%.1f ms", float64(us)/1e3)
	case us < 1_000_000:
		return fmt.Sprintf("%.0f ms", float64(us)/1e3)
	}
	return fmt.Sprintf("%.1f s", float64(us)/1e6)
}
