//go:build linux

package hub

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"roost/conn"
	"roost/conn/frame"
)

func TestTopicNames(t *testing.T) {
	for _, name := range []string{"a", "all", "news/de:2024-01.x_~@", strings.Repeat("a", MaxTopic)} {
		if err := CheckTopic(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", " ", "a b", "a*", ">", "a\n", "ü", "a\x00", "a&b", "a=b", "a%20", strings.Repeat("a", MaxTopic+1)} {
		if err := CheckTopic(name); !errors.Is(err, ErrTopicName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// joined returns n connections in h.
func joined(h *Hub, n int) []*conn.Conn {
	all := make([]*conn.Conn, n)
	for i := range all {
		all[i] = conn.New(group)
		h.Join(all[i])
	}
	return all
}

// A topic exists while it has members, and whoever wants to know is told.
func TestTopicsComeAndGo(t *testing.T) {
	var told []string
	h := newHub(t, Config{Shards: 2, OnInterest: func(topic string, members bool) { told = append(told, fmt.Sprint(topic, members)) }})
	cs := joined(h, 4)
	for _, step := range []struct {
		do      func() any
		want    any
		members map[string]int
	}{
		{func() any { return h.Subscribe(cs[0], "a", 2) }, nil, map[string]int{"all": 4, "a": 1}},
		{func() any { return h.Subscribe(cs[0], "a", 2) }, nil, map[string]int{"all": 4, "a": 1}},
		{func() any { return h.Unsubscribe(cs[0], "all") }, true, map[string]int{"all": 3, "a": 1}},
		{func() any { return h.Unsubscribe(cs[0], "all") }, false, map[string]int{"all": 3, "a": 1}},
		{func() any { return h.Subscribe(cs[1], "a", 2) }, nil, map[string]int{"all": 3, "a": 2}},
		{func() any { return h.Subscribe(cs[1], "b", 2) }, nil, map[string]int{"all": 3, "a": 2, "b": 1}},
		{func() any { return h.Subscribe(cs[1], "c", 2) }, ErrTooManyTopics, map[string]int{"all": 3, "a": 2, "b": 1}},
		{func() any { return h.Unsubscribe(cs[1], "c") }, false, map[string]int{"all": 3, "a": 2, "b": 1}},
		{func() any { return fmt.Sprint(h.TopicsOf(cs[1])) }, "[all a b]", map[string]int{"all": 3, "a": 2, "b": 1}},
		{func() any { return fmt.Sprint(h.TopicsOf(cs[0])) }, "[a]", map[string]int{"all": 3, "a": 2, "b": 1}},
		{func() any { return fmt.Sprint(h.TopicsOf(cs[2])) }, "[all]", map[string]int{"all": 3, "a": 2, "b": 1}},
		{func() any { return h.Unsubscribe(cs[0], "a") }, true, map[string]int{"all": 3, "a": 1, "b": 1}},
		{func() any { return fmt.Sprint(h.TopicsOf(cs[0])) }, "[]", map[string]int{"all": 3, "a": 1, "b": 1}},
		{func() any { h.Leave(cs[1]); return nil }, nil, map[string]int{"all": 2}},
		{func() any { h.Leave(cs[0]); return nil }, nil, map[string]int{"all": 2}},
		{func() any { return h.Subscribe(cs[2], "all", 1) }, nil, map[string]int{"all": 2}},
	} {
		if got := step.do(); got != step.want {
			t.Errorf("got %v, want %v", got, step.want)
		}
		if got := maps.Collect(h.Topics()); !maps.Equal(got, step.members) {
			t.Errorf("members %v, want %v", got, step.members)
		}
		for name, n := range step.members {
			if got := h.Members(name); got != n {
				t.Errorf("%s has %d members, want %d", name, got, n)
			}
		}
	}
	if got, want := fmt.Sprint(told), "[alltrue atrue btrue bfalse afalse]"; got != want {
		t.Errorf("told %v, want %v", got, want)
	}
	if st := h.Stats(); st.Topics != 1 || st.Subscriptions != 0 {
		t.Errorf("left: %+v", st)
	}
	// Slots that are used again start in the default topic.
	for _, c := range joined(h, 2) {
		if got := fmt.Sprint(h.TopicsOf(c)); got != "[all]" {
			t.Errorf("a new connection is in %s", got)
		}
	}
}

// During a fan-out members come and go, and those that stay are visited once.
func TestPart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	h := newHub(t, Config{Shards: 1})
	s := h.shards[0]
	var in []*conn.Conn
	out := joined(h, 500)
	for _, c := range out {
		_ = h.Subscribe(c, "x", 0)
	}
	in, out = out, nil
	x, _ := h.topics.find("x")
	for range 200 {
		stays, visits := map[*conn.Conn]bool{}, map[*conn.Conn]int{}
		for _, c := range in {
			stays[c] = true
		}
		s.begin(x.alone)
		var some [stride]*conn.Conn
		for end := false; !end; {
			var k int
			k, end = s.members(x, 0, &some)
			for _, c := range some[:k] {
				visits[c]++
			}
			for range rng.IntN(40) {
				if i := rng.IntN(len(in) + len(out)); i < len(in) && len(in) > 1 {
					c := in[i]
					in[i] = in[len(in)-1]
					in, out = in[:len(in)-1], append(out, c)
					stays[c] = false
					h.Unsubscribe(c, "x")
				} else if i >= len(in) {
					i -= len(in)
					c := out[i]
					out[i] = out[len(out)-1]
					out, in = out[:len(out)-1], append(in, c)
					if err := h.Subscribe(c, "x", 0); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for c, stayed := range stays {
			if stayed && visits[c] != 1 {
				t.Fatalf("a member that stayed was visited %d times", visits[c])
			}
		}
		for _, n := range visits {
			if n > 1 {
				t.Fatalf("a member that came back was visited %d times", n)
			}
		}
	}
	p := x.parts[0].Load()
	for i, sub := range p.members {
		if int(sub.at) != i {
			t.Fatalf("member %d thinks it is at %d", i, sub.at)
		}
	}
	if len(p.members) != len(in) || h.Members("x") != len(in) {
		t.Errorf("%d and %d members, want %d", len(p.members), h.Members("x"), len(in))
	}
}

// A fan-out comes to its end, with each member once, however fast they leave and come back.
func TestFanOutEnds(t *testing.T) {
	h := newHub(t, Config{Shards: 1})
	s := h.shards[0]
	all := joined(h, 3*stride)
	for _, c := range all {
		_ = h.Subscribe(c, "x", 0)
	}
	x, _ := h.topics.find("x")
	to := []*topic{h.topics.everyone, x}
	s.begin(to)
	visits := 0
	var some [stride]*conn.Conn
	for end := false; !end; {
		var k int
		k, end = s.members(to[1], 0, &some)
		if visits += k; visits > len(all) {
			t.Fatal("somebody was visited again")
		}
		for _, c := range all {
			h.Unsubscribe(c, "x")
			_ = h.Subscribe(c, "x", 0)
		}
	}
	if visits != stride {
		t.Errorf("%d were visited, and all had left after %d", visits, stride)
	}
}

// Frames are joined and may overtake others, but on no topic the order changes.
func TestFIFOKeepsTheOrderOfEachTopic(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	all := []*topic{newTopic("0", 1), newTopic("1", 1), newTopic("2", 1), newTopic("3", 1)}
	var q fifo
	pushed, taken, joined := 0, 0, 0
	last := map[*topic]int{}
	number := map[*frame.Prepared]int{}
	for round := 0; round < 5000 || q.frames > 0; round++ {
		for range rng.IntN(6) {
			if round >= 5000 {
				break
			}
			a := all[rng.IntN(len(all))]
			to := a.alone
			if b := all[rng.IntN(len(all))]; b != a && rng.IntN(4) == 0 {
				to = []*topic{a, b}
			}
			f := frame.Prepare(frame.Text, make([]byte, rng.IntN(20)))
			pushed++
			number[f] = pushed
			q.push(item{frame: f, to: to})
		}
		if rng.IntN(2) == 0 || q.frames == 0 {
			continue
		}
		batch := q.take(nil, 8, 60)
		bytes := 0
		for _, it := range batch {
			bytes += len(it.frame.Bytes())
			if !it.goesWith(&batch[0]) {
				t.Fatal("frames of different topics were joined")
			}
			for _, to := range it.to {
				if number[it.frame] <= last[to] {
					t.Fatalf("%d comes behind %d", number[it.frame], last[to])
				}
				last[to] = number[it.frame]
			}
		}
		if len(batch) > 8 || len(batch) > 1 && bytes > 60 {
			t.Fatalf("%d frames of %d bytes were joined", len(batch), bytes)
		}
		taken += len(batch)
		joined += len(batch) - 1
		q.settle()
		if q.frames != pushed-taken || q.pushed() != uint64(pushed) || int(q.first) > taken {
			t.Fatalf("%d wait, %d pushed, first is %d; %d were pushed and %d taken", q.frames, q.pushed(), q.first, pushed, taken)
		}
	}
	if taken != pushed || joined < taken/10 {
		t.Errorf("of %d frames %d were taken and %d joined", pushed, taken, joined)
	}
}

// A connection that asks for nothing costs nothing more, and a further topic little.
func TestTopicMemory(t *testing.T) {
	const n, each = 20_000, 4
	h := newHub(t, Config{Shards: 2})
	all := joined(h, n)
	for _, s := range h.shards {
		for _, ch := range s.chunks {
			if ch.topics != nil {
				t.Fatal("something is kept without need")
			}
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	names := [each]string{"a", "b", "c", "d"}
	var sizes [each + 1]uint64
	sizes[0] = heap()
	for i, name := range names {
		for _, c := range all {
			if err := h.Subscribe(c, name, each); err != nil {
				t.Fatal(err)
			}
		}
		sizes[i+1] = heap()
		got := float64(sizes[i+1]-sizes[i]) / n
		t.Logf("topic %d: %.1f bytes for each of %d connections", i+1, got, n)
		if got > 64 {
			t.Errorf("topic %d takes %.1f bytes for each connection; want 64 or less", i+1, got)
		}
	}
	for _, c := range all {
		h.Leave(c)
	}
	if st := h.Stats(); st.Topics != 1 || st.Subscriptions != 0 || h.Slots() != 0 {
		t.Errorf("left: %+v", st)
	}
}

// Topics come and go on all sides while messages are published to them.
func TestTopicsUnderLoad(t *testing.T) {
	h := newHub(t, Config{Shards: 2})
	names := []string{"all", "a", "b", "c"}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(5, uint64(g)))
			for range 300 {
				c := conn.New(group)
				h.Join(c)
				for range rng.IntN(6) {
					name := names[rng.IntN(len(names))]
					if rng.IntN(3) == 0 {
						h.Unsubscribe(c, name)
					} else if err := h.Subscribe(c, name, 0); err != nil {
						t.Error(err)
					}
					if slices.Contains(h.TopicsOf(c), name) && h.Members(name) < 1 {
						t.Errorf("%s has a member and has none", name)
					}
				}
				if err := h.PublishFrom(c, frame.Prepare(frame.Text, nil)); err != nil && !errors.Is(err, ErrBusy) {
					t.Error(err)
				}
				if _, err := h.PublishWait(t.Context(), Message{Topics: names[rng.IntN(4):], Frame: frame.Prepare(frame.Text, nil)}); err != nil {
					t.Error(err)
				}
				h.Leave(c)
			}
		})
	}
	wg.Wait()
	if err := h.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := h.Stats(); st.Topics != 1 || st.Subscriptions != 0 || h.Members("all") != 0 {
		t.Errorf("left: %+v, %d members", st, h.Members("all"))
	}
}

// Who is in a topic gets all that has a number behind the subscription, also when the topic
// had no members at the time of the call.
func TestSubscribersMissNoNumber(t *testing.T) {
	h := newHub(t, Config{Shards: 1})
	c := joined(h, 1)[0]
	stop := make(chan struct{})
	var reached []Published
	var wg sync.WaitGroup
	wg.Go(func() {
		m := Message{Topics: []string{"x"}, Frame: frame.Prepare(frame.Text, nil)}
		for {
			select {
			case <-stop:
				return
			default:
			}
			if p, err := h.Publish(m); err == nil {
				reached = append(reached, p)
			}
		}
	})
	var spans [][2]uint64 // numbers in which c was a member
	for range 20_000 {
		_ = h.Subscribe(c, "x", 0)
		from := h.Stats().Published
		runtime.Gosched()
		spans = append(spans, [2]uint64{from, h.Stats().Published})
		h.Unsubscribe(c, "x")
	}
	close(stop)
	wg.Wait()
	for _, p := range reached {
		for len(spans) > 0 && spans[0][1] < p.Seq {
			spans = spans[1:]
		}
		if len(spans) > 0 && p.Seq > spans[0][0] && p.Members != 1 {
			t.Fatalf("number %d reached %d members, and there was one from %d to %d", p.Seq, p.Members, spans[0][0], spans[0][1])
		}
	}
}

// A message goes to those topics of its sender to which he may publish.
func TestPublishingIsAllowed(t *testing.T) {
	var relayed [][]string
	h := newHub(t, Config{
		MayPublish: func(_ *conn.Conn, topic string) bool { return strings.HasPrefix(topic, "a") },
		Relay:      func(topics []string, _ *frame.Prepared, _ string) { relayed = append(relayed, topics) },
	})
	c := joined(h, 1)[0]
	f := frame.Prepare(frame.Text, nil)
	for _, topics := range [][]string{{"b", "a1", "c", "a2"}, {"b"}, {"a"}} {
		for _, topic := range topics {
			if err := h.Subscribe(c, topic, 0); err != nil {
				t.Fatal(err)
			}
		}
		err := h.PublishFrom(c, f)
		if may := slices.ContainsFunc(h.TopicsOf(c), func(s string) bool { return s[0] == 'a' }); may != (err == nil) || !may && !errors.Is(err, ErrForbidden) {
			t.Errorf("%v: %v", h.TopicsOf(c), err)
		}
		for _, topic := range h.TopicsOf(c) {
			h.Unsubscribe(c, topic)
		}
	}
	if err := h.PublishFrom(c, f); err != nil {
		t.Errorf("in no topic: %v", err)
	}
	for i, want := range []string{"[all a1 a2]", "[a]"} {
		if i >= len(relayed) || fmt.Sprint(relayed[i]) != want {
			t.Errorf("published to %v", relayed)
		}
	}
}
