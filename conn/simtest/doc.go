//go:build roostsim

// Package simtest runs a whole server in the simulator of package poller/sim: poller,
// conn and conn/hub, composed as package conn/server does it, with a handful of
// clients, a stranger that calls every method at any time, a clock, and a shutdown at
// the end. Sizes, limits and faults are drawn from the seed.
//
// Whenever the world is at rest, nothing may be left undone: see rest_test.go. What
// each client received is compared with what it was sent: see reader_test.go.
package simtest
