package bench

// What follows is for clients that break the protocol on purpose.

// SendRaw writes bytes as they are. It does nothing unless the connection is
// open; see Dial.Raw for one that has not shaken hands.
func (cl *Client) SendRaw(c *Conn, b []byte) {
	if c.state != stateOpen {
		return
	}
	if cl.outConn != c {
		cl.flush()
		cl.outConn = c
	}
	cl.out = append(cl.out, b...)
}

// StopReading leaves everything that comes in the kernel. Ended is called when
// the connection is reset or the peer has sent FIN, and then counts as abnormal:
// a close frame is not seen.
func (cl *Client) StopReading(c *Conn) { c.deaf = true }
