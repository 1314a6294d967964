package bench

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Pace is a rate per second that may change in the course of a run. The zero
// value has no limit. Its text is one of
//
//	5000/s                constant
//	100/s-5000/s:10s      from 100 to 5,000 per second in ten seconds, then that
//	1000/s+500/s:5s       1,000 per second, and 500 more every five seconds
//
// and, with poisson: before it, the same on average, with gaps of exponential
// distribution, as those of independent users are.
type Pace struct {
	shape  shape
	first  float64 // per second, at the start
	then   float64 // linear: per second, at the end; step: how much more
	within time.Duration
	random bool
}

type shape uint8

const (
	unlimited shape = iota
	constant
	linear
	step
)

// ErrPace is returned for a text that is no pace.
var ErrPace = errors.New("want a rate such as 5000/s, a ramp 100/s-5000/s:10s or steps 1000/s+500/s:5s; poisson: before it for random gaps; 0 for no limit")

// ParsePace reads the text of a pace.
func ParsePace(text string) (Pace, error) {
	fault := fmt.Errorf("pace %q: %w", text, ErrPace)
	rest, random := strings.CutPrefix(strings.TrimSpace(text), "poisson:")
	p := Pace{shape: constant, random: random}
	head, within, long := strings.Cut(rest, ":")
	if at := strings.IndexAny(head, "-+"); at > 0 {
		p.shape = linear
		if head[at] == '+' {
			p.shape = step
		}
		var err error
		if p.within, err = time.ParseDuration(within); err != nil || p.within <= 0 {
			return Pace{}, fault
		}
		if p.then, err = parseRate(head[at+1:]); err != nil || p.then <= 0 {
			return Pace{}, fault
		}
		head = head[:at]
	} else if long {
		return Pace{}, fault
	}
	var err error
	if p.first, err = parseRate(head); err != nil {
		return Pace{}, fault
	}
	if p.first == 0 && p.shape != linear {
		if random || p.shape == step {
			return Pace{}, fault
		}
		return Pace{}, nil
	}
	return p, nil
}

// parseRate reads a number with or without /s.
func parseRate(text string) (float64, error) {
	rate, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(text), "/s"), 64)
	if err == nil && !(rate >= 0 && rate <= 1e9) {
		err = ErrPace
	}
	return rate, err
}

// UnmarshalText is ParsePace, for flags and files.
func (p *Pace) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePace(string(text))
	return err
}

// MarshalText is String.
func (p Pace) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String is the text that ParsePace reads.
func (p Pace) String() string {
	// Without an exponent, whose sign ParsePace would take for that of a ramp.
	number := func(rate float64) string { return strconv.FormatFloat(rate, 'f', -1, 64) + "/s" }
	text := number(p.first)
	switch p.shape {
	case unlimited:
		return "0"
	case linear:
		text += "-" + number(p.then) + ":" + p.within.String()
	case step:
		text += "+" + number(p.then) + ":" + p.within.String()
	}
	if p.random {
		return "poisson:" + text
	}
	return text
}

// Limited tells whether there is a rate at all.
func (p Pace) Limited() bool { return p.shape != unlimited }

// Share is the pace of one who does a share of the whole, above 0 to 1. Who does
// nothing needs no pace and gets none.
func (p Pace) Share(share float64) Pace {
	if share <= 0 {
		return Pace{}
	}
	p.first *= share
	p.then *= share
	return p
}

// due is when x events have happened on average: the inverse of the integral
// of the rate.
func (p Pace) due(x float64) time.Duration {
	var seconds float64
	within := p.within.Seconds()
	switch p.shape {
	case constant:
		seconds = x / p.first
	case linear:
		if ramp := (p.first + p.then) / 2 * within; x > ramp {
			seconds = within + (x-ramp)/p.then
			break
		}
		// first t + slope t²/2 = x, in the form that bears a slope of 0.
		slope := (p.then - p.first) / within
		if x > 0 {
			seconds = 2 * x / (p.first + math.Sqrt(p.first*p.first+2*slope*x))
		}
	case step:
		// k whole steps bring within (first k + then k (k-1)/2) events; the root
		// again in the form that loses no digits. One step too many or too few
		// makes no difference at their common end.
		b, k := p.first-p.then/2, 0.0
		if root := math.Sqrt(b*b + 2*p.then*x/within); b < 0 {
			k = math.Floor((root - b) / p.then)
		} else if x > 0 {
			k = math.Floor(2 * x / within / (b + root))
		}
		rest := x - within*(p.first*k+p.then*k*(k-1)/2)
		seconds = within*k + rest/(p.first+p.then*k)
	}
	return time.Duration(min(seconds, 1e9) * float64(time.Second))
}

// Pacer walks along a Pace. It belongs to one goroutine.
type Pacer struct {
	pace Pace
	x    float64 // events so far, on the scale of the average
}

// NewPacer starts at the first event.
func NewPacer(p Pace) Pacer { return Pacer{pace: p} }

// Due is when the next event is, from the start; always 0 without a limit.
func (p *Pacer) Due() time.Duration { return p.pace.due(p.x) }

// Next goes on to the event after that.
func (p *Pacer) Next() {
	if p.pace.random {
		p.x += rand.ExpFloat64()
		return
	}
	p.x++
}
