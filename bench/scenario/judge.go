package scenario

import (
	"fmt"
	"strings"
	"time"

	"roost/bench"
)

// judge lists what did not happen as expected, and what makes the numbers less
// sure.
type judge struct {
	run Run
	res *bench.Result
	sum *Report
}

// judge fills Problems and Warnings. An expected close code replaces every other
// criterion.
func (j *judge) judge() {
	r := j.res
	r.Problems, r.Warnings = []string{}, []string{}
	if j.run.Spec.ExpectClose != 0 {
		j.expectedClose()
	} else {
		j.opening()
		j.measured()
		if n := closedByServer(r) - j.provoked(); n > 0 {
			j.problem("the server ended %s: %s", plural(n, "connection"), closeTable(r))
		}
	}
	j.warn()
}

func (j *judge) problem(format string, args ...any) {
	j.res.Problems = append(j.res.Problems, fmt.Sprintf(format, args...))
}

func (j *judge) warning(format string, args ...any) {
	j.res.Warnings = append(j.res.Warnings, fmt.Sprintf(format, args...))
}

func (j *judge) expectedClose() {
	var seen int64
	for _, c := range j.res.Closes {
		if c.Code == j.run.Spec.ExpectClose {
			seen = c.Count
		}
	}
	if wanted := int64(j.run.Config.Conns); seen != wanted {
		j.problem("expected the server to close all %d connections with %d, %d were", wanted, j.run.Spec.ExpectClose, seen)
	}
}

func (j *judge) opening() {
	o := j.res.Opening
	if o.GaveUp {
		j.problem("gave up connecting after too many failures in a row")
	}
	if o.Opened < o.Wanted {
		j.problem("%d of %d connections were opened: %d failed, %d were not attempted", o.Opened, o.Wanted, o.Failed, o.NotAttempted)
	}
}

// measured looks at every part. A run in which nothing was measured does not pass.
func (j *judge) measured() {
	something := false
	for i := range j.res.Parts {
		p := &j.res.Parts[i]
		if h := p.Hold; h != nil {
			something = true
			if h.Ponged < h.Pinged {
				j.problem("%s%s did not answer the ping in the end", j.of(p), plural(h.Pinged-h.Ponged, "connection"))
			}
		}
		if m := p.Messages; m != nil {
			something = something || (m.Received > 0 && m.Latency != nil)
			j.messages(p, m)
		}
		if c := p.Churn; c != nil {
			something = something || c.Handshakes > 0
			if c.Failed > 0 {
				j.problem("%s%s failed", j.of(p), plural(c.Failed, "handshake"))
			}
		}
		if s := p.Storm; s != nil {
			something = something || s.Back > 0
			if s.Back < s.Dropped {
				j.problem("%s%d of %d connections did not come back in time", j.of(p), s.Dropped-s.Back, s.Dropped)
			}
		}
	}
	if !something {
		j.problem("nothing was measured")
		for _, p := range j.res.Parts {
			if p.Messages != nil && p.Messages.Received > 0 {
				j.warning("every message was part of the warm-up: make it shorter, or the run longer")
				return
			}
		}
	}
}

