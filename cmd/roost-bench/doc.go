// Command roost-bench puts load on a WebSocket server and checks what comes
// back.
//
//	roost-bench run --url ws://127.0.0.1:8000/ws --scenario broadcast --conns 15000
//
// It turns flags into a bench.Config and scenario.Options, shows progress on
// standard error and the report on standard output. It knows nothing about
// sockets or about the server.
//
// Exit codes: 0 everything expected happened; 1 connections or deliveries were
// lost, or nothing was measured; 2 wrong usage, or the machine's limits do not
// allow the run.
package main
