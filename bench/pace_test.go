package bench

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"
)

func TestParsePace(t *testing.T) {
	for text, want := range map[string]string{
		"5000/s":                "",
		"0.25/s":                "",
		"1000000/s":             "",
		"0.00001/s":             "",
		"100/s-5000/s:10s":      "",
		"5000/s-1/s:1m30s":      "",
		"0/s-100/s:500ms":       "",
		"70/s-70/s:1s":          "",
		"1000/s+500/s:5s":       "",
		"poisson:5000/s":        "",
		"poisson:0/s-2000/s:2s": "",
		"poisson:10/s+2.5/s:1s": "",
		"0":                     "",
		"5000":                  "5000/s",
		"0/s":                   "0",
		"1e3/s":                 "1000/s",
		"1-2:3s":                "1/s-2/s:3s",
	} {
		p, err := ParsePace(text)
		if want == "" {
			want = text
		}
		if err != nil || p.String() != want {
			t.Errorf("%q was read as %q, error %v; want %q", text, p, err, want)
			continue
		}
		if again, err := ParsePace(p.String()); err != nil || again != p {
			t.Errorf("%q was read as %+v, what that writes as %+v, error %v", text, p, again, err)
		}
		var decoded struct{ Pace Pace }
		encoded, err := json.Marshal(struct{ Pace Pace }{p})
		if err == nil {
			err = json.Unmarshal(encoded, &decoded)
		}
		if err != nil || decoded.Pace != p {
			t.Errorf("%q through JSON: %s, %+v, error %v", text, encoded, decoded.Pace, err)
		}
	}
	if p, err := ParsePace(" 20 "); err != nil || p.String() != "20/s" {
		t.Errorf("with spaces: %v, error %v", p, err)
	}
	for _, text := range []string{
		"", "fast", "-5/s", "5/m", "5/s:10s", "5/s/s", "NaN/s", "Inf/s", "2e9/s", "poisson:", "poisson:0", "Poisson:5/s",
		"1/s-2/s", "1/s-2/s:", "1/s-2/s:10", "1/s-2/s:-1s", "1/s-2/s:0s", "1/s-0/s:1s", "0/s-0/s:1s", "-/s:1s", "1/s-:1s", "1/s-2/s-3/s:1s",
		"1/s+2/s", "0/s+2/s:1s", "1/s+0/s:1s", "1/s+2/s:x", "1e+3/s", "1 + 2 /s:60s",
	} {
		if p, err := ParsePace(text); !errors.Is(err, ErrPace) {
			t.Errorf("%q was read as %v, error %v; want ErrPace", text, p, err)
		}
	}
	var p Pace
	if err := p.UnmarshalText([]byte("5/m")); !errors.Is(err, ErrPace) {
		t.Errorf("UnmarshalText: error %v, want ErrPace", err)
	}
}

// FuzzParsePace wants whatever is accepted to mean the same once it is written,
// and its events to be due in order.
func FuzzParsePace(f *testing.F) {
	for _, text := range []string{"5000/s", "0.5/s-1e6/s:10s", "poisson:1/s+2/s:5m", "0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePace(text)
		if err != nil {
			return
		}
		if again, err := ParsePace(p.String()); err != nil || again != p {
			t.Fatalf("%q was read as %+v, what that writes as %+v, error %v", text, p, again, err)
		}
		last := time.Duration(0)
		for x := range 20 {
			due := p.due(float64(x))
			if margin := time.Microsecond + last/1e9; due < last-margin { // of rounding
				t.Fatalf("%q: event %d is due at %v, the one before at %v", text, x, due, last)
			}
			last = due
		}
	})
}

// rateAt is what the texts of TestDueInvertsTheIntegral mean, said once more.
func rateAt(p Pace, t float64) float64 {
	within := p.within.Seconds()
	switch p.shape {
	case linear:
		return p.first + (p.then-p.first)*min(t, within)/within
	case step:
		return p.first + p.then*math.Floor(t/within)
	}
	return p.first
}

