package scenario_test

import (
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"roost/bench"
	"roost/bench/scenario"
)

// mentions checks that an error says every word.
func mentions(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not mentioned in: %v", word, err)
		}
	}
}

func TestSpecReportsEveryFault(t *testing.T) {
	limited := pace(t, "10/s")
	spec := scenario.Spec{
		Settle: -1, WarmUp: -1, WarmUpMessages: -1, Duration: -1, Drain: -1, Expect: "(", ExpectClose: 7,
		Groups: []scenario.Group{
			{Role: "talk", Conns: 1},
			{Name: "two words", Role: scenario.Hold, Rate: limited},
			{Name: "twice", Role: scenario.Echo, Conns: 1, Payload: scenario.Payload{Bytes: "3"}, InFlight: -1},
			{Name: "twice", Role: scenario.Echo, Conns: 1, Payload: scenario.Payload{Bytes: "many"}, Messages: -1},
			{Name: "reader", Role: scenario.Echo, Conns: 1, ReadRate: 5},
			{Name: "churn", Role: scenario.Churn, Conns: 1, Leave: "slam"},
			{Name: "storm", Role: scenario.Storm, Conns: 1, Leave: scenario.LeaveClose},
			{Name: "post", Role: scenario.Listen, Conns: 1, PublishURL: "ws://127.0.0.1:1/", InFlight: 5000},
			{Name: "file", Role: scenario.Publish, Conns: 1, Payload: scenario.Payload{File: "none", Templates: []string{"x"}}},
			{Name: "unordered", Role: scenario.Publish, Conns: 2, Payload: scenario.Payload{Templates: []string{"x"}}},
		},
	}
	mentions(t, spec.Validate(), "settle: -1ns", "warm-up: -1ns", "warm-up messages: -1", "duration: -1ns", "drain: -1ns", "expect: ",
		"expected close code: 7", `role: "talk"`, `group "two words"`, "connections: 0", "role hold sends nothing", "there are two of this name",
		"in flight: -1", "3 to 3 bytes", `payload "many"`, "messages: -1", "only connections of role listen can be slow", `leave: "slam"`,
		"fin or rst", "churn closes its connections itself", "publish URL", "in flight: 5000", "want one of them", "single publisher, not 3")
}

func TestSpecKeepsToWhatCanBeChecked(t *testing.T) {
	for words, groups := range map[string][]scenario.Group{
		"groups: 0":                     nil,
		"nobody publishes":              {{Role: scenario.Listen, Conns: 1}},
		"no connection listens":         {{Role: scenario.Publish, PublishURL: "http://127.0.0.1:1/"}},
		"more than the 67108864 pairs":  {{Role: scenario.Publish, Conns: 10_000}},
		"need an end":                   {{Role: scenario.Echo, Conns: 1, Payload: scenario.Payload{Templates: []string{"x"}}}},
		"payload file":                  {{Role: scenario.Echo, Conns: 1, Payload: scenario.Payload{File: filepath.Join(t.TempDir(), "none")}}},
		"groups: 101":                   make([]scenario.Group, 101),
		"want http://host:port/path":    {{Role: scenario.Publish, PublishURL: "http:///x"}},
		"takes the place of the connec": {{Role: scenario.Publish, Conns: 1, PublishURL: "http://127.0.0.1:1/"}},
	} {
		mentions(t, scenario.Spec{Groups: groups}.Validate(), words)
	}
}

func TestPresetsRefuseWhatTheyCannotDo(t *testing.T) {
	for words, test := range map[string]struct {
		name string
		opt  scenario.Options
	}{
		"want one of idle, broadcast":        {"ramp", scenario.Options{Conns: 1}},
		"active connections: 9 of 8":         {scenario.NameMix, scenario.Options{Conns: 8, Active: 9}},
		"slow share: 2":                      {scenario.NameSlow, scenario.Options{Conns: 8, SlowShare: 2}},
		"publishers: 9 and 0 slow readers":   {scenario.NameBroadcast, scenario.Options{Conns: 8, Publishers: 9}},
		"publishers: 8 and 1 slow readers":   {scenario.NameSlow, scenario.Options{Conns: 8, Publishers: 8}},
		"publishers: -1 and 0 slow readers,": {scenario.NameFlood, scenario.Options{Conns: 8, Publishers: -1}},
	} {
		_, err := scenario.Preset(test.name, test.opt)
		mentions(t, err, words)
	}
}

// TestSplitSharesEverything splits a load in every way and adds it up again.
func TestSplitSharesEverything(t *testing.T) {
	spec := scenario.Spec{
		Ramp: pace(t, "1000/s"),
		Groups: []scenario.Group{
			{Role: scenario.Listen, Conns: 100, Ramp: pace(t, "70/s")},
			{Role: scenario.Publish, Conns: 7, Rate: pace(t, "210/s"), Messages: 50},
			{Name: "url", Role: scenario.Publish, PublishURL: "http://127.0.0.1:1/", Rate: pace(t, "9/s")},
			{Role: scenario.Echo, Conns: 1, Rate: pace(t, "3/s"), Messages: 4},
			{Role: scenario.Churn, Conns: 13},
		},
	}
	for n := 1; n <= 20; n++ {
		conns := make([]int, len(spec.Groups))
		rates := make([]float64, len(spec.Groups))
		var ramp, listenRamp float64
		urls := 0
		next := []int{0, 100, 107, 107, 108} // the first number of each group
		for _, share := range spec.Split(n) {
			if len(share.Groups) != len(spec.Groups) {
				t.Fatalf("%d agents: %d groups, want %d in each", n, len(share.Groups), len(spec.Groups))
			}
			ramp += perSecond(t, share.Ramp)
			listenRamp += perSecond(t, share.Groups[0].Ramp)
			for i, g := range share.Groups {
				if g.First != next[i] {
					t.Errorf("%d agents, group %d: numbers from %d, want %d", n, i, g.First, next[i])
				}
				next[i] += g.Conns
				conns[i] += g.Conns
				if g.Conns > 0 {
					rates[i] += perSecond(t, g.Rate)
				}
				if g.PublishURL != "" {
					urls++
					rates[i] += perSecond(t, g.Rate)
				}
				if g.Messages != spec.Groups[i].Messages {
					t.Errorf("%d agents: %d messages, want those of the whole", n, g.Messages)
				}
			}
		}
		for i, g := range spec.Groups {
			if want := perSecond(t, g.Rate); conns[i] != g.Conns || math.Abs(rates[i]-want) > 1e-6 {
				t.Errorf("%d agents, group %d: %d connections at %v/s, want %d at %v", n, i, conns[i], rates[i], g.Conns, want)
			}
		}
		if math.Abs(ramp-1000) > 1e-6 || math.Abs(listenRamp-70) > 1e-6 || urls != 1 {
			t.Errorf("%d agents: ramps %v and %v, %d URLs; want 1000, 70 and 1", n, ramp, listenRamp, urls)
		}
	}
}

// perSecond is the rate of a constant pace; 0 without a limit.
func perSecond(t *testing.T, p bench.Pace) float64 {
	t.Helper()
	rate, err := strconv.ParseFloat(strings.TrimSuffix(p.String(), "/s"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return rate
}
