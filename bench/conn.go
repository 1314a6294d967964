package bench

// connState is where a connection stands. A slot of the table goes round:
// idle, connecting, with TLS securing, handshaking, open, closing or lingering, idle.
type connState uint8

const (
	stateIdle        connState = iota // no descriptor
	stateConnecting                   // connect(2) is under way
	stateSecuring                     // the TLS handshake is under way
	stateHandshaking                  // the request is sent, the 101 answer incomplete
	stateOpen
	stateClosing   // the client sent a close frame first and waits for the answer
	stateLingering // the server's close frame was seen; the server closes TCP, section 7.1.1
)

// Conn is one slot of the client's table and the connection in it. It belongs
// to the goroutine that drives the client, and is valid as long as the client.
type Conn struct {
	fd         int32
	index      int32
	generation uint32 // counts the connections this slot has had: the upper half of the token
	state      connState
	slow       bool   // read by slowReaders only
	deaf       bool   // never read
	raw        bool   // no WebSocket: what comes is thrown away
	code       uint16 // of the server's close frame, CloseAbnormal without one
	dialling   uint16 // index of the Dialling that made the connection
	secure     bool   // TLS: Client.sessions has it
	deflate    bool   // permessage-deflate was agreed on
	started    int64  // nanoseconds: connect was called
	held       *held  // nil unless something is incomplete
}

// held is what a connection keeps while something is incomplete.
type held struct {
	in  []byte // the start of an incomplete frame, or of the handshake answer
	msg []byte // the fragments so far of a message, section 5.4
	out []byte // frames that the socket did not take yet

	msgOp byte // opcode of the fragmented message, with rsv1 when it is compressed; 0 when there is none
}

// keepBytes is the largest buffer of a held that is kept for reuse.
const keepBytes = 4 << 10

// Index is the slot of the connection, from 0 to Config.Conns-1.
func (c *Conn) Index() int { return int(c.index) }

// Open tells whether messages may be sent: the handshake is complete and
// neither side has sent a close frame.
func (c *Conn) Open() bool { return c.state == stateOpen }

// CloseCode is the code in the server's close frame: CloseNoStatus when it had
// none, CloseAbnormal when the connection ended without a close frame, 0 while
// neither has happened.
func (c *Conn) CloseCode() int { return int(c.code) }

// Pending is the number of bytes written but not yet taken by the socket.
func (c *Conn) Pending() int {
	if c.held == nil {
		return 0
	}
	return len(c.held.out)
}

func (c *Conn) token() uint64 { return uint64(c.generation)<<32 | uint64(uint32(c.index)) }

// empty tells whether nothing is incomplete.
func (h *held) empty() bool {
	return len(h.in) == 0 && len(h.out) == 0 && len(h.msg) == 0 && h.msgOp == 0
}

// hold returns the connection's held, with one from the free list if needed.
func (cl *Client) hold(c *Conn) *held {
	if c.held == nil {
		if n := len(cl.free); n > 0 {
			c.held, cl.free = cl.free[n-1], cl.free[:n-1]
		} else {
			c.held = new(held)
		}
	}
	return c.held
}

// settle gives the held back when nothing is incomplete any more.
func (cl *Client) settle(c *Conn) {
	if c.held != nil && c.held.empty() {
		cl.release(c)
	}
}

// release gives the held back whatever is in it. Large buffers are dropped.
func (cl *Client) release(c *Conn) {
	h := c.held
	if h == nil {
		return
	}
	c.held = nil
	if len(cl.free) >= eventsPerWait {
		return
	}
	*h = held{in: reusable(h.in), msg: reusable(h.msg), out: reusable(h.out)}
	cl.free = append(cl.free, h)
}

func reusable(b []byte) []byte {
	if cap(b) > keepBytes {
		return nil
	}
	return b[:0]
}
