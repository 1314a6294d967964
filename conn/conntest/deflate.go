//go:build linux

package conntest

import (
	"bytes"
	"compress/flate"
	"io"

	"github.com/gobwas/ws"
)

// syncTail is what the end of a message leaves away (RFC 7692 section 7.2.1).
const syncTail = "\x00\x00\xff\xff"

// Deflate is payload as a client compresses it, with a level of compress/flate.
func Deflate(level int, payload string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(w, payload) // a bytes.Buffer takes everything
	_ = w.Flush()
	return string(bytes.TrimSuffix(b.Bytes(), []byte(syncTail)))
}

// Compressed is Frame with RSV1: payload is compressed already.
func Compressed(fin bool, op ws.OpCode, payload string) []byte {
	b := Frame(fin, op, payload)
	b[0] |= ws.Rsv(true, false, false) << 4
	return b
}

// inflate is the message of a payload.
func inflate(payload []byte) ([]byte, error) {
	final := "\x01\x00\x00\xff\xff" // by which the reader knows that this is all
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), bytes.NewReader([]byte(syncTail+final)))))
}
