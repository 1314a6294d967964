//go:build roostsim

package simtest

import (
	"fmt"
	"strings"

	"roost/conn"
	"roost/conn/frame"
	"roost/poller/sim"
	"roost/poller/sim/kernel"
)

// client is the other end of a connection. One actor writes, another reads.
type client struct {
	run     *run
	name    string
	end     *kernel.Endpoint
	session *session // nil until it is accepted
	piece   int

	// The writer's.
	written  []byte // all that the kernel took
	queue    []byte // to be written behind it
	messages []message
	pings    []string
	last     int         // what has been written up to here ends the connection; 0 nothing has
	fault    conn.Reason // which the server will find in it
	head     int         // length of the request
	window   int         // of compression by its request and the plan, 0 without

	// The reader's, see reader_test.go.
	received
}

// message is one that was sent; end is where in the stream.
type message struct {
	op      frame.Opcode
	payload string
	end     int
}

func (r *run) client(name string) *client {
	for _, c := range r.clients {
		if c.name == name {
			return c
		}
	}
	sim.Fail("no client is called %q", name)
	return nil
}

// connect starts the two actors of one client.
func (r *run) connect() {
	c := &client{run: r, name: fmt.Sprintf("c%d", len(r.clients)), piece: pieces()}
	if c.end = r.kernel.Connect(c.name); c.end == nil {
		return
	}
	c.appetite = one(-1, -1, -1, 0, 1, 30)
	c.last0()
	r.clients = append(r.clients, c)
	sim.Go(c.name+" writes", c.write)
	sim.Go(c.name+" reads", c.read)
}

func (c *client) write() {
	if !c.greet() {
		return
	}
	for range sim.Pick(12) {
		if c.last > 0 && !sim.Chance(3) {
			break
		}
		if sim.Chance(3) {
			c.run.think.Park("the next thing to do")
		}
		c.act()
		if !sim.Chance(4) && !c.flush() {
			return
		}
	}
	if c.flush() {
		c.leave()
	}
}

// greet sends a request head, or what should be one. It reports whether frames follow.
func (c *client) greet() bool {
	switch sim.Pick(16) {
	case 0: // for net/http
		c.queue = []byte("GET /other HTTP/1.1\r\nHost: x\r\n\r\n")
		c.flush()
		return false
	case 1: // refused
		c.queue = []byte(one("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01", request("/ws", "Sec-WebSocket-Key: again"),
			"GET /ws HTTP/1.1\r\n"+strings.Repeat("x: y\r\n", 60)+"\r\n"))
		c.flush()
		c.leave()
		return false
	case 2: // half of it
		head := request("/ws")
		c.queue = []byte(head[:sim.Pick(len(head))])
		if c.flush() {
			c.leave()
		}
		return false
	case 3:
		c.queue = []byte(request("/ws", "Sec-WebSocket-Protocol: chat, other"))
	case 4, 5, 6, 7, 8, 9:
		c.queue = []byte(request("/ws", c.offer()))
	default:
		c.queue = []byte(request("/ws"))
	}
	c.head = len(c.queue)
	return sim.Chance(3) || c.flush()
}

// act queues something.
func (c *client) act() {
	switch sim.Pick(24) {
	case 0:
		c.violate()
	case 1:
		code := one[frame.StatusCode](1000, 1001, 4321)
		c.queue = append(c.queue, closing(code, "bye")...)
		c.ends(conn.ReasonPeerClosed)
	case 2, 3:
		c.ping()
	default:
		for range 1 + sim.Pick(3) {
			c.message()
		}
	}
}

func (c *client) ends(fault conn.Reason) {
	if c.last == 0 {
		c.last, c.fault = len(c.written)+len(c.queue), fault
	}
}

// message queues one, in as many frames as it likes.
func (c *client) message() {
	limit := longest
	if m := int(c.run.plan.conn.MaxMessage); m > 0 {
		limit = min(limit, m)
	}
	text := ""
	if !sim.Chance(20) {
		kinds := "eeeeessmmcccqqPRRt"
		if c.run.chatty {
			kinds = "ccccccqe"
		}
		kind := kinds[sim.Pick(len(kinds))]
		if sim.Chance(40) {
			kind = "pxra"[sim.Pick(4)]
		}
		text = fmt.Sprintf("%c %s.%d ", kind, c.name, len(c.messages))
		text += strings.Repeat("é", sim.Pick(min(limit-len(text), one(2, 20, longest)))/2)
	}
	op := one(frame.Text, frame.Text, frame.Binary)
	left, first := text, byte(op)
	if c.window > 0 && sim.Chance(2) {
		left, first = deflate(text), byte(op)|rsv1
	}
	for sim.Chance(3) {
		n := sim.Pick(len(left) + 1)
		c.queue = append(c.queue, masked(first, left[:n])...)
		left, first = left[n:], byte(frame.Continuation)
		if sim.Chance(4) {
			c.ping()
		}
	}
	c.queue = append(c.queue, masked(fin|first, left)...)
	c.messages = append(c.messages, message{op, text, len(c.written) + len(c.queue)})
}

func (c *client) ping() {
	text := fmt.Sprintf("ping %s.%d", c.name, len(c.pings))
	c.pings = append(c.pings, text)
	c.queue = append(c.queue, whole(frame.Ping, text)...)
}

// violate breaks the protocol.
func (c *client) violate() {
	why := conn.ReasonProtocolError
	if c.window > 0 && sim.Chance(2) {
		c.violateCompressed()
		return
	}
	switch sim.Pick(8) {
	case 0:
		c.queue = append(c.queue, 0x81, 1, 'x')
	case 1:
		reserved := byte(rsv1)
		if c.window > 0 {
			reserved = 0x20
		}
		c.queue = append(c.queue, masked(fin|reserved|byte(frame.Text), "x")...)
	case 2:
		c.queue = append(c.queue, masked(0x83, "x")...)
	case 3:
		c.queue = append(c.queue, masked(byte(frame.Ping), "x")...)
	case 4:
		c.queue = append(c.queue, masked(fin|byte(frame.Continuation), "x")...)
	case 5:
		c.queue = append(c.queue, whole(frame.Close, "x")...)
	case 6:
		why = conn.ReasonInvalidPayload
		c.queue = append(c.queue, whole(frame.Text, "x\xff")...)
	case 7:
		if c.run.plan.conn.MaxMessage == 0 {
			c.queue = append(c.queue, 0x81, 1, 'x')
			break
		}
		why = conn.ReasonTooBig
		c.queue = append(c.queue, whole(frame.Text, strings.Repeat("x", int(c.run.plan.conn.MaxMessage)+1))...)
	}
	c.ends(why)
}

// leave is what a client does at its end.
func (c *client) leave() {
	if sim.Chance(3) {
		c.run.think.Park("its end")
	}
	switch sim.Pick(6) {
	case 0:
		c.end.CloseWrite()
		c.shut = true
	case 1:
		c.end.Reset()
	case 2:
		c.end.Close()
	}
}

// flush writes what is queued, in pieces.
func (c *client) flush() bool {
	for len(c.queue) > 0 {
		n, errno := c.end.Write(c.queue[:min(len(c.queue), 1+sim.Pick(c.piece))])
		c.written = append(c.written, c.queue[:n]...)
		c.queue = c.queue[n:]
		if n > 0 {
			continue
		}
		if errno != kernel.Again {
			return false
		}
		c.end.WaitRoom()
	}
	return true
}