// TestDueInvertsTheIntegral adds up the rate in small steps of time until an
// event is due: there must have been as many.
func TestDueInvertsTheIntegral(t *testing.T) {
	for _, text := range []string{
		"50/s", "0.5/s", "10/s-200/s:3s", "200/s-10/s:3s", "0/s-100/s:2s", "80/s-80/s:2s", "100/s-100.0001/s:2s", "20/s+30/s:500ms", "1/s+1/s:3s", "1/s+90/s:1s", "50/s+100/s:700ms",
		"0.1/s+0.1/s:100ms",
	} {
		p, err := ParsePace(text)
		if err != nil {
			t.Fatal(err)
		}
		pacer := NewPacer(p)
		const step = 20e-6
		now, sum, last := 0.0, 0.0, time.Duration(-1)
		for event := range 400 {
			due := pacer.Due()
			if due < last {
				t.Fatalf("%s: event %d is due at %v, the one before at %v", text, event, due, last)
			}
			last = due
			if due > 6*time.Second {
				break
			}
			for ; now < due.Seconds(); now += step {
				sum += rateAt(p, now+step/2) * min(step, due.Seconds()-now)
			}
			now = due.Seconds()
			if math.Abs(sum-float64(event)) > 0.02 {
				t.Fatalf("%s: event %d is due at %v, when there have been %.3f", text, event, due, sum)
			}
			pacer.Next()
		}
	}
}

func TestPaceOfShares(t *testing.T) {
	for _, text := range []string{"80/s", "0/s-100/s:2s", "10/s+10/s:1s"} {
		p, err := ParsePace(text)
		if err != nil {
			t.Fatal(err)
		}
		for x := range 50 {
			whole, quarter := p.due(float64(4*x)), p.Share(0.25).due(float64(x))
			if d := whole - quarter; d < -time.Microsecond || d > time.Microsecond {
				t.Errorf("%s: event %d at %v, of a quarter %d at %v", text, 4*x, whole, x, quarter)
			}
		}
	}
}

func TestNoPace(t *testing.T) {
	var p Pace
	pacer := NewPacer(p)
	for range 3 {
		if p.Limited() || pacer.Due() != 0 {
			t.Errorf("limited %v, due %v; want no limit", p.Limited(), pacer.Due())
		}
		pacer.Next()
	}
	if p, err := ParsePace("1/s"); err != nil || !p.Limited() {
		t.Errorf("1/s is no limit, error %v", err)
	}
}

// TestPoissonGaps: gaps of an exponential distribution have a variance of the
// square of their mean. The margins are so wide that chance alone fails less
// than once in a billion runs.
func TestPoissonGaps(t *testing.T) {
	p, err := ParsePace("poisson:1000/s")
	if err != nil {
		t.Fatal(err)
	}
	const n, mean = 200_000, 1e-3
	pacer := NewPacer(p)
	var sum, squares float64
	last := pacer.Due()
	if last != 0 {
		t.Errorf("the first event is due at %v, want 0", last)
	}
	for range n {
		pacer.Next()
		due := pacer.Due()
		gap := (due - last).Seconds()
		if gap < 0 {
			t.Fatalf("due at %v after %v", due, last)
		}
		sum += gap
		squares += (gap - mean) * (gap - mean)
		last = due
	}
	if got, margin := sum/n, 6*mean/math.Sqrt(n); math.Abs(got-mean) > margin {
		t.Errorf("mean %v s, want %v with a margin of %v", got, mean, margin)
	}
	// The square of such a gap's deviation has a variance of 8 mean^4, and a long
	// tail: hence ten times its standard error.
	if got, want, margin := squares/n, mean*mean, 10*mean*mean*math.Sqrt(8.0/n); math.Abs(got-want) > margin {
		t.Errorf("variance %v s², want %v with a margin of %v", got, want, margin)
	}
}
