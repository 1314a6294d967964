package cluster

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"roost/conn/frame"
)

var someone = id{1, 2, 3, 4, 5, 6, 7, 8}

func TestMessagesRoundTrip(t *testing.T) {
	long := strings.Repeat("t", maxTopic)
	for _, it := range []item{
		{seq: 1, topics: []string{"a"}, frame: text("hello")},
		{seq: 1<<64 - 1, topics: []string{"a.b/c:d~e@f_-", long}, frame: frame.Prepare(frame.Binary, []byte{0xff})},
		{seq: 2, topics: slices.Repeat([]string{long}, mostText), key: strings.Repeat("k", mostText), frame: text("")},
		{seq: 3, topics: []string{"a"}, key: "\x00", frame: text("é")},
	} {
		m, err := parse(appendMessage(nil, someone, &it), it.topics[0])
		if err != nil || m.from != someone || m.seq != it.seq || !slices.Equal(m.topics, it.topics) || m.key != it.key ||
			m.opcode != it.frame.Opcode() || !bytes.Equal(m.payload, it.frame.Payload()) {
			t.Errorf("%d topics and a key of %d: %v, %+v", len(it.topics), len(it.key), err, m)
		}
	}
}

// TestMalformed leaves out, changes or adds what must be as it is.
func TestMalformed(t *testing.T) {
	whole := "\x01\x71" + string(someone[:]) + "\x00\x00\x00\x00\x00\x00\x00\x01" + "\x02\x01a\x01b" + "\x01k"
	if _, err := parse([]byte(whole), "a"); err != nil {
		t.Fatal("the example is malformed itself")
	}
	for n := range len(whole) {
		if _, err := parse([]byte(whole[:n]), "a"); err == nil {
			t.Errorf("%d of %d bytes are accepted", n, len(whole))
		}
	}
	for about, b := range map[string]string{
		"version 0": "\x00\x01x", "version 2": "\x02\x01x", "unknown flag": "\x01\x81x", "opcode 0": "\x01\x00x",
		"ping": "\x01\x09x", "close": "\x01\x08x", "opcode 3": "\x01\x03x", "no UTF-8": "\x01\x01\xc3",
		"no topic": "\x01\x21\x00x", "empty topic": "\x01\x21\x01\x00x", "bad topic": "\x01\x21\x01\x01*x",
		"node without a name": "\x01\x11\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01x",
		"number 0":            "\x01\x11" + string(someone[:]) + "\x00\x00\x00\x00\x00\x00\x00\x00x",
	} {
		if m, err := parse([]byte(b), "a"); err == nil {
			t.Errorf("%s is accepted: %+v", about, m)
		}
	}
	for _, topic := range []string{"", "a b", "*", ">", strings.Repeat("a", maxTopic+1)} {
		if _, err := parse([]byte("\x01\x01x"), topic); err == nil {
			t.Errorf("topic %q is accepted", topic)
		}
	}
}

// What parses is written the same way again.
func FuzzParse(f *testing.F) {
	f.Add([]byte("\x01\x01hello"))
	f.Add([]byte("\x01\x71" + string(someone[:]) + "\x00\x00\x00\x00\x00\x00\x00\x01" + "\x02\x01a\x01b" + "\x01khello"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b, "a")
		if err != nil || m.seq == 0 || len(m.topics) < 2 || m.key == "" && b[1]&flagKey != 0 {
			return
		}
		it := item{seq: m.seq, topics: m.topics, key: m.key, frame: frame.Prepare(m.opcode, m.payload)}
		if again := appendMessage(nil, m.from, &it); !bytes.Equal(again, b) {
			t.Errorf("%q becomes %q", b, again)
		}
	})
}

func TestSubjects(t *testing.T) {
	s := newSubjects("n")
	for topic, subject := range map[string]string{"all": "roost.n.t.all", "a.b.c": "roost.n.t.a!b!c", "x/y:z@~_-": "roost.n.t.x/y:z@~_-"} {
		if got := s.of(topic); got != subject || s.topicOf(got) != topic {
			t.Errorf("%q: %q and back %q", topic, got, s.topicOf(got))
		}
	}
}

// A copy is recognised whatever came between, and no node is forgotten because of few others.
func TestGenerations(t *testing.T) {
	var g generations
	for n := range 3 * mostGenerations {
		if !g.fresh(id{9}, uint64(n)+1) || g.fresh(id{9}, uint64(n)+1) || g.fresh(id{9}, uint64(n)) {
			t.Fatalf("number %d of one node", n+1)
		}
		if other := (id{1, byte(n >> 8), byte(n)}); !g.fresh(other, 7) || g.fresh(other, 7) {
			t.Fatalf("node %d", n)
		}
		if len(g.young)+len(g.old) > 2*mostGenerations {
			t.Fatalf("%d nodes are kept", len(g.young)+len(g.old))
		}
	}
}
