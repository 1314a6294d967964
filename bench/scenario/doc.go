// Package scenario says what connections do: hold, talk in a room, echo, come
// and go. A [Spec] is a whole load, groups of connections that behave alike;
// the named scenarios are presets of it, and a YAML file can describe any other.
//
// [Play] plays a spec with one bench.Client, in one process, through the same
// phases: open, settle, warm-up, measure, drain, close. It is one agent of a
// run; agents meet between the phases, over a [Seat], so that all know how many
// members a room has and what has been sent in it. What the agents report is
// added up and judged by [Conclude]. Package fleet starts agents and seats them.
//
// Memory per connection does not depend on the number of messages: a sequence
// cell per publisher, a counter and a running hash of the order. Per message of
// a room eight bytes are kept.
package scenario
