//go:build roostsim

package simtest

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"roost/poller/sim"
	"roost/poller/sim/kernel"
)

var (
	first  = flag.Uint64("first", 1, "the first seed")
	count  = flag.Uint64("count", 200, "how many seeds")
	stride = flag.Uint64("stride", 1, "from one seed to the next")
	trace  = flag.Bool("trace", false, "print every step")
	quiet  = flag.Bool("quiet", false, "print no progress")
)

// limit is how many steps a run may take. The longest take a tenth of it.
const limit = 2_000_000

// play runs one seed and returns its failure, "" for none.
func play(seed uint64, lines *[]string) (failure string, steps int) {
	w := sim.New(seed, limit)
	w.Trace = lines
	kernel.New(w)
	r := newRun(w)
	if r.kernel.Opened == 0 {
		return "the code under test is not rewritten: build with the overlay of scripts/simulate.sh", 0
	}
	for range r.phases {
		if !r.phase() {
			return w.Failure(), w.Steps
		}
	}
	graceful := !sim.Chance(4)
	sim.Go("stopper", func() { r.stop(graceful) })
	patience := 3 + sim.Pick(20)
	for i := 0; !r.done && i < 30; i++ {
		if i > 2 {
			for _, c := range r.clients {
				c.appetite = -1
			}
		}
		if !r.phase() {
			return w.Failure(), w.Steps
		}
		if i >= patience {
			r.over.End()
			r.empty.Wake(1)
		}
	}
	for i := 0; i < 100 && w.Alive() > 0 && w.Failure() == ""; i++ {
		for _, c := range r.clients {
			c.appetite = -1
		}
		r.goOn()
		w.Rest()
	}
	if w.Failure() == "" {
		r.atEnd()
	}
	return w.Failure(), w.Steps
}

// phase lets the world come to rest, looks at it, and gives it something to do.
func (r *run) phase() bool {
	if !r.draining {
		for range sim.Pick(r.plan.clients + 1) {
			r.connect()
		}
	}
	if sim.Chance(2) {
		name := fmt.Sprintf("stranger%d", r.strangers)
		r.strangers++
		sim.Go(name, func() { r.stranger(name) })
	}
	if r.draining || sim.Chance(2) {
		sim.Go("sweeper", r.sweep)
	}
	for _, s := range r.sessions {
		if s.paused && sim.Chance(2) {
			sim.Go("resumer", func() { s.pause(false) })
		}
	}
	for _, c := range r.clients {
		if c.appetite >= 0 && !sim.Chance(3) {
			c.appetite += sim.Pick(200)
		}
	}
	r.goOn()
	if r.world.Rest(); r.world.Failure() == "" {
		r.atRest()
	}
	return r.world.Failure() == ""
}

// goOn lets clients go on that have paused.
func (r *run) goOn() {
	r.think.Wake(r.think.Len())
	r.hungry.Wake(r.hungry.Len())
}

func TestSeeds(t *testing.T) {
	start, told, steps, most := time.Now(), time.Now(), 0, 0
	for i := range *count {
		seed := *first + i**stride
		var lines []string
		var into *[]string
		if *trace {
			into = &lines
		}
		failure, n := play(seed, into)
		steps += n
		most = max(most, n)
		for _, line := range lines {
			fmt.Println(line)
		}
		if failure != "" {
			fmt.Printf("seed %d fails after %d seeds and %d steps: %s\n  replay it with: scripts/simulate.sh --replay %d\n", seed, i+1, n, failure, seed)
			os.Exit(1)
		}
		if !*quiet && time.Since(told) > 5*time.Second {
			told = time.Now()
			fmt.Printf("%6d seeds, %d steps, %.0f seeds/s\n", i+1, steps, float64(i+1)/time.Since(start).Seconds())
		}
	}
	if !*quiet {
		fmt.Printf("%6d seeds, %d steps, at most %d in one, in %.1f s\n", *count, steps, most, time.Since(start).Seconds())
	}
}

// A seed is a run: nothing else, such as the time or an address, may decide anything.
func TestReplay(t *testing.T) {
	for seed := range uint64(20) {
		var a, b []string
		play(seed, &a)
		play(seed, &b)
		if !slices.Equal(a, b) {
			for i := range a {
				if i >= len(b) || a[i] != b[i] {
					t.Fatalf("seed %d differs at line %d:\n%s\n%s", seed, i, a[i], strings.Join(b[i:min(i+1, len(b))], ""))
				}
			}
			t.Fatalf("seed %d is longer the second time", seed)
		}
	}
}
