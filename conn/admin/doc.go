// Package admin is what an operator sees of a server, and what operators and back ends
// do to it: metrics for Prometheus, health and readiness, the slowest connections
// and their close, the memory of a connection, profiles, and a dashboard; and the
// publishing of messages, which README.md describes.
//
// It is a plain net/http server on an address of its own, for few and trusted
// clients; it shares nothing with the connections it tells of. Everything it shows
// it asks the [server.Server] for. It knows nothing of flags and of the log's format.
//
// # Who may ask
//
// Without a token the listener is bound to a loopback address or a unix socket, and
// answers requests for such a host only: a page that a browser was lured to under a
// name of its own (DNS rebinding) gets nothing. With a token every request brings it,
// except those for /healthz and /readyz. What a page of another site sends is refused
// in either case. A token of its own may allow publishing, and nothing else.
package admin

//go:generate go test -run TestREADME -update
