//go:build linux

package server_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"roost/conn/conntest"
	"roost/conn/server"
)

// deflatedAt is a message as a client compresses it with a level of compress/flate, and
// compressed a frame with RSV1 set.
var (
	deflatedAt = conntest.Deflate
	compressed = conntest.Compressed
)

// conformDeflate is conform where compression is agreed to, with TLS and without.
func conformDeflate(t *testing.T, config server.Config, cases []exchange) {
	t.Helper()
	config.Compress = true
	for i := range cases {
		cases[i].deflate = true
	}
	conform(t, config, cases)
	conformTLS(t, config, cases)
}

// TestRFC7692Messages has messages of every length and kind, compressed and plain, cut into
// fragments anywhere.
func TestRFC7692Messages(t *testing.T) {
	const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00" // section 7.2.3.1
	const bfinal = "\xf3\x48\xcd\xc9\xc9\x07\x00"
	long := strings.Repeat("a line of a long message\n", 8000)
	cases := []exchange{
		{name: "one block", in: compressed(true, ws.OpText, hello), want: []answer{echoed("Hello")}},
		{name: "binary", in: compressed(true, ws.OpBinary, hello), want: []answer{{ws.OpBinary, "Hello"}}},
		{name: "two fragments", in: stream(compressed(false, ws.OpText, hello[:3]), final2(hello[3:])), want: []answer{echoed("Hello")}},
		{name: "no compression inside", in: compressed(true, ws.OpText, "\x00\x05\x00\xfa\xffHello\x00"), want: []answer{echoed("Hello")}},
		{name: "BFINAL", in: compressed(true, ws.OpText, bfinal+"\x00"), want: []answer{echoed("Hello")}},
		{name: "BFINAL, and more", in: compressed(true, ws.OpText, bfinal+hello), want: []answer{echoed("HelloHello")}},
		{name: "two blocks", in: compressed(true, ws.OpText, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), want: []answer{echoed("Hello")}},
		{name: "empty", in: compressed(true, ws.OpText, "\x00"), want: []answer{echoed("")}},
		{name: "plain", in: final1("plain"), want: []answer{echoed("plain")}},
		{name: "plain, compressed, plain", in: stream(final1("a"), compressed(true, ws.OpText, hello), final1("b")),
			want: []answer{echoed("a"), echoed("Hello"), echoed("b")}},
		{name: "plain in fragments", in: stream(partial(ws.OpText, "a"), final(cont, "b")), want: []answer{echoed("ab")}},
		{name: "ping between fragments", in: stream(compressed(false, ws.OpText, hello[:2]), final(ws.OpPing, "p"), final2(hello[2:])),
			want: []answer{ponged("p"), echoed("Hello")}},
		{name: "empty fragments", in: stream(compressed(false, ws.OpText, ""), partial(cont, hello), final2("")), want: []answer{echoed("Hello")}},
		{name: "long, at its best", in: compressed(true, ws.OpText, deflatedAt(9, long)), want: []answer{echoed(long)}},
		{name: "long, stored", in: compressed(true, ws.OpText, deflatedAt(0, long)), want: []answer{echoed(long)}},
		{name: "no end", in: compressed(false, ws.OpText, hello), unfinished: true},
	}
	for i := range len(hello) + 1 {
		cases = append(cases, exchange{name: fmt.Sprintf("cut at %d", i),
			in: stream(compressed(false, ws.OpText, hello[:i]), final2(hello[i:])), want: []answer{echoed("Hello")}})
	}
	for _, n := range []int{1, 127, 128, 129, 65535, 65536, 262143, 262144, 262145} {
		payload := strings.Repeat("length", n/6+1)[:n]
		cases = append(cases, exchange{name: fmt.Sprintf("%d bytes", n), in: compressed(true, ws.OpBinary, deflatedAt(6, payload)),
			want: []answer{{ws.OpBinary, payload}}})
	}
	conformDeflate(t, server.Config{}, cases)
}

func final1(text string) []byte    { return conntest.Frame(true, ws.OpText, text) }
func final2(payload string) []byte { return conntest.Frame(true, cont, payload) }

