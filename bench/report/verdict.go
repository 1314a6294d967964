package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"roost/bench"
)

// direction says which values of a metric are good.
type direction int8

const (
	neither direction = iota // a number of the run itself, neither good nor bad
	lower
	higher
)

// directionOf tells by the last part of the name, since a metric may be of a part.
func directionOf(m bench.Metric) direction {
	is := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return m.Name == name || strings.HasSuffix(m.Name, "."+name) })
	}
	switch {
	case is("client_cpu", "loop_busy", "sent", "tls_resumed", "compressed"):
		return neither
	case is("rate", "connect_rate", "reach", "received", "opened"):
		return higher
	}
	return lower // latencies, memory, processor time, and counts of what went wrong
}

// summary says in words which side is better in what, as far as the runs show it.
func (p *page) summary(base, other Side, all []comparison) {
	changed := slices.DeleteFunc(slices.Clone(all), func(c comparison) bool { return c.p >= alpha })
	slices.SortStableFunc(changed, func(x, y comparison) int { return -cmp.Compare(x.effect(), y.effect()) })
	fmt.Fprintf(p, "\n%s against %s:\n", plain(other.Name), plain(base.Name))
	for _, judgement := range []string{worse, better, differs} {
		label := judgement
		for _, c := range changed {
			if c.judgement() == judgement {
				p.row(label, "%s", c.words())
				label = ""
			}
		}
	}
	needed := runsNeeded(len(base.Files), len(other.Files))
	switch {
	case needed > 0:
		p.row("too few runs", "no difference can be told from chance: %d runs of each side are needed%s%s", needed,
			missing(base, needed), missing(other, needed))
	case len(changed) == 0:
		p.row("the same", "nothing differs beyond chance in %d and %d runs", len(base.Files), len(other.Files))
	default:
		p.row("", "Of twenty metrics without any difference, chance makes one look significant.")
	}
}

// Judgements of a side against the base.
const (
	worse   = "worse"
	better  = "better"
	differs = "differs"
)

// judgement is empty where chance may have made the difference.
func (c *comparison) judgement() string {
	if c.p >= alpha {
		return ""
	}
	from, to := median(c.a), median(c.b)
	good := directionOf(c.metric)
	switch {
	case good == neither || from == to: // ranks may differ where medians do not
		return differs
	case (to > from) == (good == higher):
		return better
	}
	return worse
}

// words are such as 'p99 35 % worse (1.23 ms against 0.91 ms)'.
func (c *comparison) words() string {
	from, to := median(c.a), median(c.b)
	name := strings.ReplaceAll(plain(c.metric.Name), "_", joint)
	format := func(v float64) string { return strings.ReplaceAll(c.metric.Unit.Format(v), " ", joint) }
	how, suffix := c.judgement(), ""
	if how == differs {
		how = map[bool]string{true: "more", false: "less"}[to > from]
	} else {
		suffix = ", " + how
	}
	switch factor := to / from; {
	case from <= 0 || from == to: // no ratio says anything
	case factor >= 10:
		how = fmt.Sprintf("%.0fx as much%s", factor, suffix)
	case factor >= 2:
		how = fmt.Sprintf("%.1fx as much%s", factor, suffix)
	case math.Abs(factor-1) < 0.005:
		how = "less than 1" + joint + "% " + how
	default:
		how = fmt.Sprintf("%.0f"+joint+"%% %s", 100*math.Abs(factor-1), how)
	}
	return fmt.Sprintf("%s %s (%s against %s)", name, how, format(to), format(from))
}

// effect orders differences by their size, in either direction.
func (c *comparison) effect() float64 {
	from, to := median(c.a), median(c.b)
	if from == to {
		return 0
	}
	return math.Abs(math.Log(to / from)) // of nothing to something: endless
}

// runsNeeded is how many runs of each side the U test needs to call any difference
// significant; 0: there are enough. Of all ways to order the runs, the two that
// keep the sides apart must be rarer than alpha.
func runsNeeded(n1, n2 int) int {
	enough := func(n1, n2 int) bool {
		orders := math.Gamma(float64(n1+n2+1)) / math.Gamma(float64(n1+1)) / math.Gamma(float64(n2+1))
		return n1+n2 > 100 || 2/orders < alpha
	}
	if min(n1, n2) > 1 && enough(n1, n2) {
		return 0
	}
	n := 2
	for !enough(n, n) {
		n++
	}
	return n
}

func missing(s Side, needed int) string {
	if more := needed - len(s.Files); more > 0 {
		return fmt.Sprintf(", %d more of %s", more, plain(s.Name))
	}
	return ""
}
