package bench

// Arrival is what the sequence check says about one message.
type Arrival uint8

const (
	// ArrivalNew is the next message, or a later one: those skipped may still come.
	ArrivalNew Arrival = iota
	// ArrivalLate is a message that comes after a later one, for the first time.
	ArrivalLate
	// ArrivalDuplicate came before.
	ArrivalDuplicate
	// ArrivalStale is so far behind that late and duplicate cannot be told apart.
	// It does not count as received.
	ArrivalStale
)

// SequenceWindow is how far behind the highest sequence number a message may
// come and still be told from a duplicate, as in RFC 6479.
const SequenceWindow = 64

// Sequences checks, for every pair of connection and publisher, that each
// sequence number from 1 on arrives once and in order. Its memory is 16 bytes a
// pair whatever the number of messages.
type Sequences struct {
	cells      []sequenceCell
	publishers int
}

type sequenceCell struct {
	seen    uint64 // bit i: number highest-i has arrived
	highest uint32
}

// NewSequences makes the cells of all pairs.
func NewSequences(conns, publishers int) *Sequences {
	return &Sequences{cells: make([]sequenceCell, conns*publishers), publishers: publishers}
}

// Observe records that a message arrived.
func (s *Sequences) Observe(conn int, publisher, sequence uint32) Arrival {
	cell := &s.cells[conn*s.publishers+int(publisher)]
	if sequence > cell.highest {
		cell.seen = cell.seen<<(sequence-cell.highest) | 1
		cell.highest = sequence
		return ArrivalNew
	}
	behind := cell.highest - sequence
	if behind >= SequenceWindow {
		return ArrivalStale
	}
	if bit := uint64(1) << behind; cell.seen&bit == 0 {
		cell.seen |= bit
		return ArrivalLate
	}
	return ArrivalDuplicate
}
