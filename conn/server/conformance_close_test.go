//go:build linux

package server_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
)

// TestSection74Codes has every code at the bounds of a range: those that may be
// sent come back, the others are a fault.
func TestSection74Codes(t *testing.T) {
	var cases []exchange
	for _, code := range []ws.StatusCode{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4999} {
		cases = append(cases,
			exchange{name: fmt.Sprint(code), in: conntest.CloseFrame(code, ""), code: code},
			exchange{name: fmt.Sprint(code, " with a reason"), in: conntest.CloseFrame(code, "done, \u00fc\U0001f600"), code: code})
	}
	for _, code := range []ws.StatusCode{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 9999, 65535} {
		cases = append(cases,
			exchange{name: fmt.Sprint(code), in: conntest.CloseFrame(code, ""), code: 1002},
			exchange{name: fmt.Sprint(code, " with a reason"), in: conntest.CloseFrame(code, "done"), code: 1002})
	}
	conform(t, server.Config{}, cases)
}

// TestSection551Close: the body of a close frame, and where one may come.
func TestSection551Close(t *testing.T) {
	closing := conntest.CloseFrame(1000, "bye")
	cases := []exchange{
		{name: "no body", in: final(ws.OpClose, ""), code: 1005},
		{name: "one byte", in: final(ws.OpClose, "\x03"), code: 1002},
		{name: "longest reason", in: conntest.CloseFrame(1000, strings.Repeat("r", 123)), code: 1000},
		{name: "one byte too long", in: conntest.CloseFrame(1000, strings.Repeat("r", 124))[:2], code: 1002},
		{name: "after a message", in: stream(final(ws.OpText, "a"), closing), want: []answer{echoed("a")}, code: 1000},
		{name: "after a ping", in: stream(final(ws.OpPing, "p"), closing), want: []answer{ponged("p")}, code: 1000},
		{name: "after a long message", in: stream(final(ws.OpText, strings.Repeat("m", 256<<10)), closing),
			want: []answer{echoed(strings.Repeat("m", 256<<10))}, code: 1000},
		{name: "in a message", in: stream(partial(ws.OpText, "a"), closing), code: 1000},
		{name: "in a message, after a continuation", in: stream(partial(ws.OpText, "a"), partial(cont, "b"), closing), code: 1000},
		{name: "without its body", in: header(fin|8, mask|5, 0), unfinished: true},
	}
	for name, reason := range map[string]string{
		"byte that is never text": "bye\xff",
		"half a sequence":         "bye\xe2\x82",
		"surrogate":               "bye\xed\xa0\x80",
		"overlong":                "bye\xc0\xaf",
		"latin-1":                 "gr\xfc\xdfe",
		"text after the fault":    "\x80bye",
	} {
		cases = append(cases, exchange{name: "reason: " + name, in: conntest.CloseFrame(1000, reason), code: 1007})
	}
	cases = append(cases, exchange{name: "reason and code bad", in: conntest.CloseFrame(1005, "\xff"), code: 1002})
	conform(t, server.Config{}, cases)
}

// TestSimultaneousClose has both sides begin the closing handshake (RFC 6455
// section 7.1.5). Whoever is first, the client gets one close frame and then the
// end of the stream, and the handler learns of the close the client saw.
func TestSimultaneousClose(t *testing.T) {
	leave, left := make(chan *conn.Conn, 1), make(chan conn.CloseInfo, 1)
	h := &hooks{
		message: func(c *conn.Conn, _ frame.Opcode, p []byte) {
			if leave <- c; string(p) == "close at once" {
				c.Close(4001, "server first")
			}
		},
		close: func(_ *conn.Conn, info conn.CloseInfo) { left <- info },
	}
	_, addr := start(t, server.Config{Handler: h})
	for i := range 100 {
		c := conntest.Dial(t, addr, "/ws")
		if i%2 == 0 {
			// The client's close is on its way before it can have seen the server's.
			c.Raw(stream(final(ws.OpText, "close at once"), conntest.CloseFrame(4002, "client first")))
			<-leave
		} else {
			c.Text("close when you like")
			server := <-leave
			go server.Close(4001, "server first")
			c.Raw(conntest.CloseFrame(4002, "client first"))
		}
		op, p, err := c.Next()
		if err != nil || op != ws.OpClose || len(p) < 2 {
			t.Fatalf("got %v %q, %v", op, p, err)
		}
		code, _, err := frame.ParseClose(p)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.Next()
		if err == nil {
			t.Fatal("a frame after the close frame")
		}
		if err := c.Conn.(*net.TCPConn).Close(); err != nil {
			t.Fatal(err)
		}
		want := conn.CloseInfo{Code: 4001, Reason: conn.ReasonApplication}
		if i%2 == 1 && code == 4002 {
			want = conn.CloseInfo{Code: 4002, Reason: conn.ReasonPeerClosed}
		}
		if info := <-left; code != want.Code || info != want {
			t.Fatalf("the client saw %d, the handler %+v; want %+v", code, info, want)
		}
	}
}
