// Package frame is RFC 6455 section 5, data framing, seen from the server and
// as pure bytes: it parses what clients send and encodes what the server
// sends.
//
// It knows headers, masking, fragmentation, control frames, the UTF-8 rule for
// text, close payloads and the close code that answers each fault.
//
// It does not know sockets, buffers, deadlines, queues, the negotiation of
// extensions, or what a message means. It neither assembles a message from its parts nor answers a
// ping: both need memory or a socket, and those belong to the caller.
//
// # Parsing
//
// A [Parser] consumes whatever bytes have arrived and hands out parts of
// messages that alias them, so a connection needs no message buffer of its
// own. The read loop of a connection looks like this:
//
//	for len(b) > 0 {
//		part, n, ok, err := parser.Next(b, maxMessage, false)
//		if err != nil {
//			return err // a *frame.Error, whose Code goes into the close frame
//		}
//		b = b[n:]
//		if !ok {
//			break // keep b, at most MaxLeftover bytes, in front of the next read
//		}
//		handle(part)
//	}
//
// A parser at rest is the zero Parser. An idle connection therefore stores
// neither parser nor bytes.
//
// # Compression
//
// Where permessage-deflate (RFC 7692) was agreed to, without context takeover, an
// [Inflater] makes a message of the parts of a compressed one, and a [Compressor] makes
// compressed frames. Neither is a connection's: nothing is kept between two messages.
//
// # Encoding
//
// A frame for many receivers is encoded once by [Prepare] and shared. A frame
// for one receiver is appended to the caller's buffer by [AppendFrame] or
// [AppendClose].
//
// Types, opcodes and the masking kernel come from github.com/gobwas/ws, used
// for its pure parts only: its own reader blocks in the middle of a frame. DEFLATE is
// that of github.com/klauspost/compress.
package frame
