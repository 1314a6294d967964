package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"

	"roost/bench"
)

// progress shows snapshots of a run. show is called by the goroutine that
// drives the client, close after it has ended.
type progress struct {
	show  func(bench.Snapshot)
	close func()
}

// newProgress draws a bar when w is a terminal, else it writes a line each
// second; quiet does neither.
func newProgress(w io.Writer, quiet bool) progress {
	switch {
	case quiet:
		return progress{show: nil, close: func() {}}
	case isTerminal(w):
		b := newBars(w)
		return progress{show: b.show, close: b.close}
	default:
		l := &lines{w: w}
		return progress{show: l.show, close: func() {}}
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// lines writes a plain line at the start of each phase and then each second.
type lines struct {
	w     io.Writer
	phase string
	last  time.Time
}

func (l *lines) show(s bench.Snapshot) {
	if s.Phase == l.phase && time.Since(l.last) < time.Second {
		return
	}
	l.phase, l.last = s.Phase, time.Now()
	done := ""
	switch {
	case s.Total > 0:
		done = fmt.Sprintf(", %d of %d %s", s.Done, s.Total, s.Unit)
	case s.Unit != "":
		done = fmt.Sprintf(", %d %s", s.Done, s.Unit)
	}
	fmt.Fprintf(l.w, "%s: %.0f s, %d of %d connections open%s\n", s.Phase, s.Elapsed.Seconds(), s.Open, s.Conns, done)
}

// bars has one bar per phase.
type bars struct {
	container *mpb.Progress
	bar       *mpb.Bar
	phase     string
}

func newBars(w io.Writer) *bars {
	return &bars{container: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithAutoRefresh())}
}

func (b *bars) show(s bench.Snapshot) {
	if s.Phase != b.phase {
		b.finish()
		b.phase = s.Phase
		b.bar = b.container.AddBar(s.Total,
			mpb.PrependDecorators(decor.Name(s.Phase, decor.WC{W: 10, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.CurrentNoUnit("%d "), decor.Name(s.Unit), decor.Elapsed(decor.ET_STYLE_MMSS, decor.WC{W: 7})),
		)
	}
	if s.Total > 0 {
		b.bar.SetTotal(s.Total, false)
	}
	b.bar.SetCurrent(s.Done)
}

// finish leaves the bar of a phase as it stands.
func (b *bars) finish() {
	if b.bar != nil {
		b.bar.EnableTriggerComplete()
		b.bar.Abort(false)
		b.bar = nil
	}
}

func (b *bars) close() {
	b.finish()
	b.container.Wait()
}
