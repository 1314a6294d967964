//go:build linux

package server

import (
	"fmt"
	"strconv"
	"strings"

	"roost/conn"
	"roost/conn/frame"
)

// ConnInfo is a connection as an operator sees it.
type ConnInfo struct {
	ID string // for [Server.CloseConn]
	conn.Info
}

// Order is what Inspect looks for.
type Order uint8

const (
	ByQueue  Order = iota // most bytes waiting to be written
	ByDrops               // most frames dropped since the queue was empty last
	ByAge                 // oldest
	ByIdle                // longest without a message
	ByRTT                 // longest round-trip time; asks the kernel about every connection
	ByUnsent              // most bytes waiting to be sent, in the server or in the kernel; asks it likewise
	Orders                // ends a loop over all of them
)

var orderNames = [Orders]string{ByQueue: "queue", ByDrops: "drops", ByAge: "age", ByIdle: "idle", ByRTT: "rtt", ByUnsent: "unsent"}

func (o Order) String() string {
	if o < Orders {
		return orderNames[o]
	}
	return "unknown"
}

// weight is what o looks at.
func (o Order) weight(c *conn.Conn) int {
	switch o {
	case ByDrops:
		return int(min(c.Backlog().Dropped, 1<<62))
	case ByAge:
		return 1 + int(c.Age()) // everybody has an age, and nobody is left out
	case ByIdle:
		return 1 + int(c.Idle())
	case ByRTT:
		return int(c.TCP().RTT)
	case ByUnsent:
		return c.Backlog().Bytes + c.TCP().Unsent
	}
	return c.Backlog().Bytes
}

// Inspect returns up to limit connections, those that are first in order, and leaves
// out those for which nothing waits, nothing was dropped or nothing is known if that
// is the order. It looks at every connection once and asks the kernel about those it returns.
func (s *Server) Inspect(order Order, limit int) []ConnInfo {
	if limit <= 0 || !s.running.Load() {
		return nil
	}
	var infos []ConnInfo
	for _, w := range heaviest(s.hub, limit, order.weight) {
		info := w.conn.Info()
		if info.Cookie == 0 {
			continue // it has ended meanwhile
		}
		if client := s.clients.of(w.conn); client.IsValid() {
			info.Peer = client
		}
		infos = append(infos, ConnInfo{fmt.Sprintf("%d-%x", w.conn.Slot(), info.Cookie), info})
	}
	return infos
}

// CloseConn closes one connection in the name of an operator: with a close frame of
// code and reason, or without a word if it has not opened yet. It reports false when
// there is no connection of that id that is not closing already. An id is never
// given to another connection.
func (s *Server) CloseConn(id string, code frame.StatusCode, reason string) bool {
	place, number, ok := strings.Cut(id, "-")
	slot, err := strconv.ParseUint(place, 10, 32)
	cookie, err2 := strconv.ParseUint(number, 16, 64)
	if !ok || err != nil || err2 != nil || !s.running.Load() {
		return false
	}
	c := s.hub.At(uint32(slot))
	return c != nil && c.CloseByOperator(cookie, code, reason)
}
