//go:build linux

package poller

import "time"

// Stats is a snapshot of what the poller does.
type Stats struct {
	Queued int64  // registrations that wait for a worker now
	Inline uint64 // handler runs by reactors

	// Busy is, for each reactor, how long it has been at work since the start: from the
	// first event of each batch to the end of its last. The rest of the time it waited
	// in epoll_wait(2) or was on its way there.
	Busy []time.Duration
}

// Stats may be called from any goroutine.
func (p *Poller) Stats() Stats {
	st := Stats{Queued: p.pool.waiting.Load(), Inline: p.pool.ran.Load()}
	for _, re := range p.reactors {
		st.Busy = append(st.Busy, time.Duration(re.busy.Load()))
	}
	return st
}
