//go:build linux

package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"roost/conn/conntest"
	"roost/conn/server"
)

// TestSection55Control: control frames are short and whole, and come between
// any two frames.
func TestSection55Control(t *testing.T) {
	long := strings.Repeat("p", 125)
	cases := []exchange{
		{name: "empty ping", in: final(ws.OpPing, ""), want: []answer{ponged("")}},
		{name: "ping", in: final(ws.OpPing, "hello"), want: []answer{ponged("hello")}},
		{name: "ping that is no text", in: final(ws.OpPing, "\x00\xff\xfe\x80"), want: []answer{ponged("\x00\xff\xfe\x80")}},
		{name: "longest ping", in: final(ws.OpPing, long), want: []answer{ponged(long)}},
		{name: "unasked pong", in: final(ws.OpPong, "")},
		{name: "unasked pongs of the longest", in: stream(final(ws.OpPong, long), final(ws.OpPong, long))},
		{name: "pong, then ping", in: stream(final(ws.OpPong, "one"), final(ws.OpPing, "two")), want: []answer{ponged("two")}},
		{name: "ping without its payload", in: header(fin|9, mask|5, 0), unfinished: true},
		{name: "between fragments", in: stream(partial(ws.OpText, "a"), final(ws.OpPing, "1"), final(ws.OpPong, "x"),
			partial(cont, "b"), final(ws.OpPing, "2"), final(ws.OpPing, "3"), final(cont, "c")),
			want: []answer{ponged("1"), ponged("2"), ponged("3"), echoed("abc")}},
		{name: "answered before the message ends", in: stream(partial(ws.OpText, "a"), final(ws.OpPing, "now")),
			want: []answer{ponged("now")}, unfinished: true},
		{name: "between messages", in: stream(final(ws.OpText, "a"), final(ws.OpPing, "1"), final(ws.OpText, "b")),
			want: []answer{echoed("a"), ponged("1"), echoed("b")}},
	}
	for op, name := range map[byte]string{8: "close", 9: "ping", 10: "pong"} {
		cases = append(cases,
			exchange{name: name + " of 126 bytes", in: []byte{fin | op, mask | len16}, code: 1002},
			exchange{name: name + " with a 64-bit length", in: []byte{fin | op, mask | len64}, code: 1002},
			exchange{name: name + " of 126 bytes in a message", in: stream(partial(ws.OpText, "a"), []byte{fin | op, mask | len16}), code: 1002},
			exchange{name: name + " without FIN", in: []byte{op}, code: 1002},
			exchange{name: name + " without FIN in a message", in: stream(partial(ws.OpText, "a"), []byte{op}), code: 1002})
	}
	var pings []byte
	var pongs []answer
	for i := range 10 {
		pings = append(pings, final(ws.OpPing, fmt.Sprint("ping ", i))...)
		pongs = append(pongs, ponged(fmt.Sprint("ping ", i)))
	}
	cases = append(cases,
		exchange{name: "ten pings", in: pings, want: pongs},
		exchange{name: "ten pings in a message", in: stream(partial(ws.OpText, "a"), pings, final(cont, "z")), want: append(pongs, echoed("az"))})
	conform(t, server.Config{}, cases)
}

// TestPingFlood sends far more pings than queues and socket buffers hold, inside a
// fragmented message, to a client that reads late. Each gets its pong, in order.
func TestPingFlood(t *testing.T) {
	_, addr := start(t, server.Config{Handler: server.Echo(), WriteQueueFrames: 64, WriteQueueBytes: 4 << 10})
	c := conntest.Dial(t, addr, "/ws")
	const pings = 50_000
	payload := func(i int) string { return fmt.Sprintf("%0100d", i) }
	go func() {
		c.Raw(partial(ws.OpText, "begin "))
		for i := 0; i < pings; i += 100 {
			var burst []byte
			for j := range 100 {
				burst = append(burst, final(ws.OpPing, payload(i+j))...)
			}
			c.Raw(burst)
		}
		c.Raw(final(cont, "end"))
	}()
	for i := range pings {
		c.Expect(ws.OpPong, payload(i))
	}
	c.ExpectText("begin end")
}
