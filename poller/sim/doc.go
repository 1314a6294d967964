//go:build roostsim

// Package sim runs concurrent code one step at a time, in an order that a seed
// chooses. The code is the real one of poller, poller/socket, conn, conn/hub and
// netpoll: scripts/simulate.sh builds it from copies in which package rewrite has
// exchanged the imports sync, sync/atomic, syscall and unix for the packages below
// this folder, and each go statement for [Go]. Production builds see none of it.
//
// # Model
//
// Every goroutine is an [Actor], a coroutine of the one [World]. It can be
// interrupted wherever something is visible to others: before each atomic
// operation, before a lock is taken and after it is given back, around each system
// call, also while locks are held. Whether it is, who goes on instead and who
// is left alone for a long time (a nap) is drawn from the world's random numbers. So
// a run is a function of its seed, and every order of visible steps is possible.
//
// Blocking is visible too: an actor that waits for a mutex, a condition, a channel
// or the kernel is parked with the reason. When nobody can go on and no byte is on
// its way the world is at rest; whoever waits for a mutex then waits for ever.
//
// # Limits
//
// Memory is sequentially consistent, and accesses that are not synchronised are
// not seen: that is the race detector's part. A select statement and a channel
// that is sent to are not modelled; the code under test has neither on these paths.
// Nothing here tells the time: clocks are set by the test.
package sim
