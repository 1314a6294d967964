// Command roost-bench puts load on a WebSocket server, checks what comes back,
// and records it: a run is made once and reported any number of times.
//
//	roost-bench run --url ws://127.0.0.1:8000/ws --scenario broadcast --conns 15000
//	roost-bench run --url wss://localhost:8443/ws --ca cert.pem --compress --scenario echo
//	roost-bench report --format html -o report.html results/broadcast-*.json
//	roost-bench compare old=results/old new=results/new
//	roost-bench ls-scenarios
//
// It turns flags into a bench.Config and scenario.Options, shows progress on
// standard error and the report on standard output. It knows nothing about
// sockets or about the server.
//
// Exit codes: 0 everything expected happened; 1 connections or deliveries were
// lost, nothing was measured, or an assertion failed; 2 wrong usage, or the
// machine's limits do not allow the run; 3 roost-bench itself was the
// bottleneck.
//
// Code 3 needs two things. The client's loop was busy for more than 95 % of the
// measured part, so that rates and latencies are its own. And they matter:
// --strict was given, or an assertion on a rate or a latency; such an assertion
// then neither passes nor fails. Without those the report says so and the code
// is 0, since that nothing was lost is true however busy the client was. What
// is lost, or fails for another reason, has code 1 in any case.
package main