// TestRFC7692Faults: RSV1 where it means nothing, and what does not inflate to a message.
func TestRFC7692Faults(t *testing.T) {
	const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	first := compressed(false, ws.OpText, hello[:3])
	cases := []exchange{
		{name: "RSV1 on the last fragment", in: stream(first, []byte{fin | 0x40}), code: 1002},
		{name: "RSV1 on a fragment", in: stream(first, []byte{0x40}), code: 1002},
		{name: "RSV1 on a fragment of a plain message", in: stream(partial(ws.OpText, "a"), []byte{fin | 0x40}), code: 1002},
		{name: "RSV1 on a new message inside of one", in: stream(first, []byte{fin | 0x40 | 1}), code: 1002},
		{name: "RSV2", in: []byte{fin | 0x20 | 1}, code: 1002},
		{name: "RSV1 and RSV2", in: []byte{fin | 0x60 | 1}, code: 1002},
		{name: "RSV1 and RSV3", in: []byte{fin | 0x50 | 2}, code: 1002},
		{name: "cut short", in: compressed(true, ws.OpText, hello[:4]), code: 1007},
		{name: "no payload", in: compressed(true, ws.OpText, ""), code: 1007},
		{name: "reserved kind of block", in: compressed(true, ws.OpBinary, "\x07"), code: 1007},
		{name: "refers to before the beginning", in: compressed(true, ws.OpBinary, "\x02\x07\x00"), code: 1007},
		{name: "refers to the message before", in: stream(compressed(true, ws.OpText, hello), compressed(true, ws.OpText, "\xf2\x00\x11\x00\x00")),
			want: []answer{echoed("Hello")}, code: 1007}, // section 7.2.3.2: it would need context takeover
		{name: "plain text as if compressed", in: compressed(true, ws.OpText, "Hello, world"), code: 1007},
		{name: "text that is none", in: compressed(true, ws.OpText, deflatedAt(6, "good, then \xff")), code: 1007},
		{name: "text that ends early", in: compressed(true, ws.OpText, deflatedAt(6, "\xe2\x82")), code: 1007},
		{name: "binary is no text", in: compressed(true, ws.OpBinary, deflatedAt(6, "\xff\xff")), want: []answer{{ws.OpBinary, "\xff\xff"}}},
	}
	for _, op := range []byte{8, 9, 10} {
		cases = append(cases,
			exchange{name: fmt.Sprintf("RSV1 on opcode %d", op), in: []byte{fin | 0x40 | op}, code: 1002},
			exchange{name: fmt.Sprintf("RSV1 on opcode %d in a message", op), in: stream(first, []byte{fin | 0x40 | op}), code: 1002})
	}
	conformDeflate(t, server.Config{}, cases)
}

// TestRFC7692Bounds: the longest message holds for what was inflated.
func TestRFC7692Bounds(t *testing.T) {
	const most = 100_000
	edge := strings.Repeat("edge ", most/5)
	bomb := deflatedAt(9, strings.Repeat("\x00", 32<<20))
	conformDeflate(t, server.Config{MaxMessage: most}, []exchange{
		{name: "at the edge", in: compressed(true, ws.OpText, deflatedAt(6, edge)), want: []answer{echoed(edge)}},
		{name: "a byte beyond", in: compressed(true, ws.OpText, deflatedAt(6, edge+"!")), code: 1009},
		{name: "bomb", in: compressed(true, ws.OpBinary, bomb), code: 1009},
		{name: "bomb in fragments", in: stream(compressed(false, ws.OpBinary, bomb[:10]), partial(cont, bomb[10:100]), final2(bomb[100:])), code: 1009},
		{name: "at the edge, not shorter", in: compressed(true, ws.OpText, deflatedAt(0, edge)), want: []answer{echoed(edge)}},
		{name: "too long already compressed", in: header(fin|0x40|2, mask|len64, 2*most)[:10], code: 1009},
		{name: "plain, a byte beyond", in: header(fin|1, mask|len64, most+1)[:10], code: 1009},
	})
}

// Not agreed to, RSV1 is a fault, and nothing is sent with it.
func TestRFC7692NotAgreed(t *testing.T) {
	for _, c := range []struct {
		name     string
		compress bool
		headers  []string
	}{
		{"off", false, []string{conntest.Offer}}, {"not offered", true, nil},
		{"declined", true, []string{"Sec-WebSocket-Extensions: permessage-deflate; unknown"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, addr := start(t, server.Config{Handler: server.Echo(), Compress: c.compress})
			client := conntest.Connect(t, addr)
			client.Raw([]byte(conntest.Request(addr, "/ws", c.headers...)))
			if got := client.Accepted().Header.Values("Sec-WebSocket-Extensions"); len(got) > 0 {
				t.Fatalf("answered with %q", got)
			}
			long := strings.Repeat("long ", 1000)
			client.Text(long)
			client.ExpectText(long)
			client.Raw(compressed(true, ws.OpText, "\x00")[:1])
			ended(t, client, 1002)
		})
	}
}

// What is worth it comes compressed, the rest as it is.
func TestCompressMin(t *testing.T) {
	for _, c := range []struct{ configured, least int }{{0, 128}, {1000, 1000}, {-1, 1}} {
		_, addr := start(t, server.Config{Handler: server.Echo(), Compress: true, CompressMin: c.configured})
		client := conntest.DialDeflate(t, addr, "/ws")
		for _, n := range []int{100, 127, 128, 999, 1000} {
			before := client.Deflated
			text := strings.Repeat("a", n)
			client.Text(text)
			client.ExpectText(text)
			if got, want := client.Deflated > before, n >= c.least; got != want {
				t.Errorf("CompressMin %d: %d bytes come compressed: %v", c.configured, n, got)
			}
		}
	}
}