func (j *judge) messages(p *bench.Part, m *bench.Messages) {
	of := j.of(p)
	if m.Missing > 0 {
		j.problem("%s%d of %d deliveries are missing, on %s", of, m.Missing, m.Expected, plural(m.ConnsIncomplete, "connection"))
	}
	if m.Duplicate > 0 {
		j.problem("%s%d deliveries came twice", of, m.Duplicate)
	}
	if m.OutOfOrder > 0 {
		j.problem("%s%d deliveries came out of their publisher's order", of, m.OutOfOrder)
	}
	if m.Corrupt > 0 {
		j.problem("%s%d messages came with other content, or to the wrong connection", of, m.Corrupt)
	}
	if m.Refused > 0 {
		j.problem("%s%d of %d messages were refused by the URL that publishes", of, m.Refused, m.Sent)
	}
	if m.Before != nil && m.Latency != nil {
		before, under := time.Duration(m.Before.P99)*time.Microsecond, time.Duration(m.Latency.P99)*time.Microsecond
		if limit := time.Duration(float64(before) * j.run.Spec.Tolerate); under > limit {
			j.problem("%sp99 is %v under attack and was %v before: more than %g times", of, under, before, j.run.Spec.Tolerate)
		}
	}
	if m.Sent < m.Planned && !j.res.Interrupted {
		j.problem("%s%d of %d messages were sent: a publisher's connection ended, or its own messages did not come back", of, m.Sent, m.Planned)
	}
	if !m.InTime && m.Missing > 0 {
		if d := j.run.Spec.Drain; d > 0 && d < j.timeout() {
			j.problem("%sgave up %v after the last message was sent", of, d)
		} else {
			j.problem("%sgave up after %v in which nothing arrived", of, j.timeout())
		}
	}
}

// of names a part when there are several.
func (j *judge) of(p *bench.Part) string {
	if len(j.res.Parts) == 1 {
		return ""
	}
	return p.Name + ": "
}

func (j *judge) timeout() time.Duration {
	if j.run.Config.Timeout == 0 {
		return bench.DefaultTimeout
	}
	return j.run.Config.Timeout
}

// warn says what makes the numbers less sure.
func (j *judge) warn() {
	r := j.res
	if r.Client.Saturated {
		j.warning("the client's event loop was busy %.0f %% of the time: the server may do better than these numbers say, and latencies include waiting in the client",
			100*r.Client.LoopBusy)
	}
	for _, p := range r.Parts {
		m := p.Messages
		if m == nil {
			continue
		}
		if lag := time.Duration(m.SendLagUS) * time.Microsecond; lag > 10*time.Millisecond {
			j.warning("the client sent up to %v later than scheduled; latencies count from the schedule", lag.Round(time.Millisecond))
		}
		if m.Foreign > 0 {
			j.warning("%s not of this run arrived and were ignored", plural(m.Foreign, "message"))
		}
		if m.Slow != nil && m.Slow.Closed > 0 {
			j.warning("%d of %d slow readers were ended by the server: %s", m.Slow.Closed, m.Slow.Conns, closeTable(r))
		}
	}
	if c := r.Compression; c != nil && c.Refused > 0 {
		j.warning("the server did not agree to compression in %d of %d handshakes", c.Refused, c.Agreed+c.Refused)
	}
	if c := r.Compression; c != nil && c.In.Messages > 0 && c.In.Compressed == 0 {
		j.warning("no message came compressed: they are short, or do not get shorter, as generated binary ones; see --text, --message, --payload-file")
	}
	if r.Closing.Unanswered > 0 {
		j.warning("%s: the server did not answer our close frame within %v", plural(r.Closing.Unanswered, "connection"), closeTimeout(j.run.Config))
	}
	if err := j.run.Server.Err; err != nil {
		j.warning("server usage incomplete: %v", err)
	}
	if r.Interrupted {
		j.warning("interrupted: the numbers are those so far")
	}
}

// provoked is how many connections ended as was to be expected: slow readers and
// hostile ones.
func (j *judge) provoked() (n int64) {
	for _, p := range j.sum.Parts {
		if p.Traffic != nil {
			n += p.Traffic.SlowClosed
		}
		if p.Hostile != nil {
			for _, c := range p.Hostile.ByServer {
				n += c.Count
			}
		}
	}
	return n
}

func closeTimeout(cfg bench.Config) time.Duration {
	if cfg.CloseTimeout == 0 {
		return bench.DefaultCloseTimeout
	}
	return cfg.CloseTimeout
}

func closedByServer(r *bench.Result) (n int64) {
	for _, c := range r.Closes {
		n += c.Count
	}
	return n
}

func closeTable(r *bench.Result) string {
	var parts []string
	for _, c := range r.Closes {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, ", ")
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
