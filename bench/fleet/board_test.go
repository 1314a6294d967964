package fleet

import (
	"testing"
	"time"

	"roost/bench"
)

func TestBoardAddsUp(t *testing.T) {
	var pictures []bench.Snapshot
	b := newBoard(3, func(s bench.Snapshot) { pictures = append(pictures, s) })
	second := func(start float64, deliveries int64) *bench.Second {
		return &bench.Second{Start: start, Length: 1, Deliveries: deliveries, Open: 10}
	}
	show := func(i int, s bench.Snapshot) bench.Snapshot {
		b.shown = time.Time{} // as if the last picture were long ago
		b.show(i, s)
		if len(pictures) == 0 {
			return bench.Snapshot{}
		}
		return pictures[len(pictures)-1]
	}
	show(0, bench.Snapshot{Phase: "open", Elapsed: 5, Conns: 10, Open: 4, Failed: 1, Done: 4, Total: 10, Unit: "connections"})
	show(1, bench.Snapshot{Phase: "open", Elapsed: 6, Conns: 10, Open: 5, Closed: 2, Done: 5, Total: 10, Unit: "connections"})
	if len(pictures) != 0 {
		t.Errorf("picture %+v before all have told of themselves", pictures)
	}
	got := show(2, bench.Snapshot{Phase: "settle", Elapsed: 1, Conns: 10, Open: 10, Done: 700, Total: 1000, Unit: "milliseconds"})
	want := bench.Snapshot{Phase: "open", Elapsed: 6, Conns: 30, Open: 19, Failed: 1, Closed: 2, Done: 9, Total: 20, Unit: "connections"}
	if got != want {
		t.Errorf("picture %+v, want %+v: what is done only of the phase of the last", got, want)
	}

	passing := bench.Snapshot{Phase: "settle", Elapsed: 7, Done: 300, Total: 1000, Unit: "milliseconds"}
	show(0, passing)
	show(1, passing)
	if got := show(2, passing); got.Done != 300 || got.Total != 1000 {
		t.Errorf("picture %+v, want the time that passes for all", got)
	}

	measure := bench.Snapshot{Phase: "measure", Elapsed: 8}
	tell := func(i int, s *bench.Second) *bench.Second {
		shot := measure
		shot.Last = s
		return show(i, shot).Last
	}
	tell(0, second(0.2, 1))
	if last := tell(1, second(0.1, 2)); last != nil {
		t.Errorf("second %+v before all have told of it", last)
	}
	tell(0, second(1, 10))
	if last := tell(2, second(0.3, 4)); last == nil || last.Deliveries != 7 || last.Open != 30 || last.Start != 0.1 {
		t.Errorf("second %+v, want 7 deliveries of all three", last)
	}
	tell(1, second(1, 20))
	if last := tell(2, nil); last == nil || last.Deliveries != 7 {
		t.Errorf("second %+v, want the last that is complete", last)
	}
	if last := tell(2, second(1, 40)); last.Deliveries != 70 {
		t.Errorf("second %+v, want 70 deliveries", last)
	}
	tell(0, second(2, 1)) // the others have no second of this number
	for i := range 3 {
		tell(i, second(3, 5))
	}
	if b.last.Deliveries != 15 || len(b.seconds) != 0 {
		t.Errorf("second %+v and %d kept, want the one behind to be forgotten", b.last, len(b.seconds))
	}
}

func TestBoardIsNotShownToNobody(t *testing.T) {
	b := newBoard(1, nil)
	b.show(0, bench.Snapshot{Last: &bench.Second{}})
	if len(b.seconds) != 0 || b.last != nil {
		t.Errorf("kept %v, want nothing", b.seconds)
	}
}

func TestBoardShowsTenTimesASecond(t *testing.T) {
	shown := 0
	b := newBoard(1, func(bench.Snapshot) { shown++ })
	for range 1000 {
		b.shown = time.Now().Add(time.Hour) // whatever the time it takes
		b.show(0, bench.Snapshot{})
	}
	if b.shown = (time.Time{}); shown != 0 {
		t.Errorf("%d pictures at once", shown)
	}
	if b.show(0, bench.Snapshot{}); shown != 1 {
		t.Errorf("%d pictures after a while, want 1", shown)
	}
}
