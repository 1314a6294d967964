//go:build linux

package conn

import "roost/conn/frame"

// Scratch is the memory a worker lends to the connections it runs: see
// poller.Config.NewScratch. It holds nothing between two runs.
type Scratch struct {
	cork     outbound
	in       inbound
	inflater frame.Inflater
	response []byte // of the opening handshake
	emptied  bool   // the last read of this run has taken all there was
	room     int    // bytes that may still be inflated in this run

	// Counted here during a run and added to the group's Stats once at its end.
	messages uint64
	bytes    uint64
}

// NewScratch is for poller.Config.NewScratch.
func NewScratch() any { return new(Scratch) }

// corkKeep is the largest write buffer a worker keeps from one run to the next.
const corkKeep = 256 << 10

func (s *Scratch) count(st *Stats) {
	if s.bytes > 0 {
		st.BytesIn.Add(s.bytes)
	}
	if s.messages > 0 {
		st.MessagesIn.Add(s.messages)
	}
	s.bytes, s.messages = 0, 0
}
