package cluster

import (
	"context"
	"net"
)

// nats.go drops what does not fit into the channel of a subscription, which it fills from one
// goroutine that reads 32 KiB of the connection at a time. So that goroutine is made to wait before it reads
// more: with room for four times mostUnseen in the channel, 32 KiB of the smallest messages always fit.
const (
	mostUnseen      = 1024    // messages that session.take has not looked at
	mostUnseenBytes = 4 << 20 // read since it last had looked at all
)

// socket is the connection to NATS.
type socket struct {
	net.Conn
	session *session
	unseen  int // bytes; owned by who reads
}

// Dial is part of nats.CustomDialer. The connection is cut when the session ends: whoever waits for
// the socket then goes on.
func (s *session) Dial(network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: slowestNATS}
	c, err := d.DialContext(s.ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(s.ctx, func() { _ = c.Close() })
	return &socket{Conn: c, session: s}, nil
}

// Read waits until there is room for what comes.
func (c *socket) Read(b []byte) (int, error) {
	s := c.session
	for {
		waiting := len(s.topics)
		if waiting == 0 {
			c.unseen = 0
		}
		if waiting <= mostUnseen && c.unseen <= mostUnseenBytes {
			break
		}
		select {
		case <-s.taken:
		case <-s.ctx.Done():
			return 0, net.ErrClosed
		}
	}
	n, err := c.Conn.Read(b)
	c.unseen += n
	return n, err
}
