//go:build linux

package poller

import "github.com/mailru/easygo/netpoll"

// reactor is one epoll instance with the goroutine that waits on it.
type reactor struct {
	// Static after New.
	poller *Poller
	epoll  epoll

	// Owned by the goroutine in epoll_wait.
	worker *Worker
}

// helpMost bounds how many registrations a reactor runs after one event, so that
// it gets back to the events behind it.
const helpMost = 4

func (re *reactor) add(r *Registration, fd int) error {
	return re.epoll.add(fd, r.dispatch)
}

func (re *reactor) del(fd int) {
	// The error says that fd was not registered or the epoll instance is closed:
	// either way no further event will come.
	_ = re.epoll.Del(fd)
}

// dispatch runs in the reactor's goroutine for every event of this registration.
// It hands the registration to the pool; only when the pool is behind does it run
// handlers, up to helpMost, not necessarily this one's. It is a method of
// Registration so that the callback netpoll keeps costs one pointer (a 16-byte closure).
func (r *Registration) dispatch(ev netpoll.EpollEvent) {
	r.mark(events(ev))
	r.reactor.help()
}

// help takes work off a pool that has fallen behind.
func (re *reactor) help() {
	pool := &re.poller.pool
	for range helpMost {
		r := pool.surplus()
		if r == nil {
			return
		}
		pool.helped.Add(1)
		pool.run(re.worker, r)
	}
}
