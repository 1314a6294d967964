package scenario

import (
	"testing"
	"time"

	"roost/bench"
)

func TestWhenTheClientIsTheLimit(t *testing.T) {
	for _, test := range []struct {
		busy                  float64
		elapsed               time.Duration
		saturated, bottleneck bool
	}{
		{0.89, time.Second, false, false},
		{0.90, time.Second, true, false},
		{0.95, time.Second, true, false},
		{0.96, time.Second, true, true},
		{1, 100 * time.Millisecond, false, false}, // too short to say
	} {
		r := clientReport(bench.Load{Elapsed: test.elapsed, Busy: test.busy})
		if r.Saturated != test.saturated || r.Bottleneck != test.bottleneck {
			t.Errorf("%v busy for %v: %+v", test.busy, test.elapsed, r)
		}
	}
}

func TestListDescribesEveryScenario(t *testing.T) {
	list := List()
	if len(list) != len(Names()) {
		t.Fatalf("%d described, want %d", len(list), len(Names()))
	}
	for i, name := range Names() {
		if list[i].Name != name || list[i].Measures == "" || list[i].Server == "" {
			t.Errorf("%+v, want %s", list[i], name)
		}
	}
}
