// Package fleet plays a load with as many processes as it takes. It plans the
// run, starts the worker processes, commands them over pipes and seats them at
// the meetings of package scenario; it watches the server beside them, and adds
// up what they report. With one process nothing is started: the agent plays in
// this one.
//
// All processes share the machine's monotonic clock, so that a message sent by
// one and received by another has a latency without further ado.
package fleet
