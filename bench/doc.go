// Package bench is a load generator for WebSocket servers. It knows the wire
// (TCP, RFC 6455) and the clock; it knows nothing of the server behind the
// wire, reads no flags, prints nothing and never exits the process.
//
// One goroutine drives everything; with Config.PID a second one reads the
// server's usage once a second. A [Client] owns an epoll loop, a table of
// connections and one receive buffer that all of them share. A connection
// owns no goroutine and no buffer: it keeps bytes only while a frame is
// incomplete or the peer does not take what was written. What the messages
// mean is the business of a [Handler]; package scenario has the ready ones.
//
// Files, in the order in which a run meets them: config, plan (sources,
// descriptors), client, dialer, handshake, conn, receive, send, frame, then
// what is measured: payload, sequence, recorder, sampler, watch, series, tally,
// result; what is kept of it: machine, recording; what is asked of it: metric,
// assert.
//
// Times inside a run are durations since the client was made, taken from the
// monotonic clock. A receive time is read once per recv(2), after it
// returned, and holds for every message in those bytes.
package bench
