//go:build linux

package server

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

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
