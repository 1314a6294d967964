package main

import (
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"roost/bench"
)

const (
	barColumns   = 40
	phaseColumns = 10 // of a phase's name, and the indent of the figures
)

// live draws a bar per phase and the figures of the last second below. Its
// container draws in a goroutine of its own, from texts that show has made.
type live struct {
	// Owned by the caller of show and close.
	container *mpb.Progress
	figures   *mpb.Bar
	phase     *phaseBar // nil before the first
	shown     bench.Snapshot

	current atomic.Pointer[figures]
}

// phaseBar is a phase's bar with what stands behind it.
type phaseBar struct {
	*mpb.Bar
	text atomic.Pointer[string]
}

// figures are the lines below the bars, and the distribution that goes under them.
type figures struct {
	lines  []string
	spread sparkline
	second *bench.Second // it was made of
}

func newLive(w io.Writer, options ...mpb.ContainerOption) *live {
	l := &live{container: mpb.New(append(options, mpb.WithOutput(w))...)}
	l.current.Store(new(figures))
	return l
}

func (l *live) show(s bench.Snapshot) {
	if l.phase == nil || s.Phase != l.shown.Phase {
		l.finish()
		l.begin(s.Phase)
	}
	l.shown = s
	l.phase.say(share(s))
	// The total is no trigger: a phase is over when the next begins.
	l.phase.SetTotal(max(0, s.Total), false)
	l.phase.SetCurrent(s.Done)
	l.current.Store(l.current.Load().next(s))
}

// next is what there is to say of s. Distributions are read once a second.
func (f *figures) next(s bench.Snapshot) *figures {
	now := &figures{lines: []string{connections(s), rates(s.Last), percentiles(s.Last)}, second: s.Last}
	switch {
	case s.Last == f.second:
		now.spread = f.spread
	case s.Last == nil:
	case s.Last.LatencySpread != nil:
		now.spread = newSparkline(s.Last.LatencySpread)
	default:
		now.spread = newSparkline(s.Last.HandshakeSpread)
	}
	return now
}

// begin adds the bar of a phase, and before the first one the figures below all.
func (l *live) begin(phase string) {
	if l.figures == nil {
		l.figures = l.container.New(0, nil, mpb.BarPriority(math.MaxInt), mpb.BarFillerTrim(),
			mpb.BarFillerMiddleware(func(mpb.BarFiller) mpb.BarFiller { return l.row(0, "") }),
			mpb.BarBtmExtender(l.row(1, "\n"), l.row(2, "\n"), mpb.BarFillerFunc(l.drawSpread)))
	}
	p := new(phaseBar)
	p.say("")
	p.Bar = l.container.New(0, mpb.BarStyle(), mpb.BarWidth(barColumns), mpb.BarFillerMiddleware(onlyWithTotal), mpb.BarFillerTrim(),
		mpb.PrependDecorators(decor.Name(phase, decor.WC{W: phaseColumns, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return *p.text.Load() })))
	l.phase = p
}

// say sets the text behind the bar, or at its place where there is none.
func (p *phaseBar) say(text string) { p.text.Store(&text) }

// onlyWithTotal draws no bar for a phase of which nobody knows the end.
func onlyWithTotal(bar mpb.BarFiller) mpb.BarFiller {
	return mpb.BarFillerFunc(func(w io.Writer, at decor.Statistics) error {
		if at.Total == 0 || at.AvailableWidth < 2 {
			return nil
		}
		at.AvailableWidth--
		if err := bar.Fill(w, at); err != nil {
			return err
		}
		_, err := io.WriteString(w, " ")
		return err
	})
}

// row draws one of the lines; an empty one takes no place.
func (l *live) row(i int, end string) mpb.BarFiller {
	return mpb.BarFillerFunc(func(w io.Writer, at decor.Statistics) error {
		if now := l.current.Load(); i < len(now.lines) {
			return drawRow(w, now.lines[i], end, at.AvailableWidth)
		}
		return nil
	})
}

func (l *live) drawSpread(w io.Writer, at decor.Statistics) error {
	return drawRow(w, l.current.Load().spread.draw(at.AvailableWidth-phaseColumns), "\n", at.AvailableWidth)
}

func drawRow(w io.Writer, text, end string, width int) error {
	if text == "" {
		return nil
	}
	_, err := io.WriteString(w, cut(fmt.Sprintf("%*s%s", phaseColumns, "", text), width)+end)
	return err
}

// cut shortens a line to the width of the terminal.
func cut(line string, width int) string {
	if runes := []rune(line); len(runes) > width {
		return string(runes[:max(0, width)])
	}
	return line
}

// finish leaves the bar of a phase as it stands.
func (l *live) finish() {
	if l.phase == nil {
		return
	}
	l.phase.say(outcome(l.shown))
	l.phase.Abort(false)
}

// outcome is what a phase came to.
func outcome(s bench.Snapshot) string {
	took := fmt.Sprintf("%.1f s", s.Elapsed.Round(100*time.Millisecond).Seconds())
	switch {
	case s.Unit == "" || s.Unit == milliseconds:
		return took
	case s.Total > 0 && s.Done < s.Total:
		return fmt.Sprintf("%d of %s in %s", s.Done, amount(s.Total, s.Unit), took)
	}
	return amount(s.Done, s.Unit) + " in " + took
}

// close takes the figures away and leaves a line for every phase.
func (l *live) close() {
	l.finish()
	if l.figures != nil {
		l.figures.Abort(true)
	}
	l.container.Wait()
}
