package bench

import "time"

// slowTurn is the time between two reads of a slow reader.
const slowTurn = 200 * time.Millisecond

// slowReaders are connections that read on purpose less than comes.
type slowReaders struct {
	tokens []uint64
	bytes  int // per turn and connection
	next   time.Duration
}

// ReadSlowly makes c read at most bytesPerSecond from now on, a little at a time,
// until it ends. The kernel's receive buffer comes before that: see
// Dial.ReceiveBytes. All slow readers of a client have the same rate, the last
// one given.
func (cl *Client) ReadSlowly(c *Conn, bytesPerSecond int) {
	cl.slow.bytes = min(receiveBytes, max(1, bytesPerSecond*int(slowTurn/time.Millisecond)/1000))
	if !c.slow {
		c.slow = true
		cl.slow.tokens = append(cl.slow.tokens, c.token())
	}
}

// advance reads once from each when it is time, and returns the wait until the
// next turn.
func (s *slowReaders) advance(cl *Client, now time.Duration) time.Duration {
	if len(s.tokens) == 0 {
		return -1
	}
	if now < s.next {
		return s.next - now
	}
	s.next = now + slowTurn
	kept := s.tokens[:0]
	for _, token := range s.tokens {
		c := cl.lookup(token)
		if c == nil {
			continue
		}
		cl.read(c, s.bytes)
		if c.token() == token {
			kept = append(kept, token)
		}
	}
	s.tokens = kept
	return slowTurn
}
