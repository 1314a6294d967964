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

// TestSection74TooBig has messages of exactly the limit and one byte more, in one
// frame and in several. The header that announces too much is enough.
func TestSection74TooBig(t *testing.T) {
	const limit = 1000
	full := strings.Repeat("x", limit)
	cases := []exchange{
		{name: "at the limit", in: final(ws.OpText, full), want: []answer{echoed(full)}},
		{name: "at the limit in fragments", in: stream(partial(ws.OpText, full[:600]), partial(cont, full[:400]), final(cont, "")), want: []answer{echoed(full)}},
		{name: "at the limit, twice", in: stream(final(ws.OpText, full), final(ws.OpText, full)), want: []answer{echoed(full), echoed(full)}},
		{name: "ping beyond the limit", in: stream(partial(ws.OpText, full), final(ws.OpPing, "p"), final(cont, "")), want: []answer{ponged("p"), echoed(full)}},
		{name: "one byte over", in: final(ws.OpText, full+"x")[:4], code: 1009},
		{name: "one byte over in fragments", in: stream(partial(ws.OpText, full), final(cont, "x")[:2]), code: 1009},
		{name: "one byte over after empty fragments", in: stream(partial(ws.OpBinary, ""), partial(cont, ""), final(cont, full+"x")[:4]), code: 1009},
		{name: "64-bit length over the limit", in: header(fin|2, mask|len64, 1<<40)[:10], code: 1009},
		{name: "sum beyond 63 bits", in: stream(partial(ws.OpBinary, "x"), header(fin, mask|len64, maxLen)[:10]), code: 1009},
	}
	conform(t, server.Config{MaxMessage: limit}, cases)
}

// TestLargeMessages has 16 MiB within the limit, whole and in fragments, and one
// byte more refused at the header, also when the whole of it comes.
func TestLargeMessages(t *testing.T) {
	const limit = 16 << 20
	_, addr := start(t, server.Config{Handler: server.Echo(), MaxMessage: limit})
	payload := strings.Repeat("0123456789abcde\u00fc", limit/17+1)[:limit/17*17]
	payload += strings.Repeat("!", limit-len(payload))
	inFragments := func(size int) (in []byte) {
		op := ws.OpText
		for rest := payload; ; op = cont {
			n := min(size, len(rest))
			in = append(in, conntest.Frame(n == len(rest), op, rest[:n])...)
			if rest = rest[n:]; rest == "" {
				return in
			}
		}
	}
	for _, size := range []int{limit, 1 << 20, 4000} {
		t.Run(fmt.Sprint("fragments of ", size), func(t *testing.T) {
			in := inFragments(size)
			c := conntest.Dial(t, addr, "/ws")
			go c.Raw(in)
			c.ExpectText(payload)
		})
	}
	t.Run("one byte over", func(t *testing.T) {
		c := conntest.Dial(t, addr, "/ws")
		c.Raw(header(fin|1, mask|len64, limit+1))
		ended(t, c, 1009)
	})
	t.Run("one byte over, sent whole", func(t *testing.T) {
		c := conntest.Dial(t, addr, "/ws")
		c.Raw(stream(header(fin|1, mask|len64, limit+1), []byte(payload), []byte("!"), final(ws.OpText, "no echo")))
		ended(t, c, 1009)
	})
}
