//go:build roostsim

// Package sync stands in for the standard one in a simulation: waiting is visible
// to the scheduler, and others may come between before a lock is taken and after
// it is given back. Nothing is fair, and Signal wakes anyone.
package sync

import "roost/poller/sim"

// Locker is the standard one.
type Locker interface {
	Lock()
	Unlock()
}

// Mutex is not fair.
type Mutex struct {
	locked bool
	queue  sim.Queue
}

func (m *Mutex) Lock() {
	sim.Step("lock")
	for m.locked {
		m.queue.Park("mutex")
	}
	m.locked = true
}

func (m *Mutex) TryLock() bool {
	sim.Step("try lock")
	if m.locked {
		return false
	}
	m.locked = true
	return true
}

func (m *Mutex) Unlock() {
	if !m.locked {
		sim.Fail("unlock of an unlocked mutex")
	}
	m.locked = false
	m.queue.Wake(m.queue.Len())
	sim.Step("unlocked")
}

// RWMutex prefers nobody.
type RWMutex struct {
	writer  bool
	readers int
	queue   sim.Queue
}

func (m *RWMutex) Lock() {
	sim.Step("lock")
	for m.writer || m.readers > 0 {
		m.queue.Park("mutex")
	}
	m.writer = true
}

func (m *RWMutex) Unlock() {
	m.writer = false
	m.queue.Wake(m.queue.Len())
	sim.Step("unlocked")
}

func (m *RWMutex) RLock() {
	sim.Step("read lock")
	for m.writer {
		m.queue.Park("mutex")
	}
	m.readers++
}

func (m *RWMutex) RUnlock() {
	if m.readers--; m.readers < 0 {
		sim.Fail("read unlock of an unlocked mutex")
	}
	m.queue.Wake(m.queue.Len())
	sim.Step("read unlocked")
}

// Cond remembers a signal for one who has unlocked and does not wait yet.
type Cond struct {
	L       Locker
	tickets []*ticket
}

type ticket struct {
	signalled bool
	queue     sim.Queue
}

func NewCond(l Locker) *Cond { return &Cond{L: l} }

func (c *Cond) Wait() {
	t := new(ticket)
	c.tickets = append(c.tickets, t)
	c.L.Unlock()
	for !t.signalled {
		t.queue.Park("condition")
	}
	c.L.Lock()
}

func (c *Cond) Signal() {
	sim.Step("signal")
	if n := len(c.tickets); n > 0 {
		i := sim.Pick(n)
		t := c.tickets[i]
		c.tickets = append(c.tickets[:i:i], c.tickets[i+1:]...)
		t.wake()
	}
}

func (c *Cond) Broadcast() {
	sim.Step("broadcast")
	for _, t := range c.tickets {
		t.wake()
	}
	c.tickets = nil
}

func (t *ticket) wake() {
	t.signalled = true
	t.queue.Wake(1)
}

// WaitGroup counts as the standard one does.
type WaitGroup struct {
	n     int
	queue sim.Queue
}

func (g *WaitGroup) Add(n int) {
	sim.Step("add")
	if g.n += n; g.n < 0 {
		sim.Fail("negative WaitGroup counter")
	}
	if g.n == 0 {
		g.queue.Wake(g.queue.Len())
	}
}

func (g *WaitGroup) Done() { g.Add(-1) }

func (g *WaitGroup) Wait() {
	sim.Step("wait")
	for g.n > 0 {
		g.queue.Park("group")
	}
}

// Once holds others up while the first runs.
type Once struct {
	mu   Mutex
	done bool
}

func (o *Once) Do(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.done {
		defer func() { o.done = true }()
		f()
	}
}
