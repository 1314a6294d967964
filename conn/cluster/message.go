package cluster

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"

	"roost/conn/frame"
)

const (
	version = 1

	flagNode   = 0x10
	flagTopics = 0x20
	flagKey    = 0x40
	allFlags   = flagNode | flagTopics | flagKey
	opcodeMask = 0x0f
)

// id names a node: random, new with each start. The zero value is nobody.
type id [8]byte

// Message is one of another node.
type Message struct {
	Topics []string // at least one
	Frame  *frame.Prepared
	Key    string // "" means none
}

// errMalformed is returned for what is not as the package comment says.
var errMalformed = errors.New("malformed message")

// appendMessage writes it as it goes to NATS.
func appendMessage(b []byte, from id, it *item) []byte {
	flags := byte(flagNode)
	if len(it.topics) > 1 {
		flags |= flagTopics
	}
	if it.key != "" {
		flags |= flagKey
	}
	b = append(b, version, flags|byte(it.frame.Opcode()))
	b = append(b, from[:]...)
	b = binary.BigEndian.AppendUint64(b, it.seq)
	if len(it.topics) > 1 {
		b = append(b, byte(len(it.topics)))
		for _, topic := range it.topics {
			b = appendText(b, topic)
		}
	}
	if it.key != "" {
		b = appendText(b, it.key)
	}
	return append(b, it.frame.Payload()...)
}

func appendText(b []byte, text string) []byte {
	return append(append(b, byte(len(text))), text...)
}

// mostText is the most topics, and the most bytes of a topic or key, that a byte counts.
const mostText = math.MaxUint8

// fits reports whether it can be written.
func fits(topics []string, key string) bool {
	if len(topics) == 0 || len(topics) > mostText || len(key) > mostText {
		return false
	}
	for _, topic := range topics {
		if !validTopic(topic) {
			return false
		}
	}
	return true
}

// received is what a message says. Without a node from and seq are 0.
type received struct {
	from    id
	seq     uint64
	topics  []string
	key     string
	opcode  frame.Opcode
	payload []byte // aliases the message
}

// parse reads a message that came on the subject of topic.
func parse(b []byte, topic string) (m received, err error) {
	r := reader{rest: b}
	head := r.take(2)
	if len(head) < 2 || head[0] != version || head[1]&^(allFlags|opcodeMask) != 0 {
		return m, errMalformed
	}
	if head[1]&flagNode != 0 {
		copy(m.from[:], r.take(8))
		if seq := r.take(8); seq != nil {
			m.seq = binary.BigEndian.Uint64(seq)
		}
		r.bad = r.bad || m.from == id{} || m.seq == 0
	}
	m.topics = []string{topic}
	if head[1]&flagTopics != 0 {
		m.topics = make([]string, r.byte())
		for i := range m.topics {
			m.topics[i] = r.text()
		}
	}
	if head[1]&flagKey != 0 {
		m.key = r.text()
	}
	m.payload = r.rest
	m.opcode = frame.Opcode(head[1] & opcodeMask)
	switch {
	case r.bad, !fits(m.topics, m.key):
	case m.opcode == frame.Binary, m.opcode == frame.Text && utf8.Valid(m.payload):
		return m, nil
	}
	return received{}, errMalformed
}

// reader takes parts off the front and remembers whether all were there.
type reader struct {
	rest []byte
	bad  bool
}

// take returns the next n bytes, nil when they are not there.
func (r *reader) take(n int) []byte {
	if r.bad || len(r.rest) < n {
		r.bad = true
		return nil
	}
	part := r.rest[:n]
	r.rest = r.rest[n:]
	return part
}

func (r *reader) byte() int {
	if b := r.take(1); b != nil {
		return int(b[0])
	}
	return 0
}

func (r *reader) text() string { return string(r.take(r.byte())) }
