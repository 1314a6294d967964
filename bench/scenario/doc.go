// Package scenario has the ready-made loads: idle, broadcast, echo and churn.
// Each drives a bench.Client through the same stages (open, settle, the
// measured part, close), judges what it saw and returns a bench.Result. It
// knows what messages mean and what counts as lost; it knows no sockets.
//
// Memory per connection does not depend on the number of messages: a
// sequence cell per publisher, a counter and a running hash of the order.
package scenario
