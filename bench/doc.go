// Package bench is a load generator for WebSocket servers. It knows the wire
// (TCP, TLS, RFC 6455, RFC 7692) and the clock; it knows nothing of the server
// behind the wire, reads no flags, prints nothing and never exits the process.
//
// One goroutine drives everything. A [Client] owns an epoll loop, a table of
// connections and one receive buffer that all of them share. A connection owns
// no goroutine and no buffer: it keeps bytes only while a frame is incomplete
// or the peer does not take what was written. With TLS it has a session, whose
// handshake is a coroutine of that goroutine. What the messages mean is the
// business of a [Handler]; package scenario has the ready ones, and package
// fleet shares a run out to several processes.
//
// Files, in the order in which a run meets them: config, plan (sources,
// descriptors), pace, client, dialer, trust, tls, secure, fault (of TLS),
// handshake, extension, conn, receive, inflate, slow, send, deflate, frame, then
// what is measured: payload, sequence, recorder, spread, sampler, watch, scrape,
// series, tally, condition, result; what is kept of it: machine, recording; what
// is asked of it: metric, assert.
//
// Times inside a run are durations on its clock, which is the monotonic one of
// the machine, see Config.Epoch. A receive time is read once per recv(2), after it
// returned, and holds for every message in those bytes.
package bench
