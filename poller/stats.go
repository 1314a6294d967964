//go:build linux

package poller

// Stats is a snapshot of what the poller does.
type Stats struct {
	Queued int64  // registrations that wait for a worker now
	Inline uint64 // handler runs by reactors
}

// Stats may be called from any goroutine.
func (p *Poller) Stats() Stats {
	return Stats{Queued: p.pool.waiting.Load(), Inline: p.pool.ran.Load()}
}