// Every window that is agreed to is kept to: nothing refers to further back.
func TestCompressInWindows(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Chat(), Compress: true})
	far := bytes.Repeat([]byte(strings.Repeat("0123456789abcdef", 32)+"!"), 40)
	var clients []*conntest.Client
	for bits := 9; bits <= 15; bits++ {
		c := conntest.Connect(t, addr)
		c.Raw([]byte(conntest.Request(addr, "/ws", fmt.Sprintf("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=%d", bits))))
		c.AcceptedDeflate()
		clients = append(clients, c)
	}
	clients[0].Raw(compressed(true, ws.OpBinary, deflatedAt(1, string(far))))
	for i, c := range clients {
		c.Expect(ws.OpBinary, string(far))
		if c.Deflated != 1 {
			t.Errorf("window %d: %d came compressed", i+9, c.Deflated)
		}
	}
	// 20 kB fit into windows of 15 bits, and each smaller one has a form of its own.
	if got := srv.Stats().CompressedOut.Messages; got != 7 {
		t.Errorf("compressed %d times, want once for each of 7 windows", got)
	}
}

// Whatever a client offers and agrees to, messages of every length come back, in however
// many fragments they were sent.
func TestRFC7692Offers(t *testing.T) {
	const longest = 128 << 10
	_, addr := start(t, server.Config{Handler: server.Echo(), Compress: true})
	text := strings.Repeat("{\"name\":\"größe\",\"of\":[1,22,333]},", longest/32)[:longest]
	noise := make([]byte, longest)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(noise) // it never fails
	type sent struct {
		payload  string
		deflated string
		op       ws.OpCode
	}
	var messages []sent
	for _, n := range []int{0, 1, 16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, longest} {
		for level := range 10 {
			payload := strings.ToValidUTF8(text[:n], "")
			messages = append(messages, sent{payload, deflatedAt(level, payload), ws.OpText})
		}
		messages = append(messages, sent{string(noise[:n]), deflatedAt(1, string(noise[:n])), ws.OpBinary})
	}
	for _, params := range []string{
		"", "; client_max_window_bits", "; client_max_window_bits=8", "; client_max_window_bits=15",
		"; client_no_context_takeover", "; server_no_context_takeover", "; client_no_context_takeover; server_no_context_takeover; client_max_window_bits",
		"; server_max_window_bits=9", "; server_max_window_bits=15; client_max_window_bits=9", "; server_no_context_takeover; server_max_window_bits=12",
		"; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10, permessage-deflate",
	} {
		t.Run(params, func(t *testing.T) {
			c := conntest.Connect(t, addr)
			c.Raw([]byte(conntest.Request(addr, "/ws", "Sec-WebSocket-Extensions: permessage-deflate"+params)))
			c.AcceptedDeflate()
			for i, m := range messages {
				c.Raw(inFragments(m.op, m.deflated, []int{longest, 256, 1024, 4096, 32768}[i%5]))
				c.Expect(m.op, m.payload)
			}
		})
	}
}

// inFragments is a compressed message in frames of n bytes.
func inFragments(op ws.OpCode, payload string, n int) []byte {
	if len(payload) <= n {
		return compressed(true, op, payload)
	}
	all := compressed(false, op, payload[:n])
	for payload = payload[n:]; len(payload) > n; payload = payload[n:] {
		all = append(all, partial(cont, payload[:n])...)
	}
	return append(all, final2(payload)...)
}

// The longest messages that cmd/roost takes with --handler echo, one that compresses a
// thousand times and one that does not at all.
func TestRFC7692Longest(t *testing.T) {
	most := 16 << 20
	if raceEnabled {
		most = 2 << 20 // the race detector makes it a quarter of a minute
	}
	_, addr := start(t, server.Config{Handler: server.Echo(), Compress: true, MaxMessage: int64(most), WriteQueueBytes: -1})
	noise := make([]byte, most)
	_, _ = rand.NewChaCha8([32]byte{8}).Read(noise) // it never fails
	c := conntest.DialDeflate(t, addr, "/ws")
	for i, payload := range []string{strings.Repeat("0", most), string(noise)} {
		c.Raw(inFragments(ws.OpBinary, deflatedAt(1, payload), 1<<20))
		c.Expect(ws.OpBinary, payload)
		if c.Deflated != 1 {
			t.Errorf("after message %d, %d have come compressed", i, c.Deflated)
		}
	}
}
