package fleet

import (
	"slices"
	"sync"
	"time"

	"roost/bench"
)

// showEvery is the pause between two pictures of all processes.
const showEvery = 100 * time.Millisecond

// board adds up the snapshots of several processes.
type board struct {
	picture func(bench.Snapshot) // nil: nobody looks

	mu      sync.Mutex
	latest  []bench.Snapshot
	told    []bool                 // whether there is one, by process
	seconds map[int][]bench.Second // that not all have told yet, by whole second
	last    *bench.Second          // the last that all have told
	shown   time.Time
}

func newBoard(processes int, show func(bench.Snapshot)) *board {
	return &board{picture: show, latest: make([]bench.Snapshot, processes), told: make([]bool, processes), seconds: map[int][]bench.Second{}}
}

// show takes a snapshot of process i.
func (b *board) show(i int, s bench.Snapshot) {
	if b.picture == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latest[i] = s
	if s.Last != nil {
		b.add(*s.Last)
	}
	b.told[i] = true
	if time.Since(b.shown) < showEvery || slices.Contains(b.told, false) {
		return
	}
	b.shown = time.Now()
	b.picture(b.sum())
}

// add files a second and completes it when every process has told of it.
func (b *board) add(second bench.Second) {
	whole := int(second.Start)
	b.seconds[whole] = append(b.seconds[whole], second)
	if len(b.seconds[whole]) < len(b.latest) {
		return
	}
	b.last = &bench.MergeSeconds(b.seconds[whole])[0]
	for w := range b.seconds {
		if w <= whole {
			delete(b.seconds, w)
		}
	}
}

// sum is the picture of all. What is done counts for the phase of those who are
// furthest behind.
func (b *board) sum() bench.Snapshot {
	total := bench.Snapshot{Last: b.last}
	for i, s := range b.latest {
		if i == 0 || s.Elapsed > total.Elapsed {
			total.Phase, total.Elapsed, total.Unit = s.Phase, s.Elapsed, s.Unit
		}
	}
	for _, s := range b.latest {
		total.Conns += s.Conns
		total.Open += s.Open
		total.Failed += s.Failed
		total.Closed += s.Closed
		switch {
		case s.Phase != total.Phase:
		case s.Unit == "milliseconds": // the same time passes for all
			total.Done = max(total.Done, s.Done)
			total.Total = max(total.Total, s.Total)
		default:
			total.Done += s.Done
			total.Total += s.Total
		}
	}
	return total
}
