//go:build linux

package server

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/hub"
)

// Everybody gets what is sent to a topic of theirs, once, and nothing else.
func TestTopics(t *testing.T) {
	s, _ := prepare(t, Config{Handler: Chat(), Shards: 2})
	addr := run(t, s)
	clients := map[string][]*conntest.Client{}
	for _, query := range []string{"", "?topic=a", "?topic=b", "?topic=a&topic=b&topic=a", "?x=1&topic=all&topic=a", "?topic=%61"} {
		for range 3 {
			clients[query] = append(clients[query], conntest.Dial(t, addr, "/ws"+query))
		}
	}
	for topic, n := range map[string]int{"all": 6, "a": 12, "b": 6} {
		if got := s.Hub().Members(topic); got != n {
			t.Errorf("%s has %d members, want %d", topic, got, n)
		}
	}
	everybody, a, b := []string{"", "?x=1&topic=all&topic=a"}, []string{"?topic=a", "?topic=a&topic=b&topic=a", "?x=1&topic=all&topic=a", "?topic=%61"}, []string{"?topic=b", "?topic=a&topic=b&topic=a"}
	n := 0
	for from, to := range map[string][]string{
		"": everybody, "?topic=a": a, "?topic=b": b, "?topic=%61": a,
		"?topic=a&topic=b&topic=a": append(slices.Clone(a), "?topic=b"),
		"?x=1&topic=all&topic=a":   append(slices.Clone(a), ""),
	} {
		for i := range 3 {
			n++
			text := fmt.Sprint(n, " from ", from, i)
			clients[from][i].Text(text)
			for _, query := range to {
				for _, c := range clients[query] {
					c.ExpectText(text) // so nothing else came before
				}
			}
		}
	}
	for _, names := range [][]string{{"a"}, {"b", "a"}, {"nobody"}, {"nobody", "all"}, nil} {
		n++
		text := fmt.Sprint(n, " to ", names)
		if _, err := s.Hub().Publish(hub.Message{Topics: names, Frame: frame.Prepare(frame.Text, []byte(text))}); err != nil {
			t.Fatal(err)
		}
		for query, cs := range clients {
			gets := names == nil && slices.Contains(everybody, query) ||
				slices.Contains(names, "a") && slices.Contains(a, query) ||
				slices.Contains(names, "b") && slices.Contains(b, query) ||
				slices.Contains(names, "all") && slices.Contains(everybody, query)
			for _, c := range cs {
				if gets {
					c.ExpectText(text)
				}
			}
		}
	}
	for _, cs := range clients {
		for _, c := range cs {
			c.Raw(conntest.CloseFrame(1000, ""))
			c.Closed()
		}
	}
	eventually(t, "topics without members are gone", func() bool { return s.Hub().Stats().Topics == 1 })
}

// Who stops reading gets the last value of each key when it goes on, in the order of
// publishing and behind what was on its way; what waits for it meanwhile stays small.
func TestLatestValuesForWhoStoodStill(t *testing.T) {
	const keys, rounds = 20, 2000
	s, _ := prepare(t, Config{Handler: Chat(), SlowConsumer: conn.Conflate, WriteQueueFrames: 64})
	addr := run(t, s)
	c := conntest.DialNarrow(t, addr, "/ws?topic=prices", 4096)
	value := func(key, round int) string { return fmt.Sprintf("%d=%d %s", key, round, strings.Repeat("x", 200)) }
	most := 0
	for round := range rounds {
		for key := range keys {
			_, err := s.Hub().PublishWait(t.Context(), hub.Message{
				Topics: []string{"prices"}, Key: fmt.Sprint(key), Frame: frame.Prepare(frame.Text, []byte(value(key, round)))})
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, info := range s.Inspect(ByQueue, 1) {
			most = max(most, info.Backlog.Frames)
		}
	}
	if err := s.Hub().Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Conflated < rounds*keys/2 || most > keys+1 || st.WriteQueued > 64<<10 {
		t.Errorf("%d of %d were replaced, up to %d frames waited, %d bytes now", st.Conflated, rounds*keys, most, st.WriteQueued)
	}
	last, order := map[int]int{}, []int(nil)
	for len(order) < keys {
		_, payload, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		var key, round int
		if _, err := fmt.Sscanf(string(payload), "%d=%d", &key, &round); err != nil || string(payload) != value(key, round) {
			t.Fatalf("%q %v", payload, err)
		}
		if before, ok := last[key]; ok && round <= before {
			t.Fatalf("key %d is %d behind %d", key, round, before)
		}
		if last[key] = round; round == rounds-1 {
			order = append(order, key)
		} else if len(order) > 0 {
			t.Fatalf("key %d is %d behind a last value", key, round)
		}
	}
	if !slices.IsSorted(order) {
		t.Errorf("the last values came in the order %v", order)
	}
	if ended(s, conn.ReasonSlowConsumer) != 0 {
		t.Error("it was closed")
	}
}

func TestTopicsRefused(t *testing.T) {
	s, _ := prepare(t, Config{Handler: Chat(), MaxTopics: 3})
	addr := run(t, s)
	for query, want := range map[string]string{
		"topic=":                                "letters",
		"topic=a%":                              "letters",
		"topic=a%20b":                           "letters",
		"topic=a+b":                             "letters",
		"topic=*":                               "letters",
		"topic=%00":                             "letters",
		"topic=" + strings.Repeat("a", 129):     "letters",
		"topic=a&topic=b&topic=c&topic=d":       "3 or less",
		"topic=a&topic=b&topic=c&topic=d&topic": "3 or less",
	} {
		c := conntest.Connect(t, addr)
		c.Raw([]byte(conntest.Request(addr, "/ws?"+query)))
		r := c.Response()
		if body, err := io.ReadAll(r.Body); err != nil || r.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %q %v", query, r.StatusCode, body, err)
		}
	}
	for _, query := range []string{"topic", "topics=%", "Topic=*", "&&", "topic=a&topic=b&topic=c&topic=a", "topic=" + strings.Repeat("a", 128)} {
		conntest.Dial(t, addr, "/ws?"+query)
	}
	if st := s.Hub().Stats(); st.Topics != 1+4 {
		t.Errorf("%d topics", st.Topics)
	}
}

func TestTopicFaults(t *testing.T) {
	for _, c := range []Config{{DefaultTopic: "a b"}, {MaxTopics: 1<<16 + 1}} {
		c.Listen, c.Handler = []string{"127.0.0.1:0"}, Chat()
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "topic") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
