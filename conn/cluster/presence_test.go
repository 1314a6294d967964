package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"roost/conn/conntest/natstest"
)

// Members are counted on all nodes.
func TestPresence(t *testing.T) {
	server := natstest.Run(t)
	config := Config{URLs: []string{server.ClientURL()}}
	a, b, c := newNode(t, config, "x"), newNode(t, config), newNode(t, config, "news.de")
	a.join("news.en", 1)
	b.join("news.en", 4)
	c.join("x", 2)
	for i := range 30 { // each is first on one node, and last in all
		a.join(fmt.Sprintf("only-a-%02d", i), 3)
	}
	met(t, a, b, c)
	for _, test := range []struct {
		ask  *node
		q    Query
		want string
	}{
		{a, Query{Topics: []string{"news.en", "x", "none", "x"}}, "[{news.en 5} {x 3} {none 0}] 3 3"},
		{b, Query{Topics: []string{"news.en"}}, "[{news.en 5}] 3 3"},
		{b, Query{Prefix: "news.", Limit: 20}, "[{news.en 5} {news.de 1}] 3 3"},
		{c, Query{Limit: 2}, "[{news.en 5} {only-a-00 3}] 3 3"},
		{c, Query{Prefix: "only-", Limit: 1}, "[{only-a-00 3}] 3 3"},
		{a, Query{Prefix: "nothing", Limit: 1}, "[] 3 3"},
	} {
		p, err := test.ask.Presence(t.Context(), test.q)
		if got := fmt.Sprint(p.Topics, p.Nodes, p.Answered); got != test.want || err != nil {
			t.Errorf("%+v: %s, %v; want %s", test.q, got, err, test.want)
		}
	}
	all, err := b.Presence(t.Context(), Query{Limit: MaxTopics})
	if err != nil || len(all.Topics) != 33 {
		t.Errorf("%d topics, %v", len(all.Topics), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Presence(ctx, Query{Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	// One that has announced itself does not answer.
	nc, err := nats.Connect(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	mute, _ := json.Marshal(announcement{Node: "mute"})
	if err := nc.Publish("roost.roost.node", mute); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is known", func() bool { return a.Stats().Nodes == 3 })
	if p, err := a.Presence(t.Context(), Query{Topics: []string{"x"}}); fmt.Sprint(p, err) != "{[{x 3}] 4 3} <nil>" {
		t.Errorf("with one that is mute: %v, %v", p, err)
	}
	natstest.Stop(server)
	eventually(t, "a knows", func() bool { return a.Ready() != nil })
	if p, err := a.Presence(t.Context(), Query{Topics: []string{"x"}}); fmt.Sprint(p.Topics, p.Answered, err) != "[{x 1}] 1 <nil>" {
		t.Errorf("without NATS: %v, %v", p, err)
	}
}

// Requests, answers and announcements that are wrong change nothing.
func TestPresenceOfOthers(t *testing.T) {
	server := natstest.Run(t)
	a, b := newNode(t, Config{URLs: []string{server.ClientURL()}}, "x"), newNode(t, Config{URLs: []string{server.ClientURL()}})
	met(t, a, b)
	nc, err := nats.Connect(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	answers := make(chan *nats.Msg, 10)
	if _, err := nc.ChanSubscribe("roost.roost.answer.me", answers); err != nil {
		t.Fatal(err)
	}
	elsewhere := make(chan *nats.Msg, 10)
	if _, err := nc.ChanSubscribe("elsewhere", elsewhere); err != nil {
		t.Fatal(err)
	}
	ask := func(to, body string) {
		t.Helper()
		if err := nc.PublishRequest("roost.roost.presence", to, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{"", "{", `{"limit":0}`, `{"limit":1001}`, `{"limit":-1}`} {
		ask("roost.roost.answer.me", bad)
	}
	ask("elsewhere", `{"limit":1}`)
	for _, bad := range []string{"", "{", `{"node":""}`, `{"node":1}`} {
		if err := nc.Publish("roost.roost.node", []byte(bad)); err != nil {
			t.Fatal(err)
		}
	}
	ask("roost.roost.answer.me", `{"topics":["x"]}`)
	for range 2 { // of both nodes to the last request
		var r reply
		if err := json.Unmarshal((<-answers).Data, &r); err != nil || len(r.Topics) != 1 || r.Topics[0].Topic != "x" {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if len(answers) != 0 || len(elsewhere) != 0 || a.Stats().Nodes != 1 {
		t.Errorf("%d and %d answers, %d nodes", len(answers), len(elsewhere), a.Stats().Nodes)
	}
	for _, r := range []reply{
		{}, {Node: "n", Topics: []TopicCount{{"x", -1}}}, {Node: "n", Topics: []TopicCount{{"*", 1}}},
		{Node: "n", Topics: []TopicCount{{"x", 1}, {"y", 1}}},
	} {
		if r.valid(Query{Limit: 1}) {
			t.Errorf("%+v is accepted", r)
		}
	}
}
