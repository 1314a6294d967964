package scenario

import (
	"testing"
	"time"
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
		r := (&Effort{Elapsed: test.elapsed, Busy: test.busy}).report(0)
		if r.Saturated != test.saturated || r.Bottleneck != test.bottleneck {
			t.Errorf("%v busy for %v: %+v", test.busy, test.elapsed, r)
		}
	}
}

func TestPresetsAreDescribedAndValid(t *testing.T) {
	for _, info := range Presets() {
		if info.Measures == "" || info.Server == "" {
			t.Errorf("%+v: want what it measures and which server it needs", info)
		}
		spec, err := Preset(info.Name, Options{Conns: 100, Messages: -1, Duration: time.Second})
		if err == nil {
			err = spec.Validate()
		}
		if err != nil || spec.Conns() != 100 || spec.Name != info.Name {
			t.Errorf("%s: %d connections, error %v; want 100", info.Name, spec.Conns(), err)
		}
	}
}
