package frame

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// FuzzParser takes in as a client's stream. In pieces it must come to the same
// as whole, and whole to the same as a parser built from gobwas/ws's blocking
// functions.
func FuzzParser(f *testing.F) {
	f.Fuzz(func(t *testing.T, in, sizes []byte, maxMessage uint16) {
		limit := int64(maxMessage)
		whole := parse(t, [][]byte{in}, limit)
		requireSame(t, "in pieces", parse(t, inChunks(in, sizes), limit), whole)
		requireSame(t, "byte by byte", parse(t, inChunks(in, []byte{1}), limit), whole)

		events, code, headerCut := reference(bytes.Clone(in), limit)
		var got StatusCode
		if whole.err != nil {
			got = whole.err.Code
		}
		// The reference needs a whole header to see a fault, Parser only the byte
		// that shows it.
		if got != code && !(headerCut && (got == StatusProtocolError || got == StatusTooBig)) {
			t.Fatalf("code %d (%v), reference %d", got, whole.err, code)
		}
		if len(whole.events) != len(events) {
			t.Fatalf("events %q, reference %q", whole.events, events)
		}
		for i := range events {
			if whole.events[i] != events[i] {
				t.Fatalf("event %d is %q, reference %q", i, whole.events[i], events[i])
			}
		}
	})
}

// reference parses a client's stream with ws.ReadHeader, ws.CheckHeader and
// ws.Cipher. code is the fault that ends it, or 0; headerCut says that the
// stream ends inside a header.
func reference(in []byte, limit int64) (events []event, code StatusCode, headerCut bool) {
	var message []byte
	var open Opcode
	for len(in) > 0 {
		state := ws.StateServerSide
		if open != Continuation {
			state = state.Set(ws.StateFragmented)
		}
		r := bytes.NewReader(in)
		h, err := ws.ReadHeader(r)
		switch {
		case errors.Is(err, ws.ErrHeaderLengthMSB):
			return events, StatusProtocolError, false
		case err != nil:
			return events, 0, true
		case ws.CheckHeader(h, state) != nil, len(in)-r.Len() != ws.HeaderSize(h):
			return events, StatusProtocolError, false
		case limit > 0 && h.OpCode.IsData() && int64(len(message))+min(h.Length, limit+1) > limit:
			return events, StatusTooBig, false
		}
		in = in[len(in)-r.Len():]
		here := int(min(h.Length, int64(len(in))))
		whole := int64(here) == h.Length
		payload := in[:here]
		in = in[here:]
		ws.Cipher(payload, h.Mask, 0)
		if h.OpCode.IsControl() {
			if whole {
				events = append(events, event{h.OpCode, string(payload)})
			}
			continue
		}
		if h.OpCode != Continuation {
			open = h.OpCode
		}
		message = append(message, payload...)
		ends := whole && h.Fin
		if open == Text {
			if !canBecomeValid(message) || ends && !utf8.Valid(message) {
				return events, StatusInvalidPayload, false
			}
		}
		if ends {
			events = append(events, event{open, string(message)})
			open, message = Continuation, nil
		}
	}
	return events, 0, false
}
