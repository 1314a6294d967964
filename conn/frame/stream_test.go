package frame

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// testMask has four different bytes, so that a wrong offset shows.
var testMask = [4]byte{0x11, 0x22, 0x44, 0x88}

// clientFrame is a masked frame as a client sends it.
func clientFrame(fin bool, op Opcode, mask [4]byte, payload []byte) []byte {
	return ws.MustCompileFrame(ws.MaskFrameWith(ws.NewFrame(op, fin, payload), mask))
}

// event is a complete message or a control frame.
type event struct {
	op   Opcode
	data string
}

// outcome is all that parsing a stream leads to.
type outcome struct {
	events   []event
	partial  string // handed out of a message that did not end
	err      *Error
	parser   Parser
	leftover string
}

// String keeps a report of long payloads readable.
func (o outcome) String() string {
	return fmt.Sprintf("events %.300q, partial %.300q, error %v, parser %+v, leftover %q",
		o.events, o.partial, o.err, o.parser, o.leftover)
}

// parse plays the caller of a Parser: it delivers the chunks one after the
// other, keeps what Next says to keep, and checks what Next promises about
// every part.
func parse(tb testing.TB, chunks [][]byte, maxMessage int64) (out outcome) {
	tb.Helper()
	return parseDeflated(tb, chunks, maxMessage, false)
}

// parseDeflated is parse where compression may have been agreed to: then it inflates.
func parseDeflated(tb testing.TB, chunks [][]byte, maxMessage int64, deflate bool) (out outcome) {
	tb.Helper()
	var inflater Inflater
	var (
		kept    []byte
		stored  Parser // between chunks the parser is a copy
		open    Opcode
		message []byte
		// deflated is what the parts of the open message say.
		deflated bool
	)
	for _, chunk := range chunks {
		p := stored
		b := append(bytes.Clone(kept), chunk...)
		for {
			part, n, ok, err := p.Next(b, maxMessage, deflate)
			if p.AtRest() != (p == Parser{}) {
				tb.Fatalf("AtRest is %v for %+v", p.AtRest(), p)
			}
			if err != nil {
				if n != 0 || ok || p.AtRest() || !errors.As(err, &out.err) {
					tb.Fatalf("with error %v: n %d, ok %v, at rest %v", err, n, ok, p.AtRest())
				}
				if _, n, ok, again := p.Next(clientFrame(true, Text, testMask, nil), 0, deflate); !errors.Is(again, err) || n != 0 || ok {
					tb.Fatalf("after error %v: n %d, ok %v, error %v", err, n, ok, again)
				}
				out.partial, out.parser = string(message), p
				return out
			}
			if n < 0 || n > len(b) || ok && n == 0 {
				tb.Fatalf("n %d of %d bytes, ok %v", n, len(b), ok)
			}
			if !ok {
				kept = b[n:]
				break
			}
			if len(part.Data) != cap(part.Data) {
				tb.Fatalf("data has length %d, capacity %d", len(part.Data), cap(part.Data))
			}
			if len(part.Data) > 0 && &part.Data[len(part.Data)-1] != &b[n-1] {
				tb.Fatal("data does not alias the end of the bytes consumed")
			}
			b = b[n:]
			switch {
			case part.Op.IsControl():
				if !part.First || !part.Last {
					tb.Fatalf("control part first %v, last %v", part.First, part.Last)
				}
				out.events = append(out.events, event{part.Op, string(part.Data)})
				continue
			case part.First != (open == Continuation):
				tb.Fatalf("first is %v while opcode %d is open", part.First, open)
			case !part.First && part.Op != open:
				tb.Fatalf("opcode %d while %d is open", part.Op, open)
			case len(part.Data) == 0 && !part.Last:
				tb.Fatal("empty part that is not the last")
			}
			if part.Deflated && (!deflate || part.First && len(message) > 0) || !part.First && part.Deflated != deflated {
				tb.Fatalf("part %+v of a message that is deflated: %v", part, deflated)
			}
			open, deflated = part.Op, part.Deflated
			message = append(message, part.Data...)
			if part.Last && part.Deflated {
				if message, err = inflater.Inflate(part.Op, message, maxMessage); err != nil {
					if !errors.As(err, &out.err) {
						tb.Fatal(err)
					}
					return out
				}
				message = bytes.Clone(message)
			}
			if part.Last {
				out.events = append(out.events, event{part.Op, string(message)})
				open, message = Continuation, nil
			}
		}
		if len(kept) > MaxLeftover {
			tb.Fatalf("%d bytes to keep", len(kept))
		}
		stored = p
	}
	out.partial, out.parser, out.leftover = string(message), stored, string(kept)
	return out
}

// requireSame compares the outcome of a stream cut into pieces with that of the
// stream delivered whole. They differ in one thing only: before an error in a
// payload, a stream in pieces may have handed out more of the message.
func requireSame(tb testing.TB, how string, cut, whole outcome) {
	tb.Helper()
	same := cut.err == whole.err && cut.parser == whole.parser && cut.leftover == whole.leftover &&
		len(cut.events) == len(whole.events)
	for i := 0; same && i < len(cut.events); i++ {
		same = cut.events[i] == whole.events[i]
	}
	if cut.err == nil {
		same = same && cut.partial == whole.partial
	} else {
		same = same && strings.HasPrefix(cut.partial, whole.partial)
	}
	if !same {
		tb.Fatalf("%s:\n got %v\nwant %v", how, cut, whole)
	}
}

// inChunks cuts b into pieces of the given sizes, used round and round. A size
// of 0 gives an empty piece.
func inChunks(b []byte, sizes []byte) (chunks [][]byte) {
	if !bytes.ContainsFunc(sizes, func(r rune) bool { return r != 0 }) {
		return [][]byte{b}
	}
	for i := 0; len(b) > 0; i++ {
		n := min(int(sizes[i%len(sizes)]), len(b))
		chunks = append(chunks, b[:n])
		b = b[n:]
	}
	return chunks
}
