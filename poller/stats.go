//go:build linux

package poller

// Stats is a snapshot of what the poller does.
type Stats struct {
	Queued int64  // registrations that wait for a worker now
	Helped uint64 // handler runs that reactors took over because the pool was behind
}

// Stats may be called from any goroutine.
func (p *Poller) Stats() Stats {
	return Stats{Queued: p.pool.waiting.Load(), Helped: p.pool.helped.Load()}
}
