// Package handshake is the server's side of the opening handshake of RFC 6455
// section 4, as pure functions over bytes that are already in memory.
//
// It knows where the head of an HTTP/1.1 request ends, which heads ask for a
// WebSocket, which of those a [Policy] accepts, and the exact bytes to answer.
// It does not know sockets, deadlines, buffers or goroutines: the caller reads,
// keeps what has arrived, calls [Policy.Negotiate] again when more arrives, and
// sends [Result.Response].
//
// Where things happen:
//
//	head.go        finds the end of a head and scans it, once and strictly
//	request.go     what the caller may ask a scanned head
//	policy.go      the settings, and the rules a request on Policy.Path must meet
//	origin.go      RFC 6454 origins, host names and ports
//	extensions.go  the grammar of an offer of extensions
//	deflate.go     offers of permessage-deflate, and the answer
//	upgrade.go     Negotiate, and the 101 response
//	response.go    every refusal, and how one is written
//
// # Who parses what
//
// The 101 response, with its Sec-WebSocket-Accept, comes from ws.Upgrader of
// github.com/gobwas/ws. That parser forgives a lot (bare line feeds, spaces
// before a colon, repeated headers) and loses bytes behind the head, so it never
// sees what a client sent. This package's own scan judges the head first, and
// the Upgrader then gets a small canonical request which holds nothing but the
// validated key and the chosen subprotocol.
//
// A head this package upgrades is one net/http would accept too, with the same
// header values; a fuzz test holds it to that. The reverse does not hold:
// line folding, bare line feeds, a repeated key and the like are refused here.
//
// # Extensions
//
// An offer that breaks the grammar is refused (RFC 6455 section 9.1). With
// [Policy.Compress] the first offer of permessage-deflate (RFC 7692) that can be met is
// agreed to; an offer with unknown or wrong parameters is declined, and the connection
// opens without. No other extension is ever agreed.
package handshake
