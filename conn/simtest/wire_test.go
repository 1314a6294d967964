//go:build roostsim

package simtest

import (
	"encoding/binary"

	"roost/conn/frame"
	"roost/poller/sim"
)

// longest is the most payload of a message.
const longest = 600

// request is the head of an opening handshake.
func request(path string, headers ...string) string {
	head := "GET " + path + " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	return head + "\r\n"
}

// masked is a client's frame; first is FIN, the reserved bits and the opcode.
func masked(first byte, payload string) []byte {
	key := [4]byte{byte(sim.Pick(256)), byte(sim.Pick(256)), byte(sim.Pick(256)), byte(sim.Pick(256))}
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		panic("too long")
	}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

const (
	fin  = 0x80
	rsv1 = 0x40
)

// whole is a frame that is a message, or control.
func whole(op frame.Opcode, payload string) []byte { return masked(fin|byte(op), payload) }

// closing is a close frame.
func closing(code frame.StatusCode, reason string) []byte {
	return whole(frame.Close, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

// parseFrame takes a server's frame off the front of b: n is its length, 0 when it is
// not all there. A fault is why a client must not accept it.
func parseFrame(b []byte) (op frame.Opcode, payload []byte, n int, fault string) {
	if len(b) < 2 {
		return 0, nil, 0, ""
	}
	if b[0]&0xf0&^rsv1 != fin || b[1]&0x80 != 0 {
		return 0, nil, 0, "not a whole frame without mask and reserved bits"
	}
	length, head := int(b[1]), 2
	switch length {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	if len(b) < head {
		return 0, nil, 0, ""
	}
	switch head {
	case 4:
		length = int(binary.BigEndian.Uint16(b[2:]))
	case 10:
		return 0, nil, 0, "longer than anything that was sent"
	}
	if len(b) < head+length {
		return 0, nil, 0, ""
	}
	return frame.Opcode(b[0] & 0x0f), b[head : head+length], head + length, ""
}
