package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"roost/conn/conntest/natstest"
	"roost/conn/frame"
)

// Several publishers on each of three nodes: everybody else gets everything that is for its topics,
// once, and in the order of each publisher.
func TestThreeNodes(t *testing.T) {
	server := natstest.Run(t)
	config := Config{URLs: []string{server.ClientURL()}}
	nodes := []*node{newNode(t, config, "a", "b"), newNode(t, config, "b", "c.d"), newNode(t, config, "a", "b", "c.d")}
	met(t, nodes...)
	const publishers, each = 4, 300
	to := [][]string{{"a"}, {"b"}, {"a", "b"}, {"c.d"}, {"a", "c.d", "nobody"}, {"nobody"}}
	var all sync.WaitGroup
	for i, n := range nodes {
		for p := range publishers {
			all.Go(func() {
				for k := range each {
					n.Publish(to[k%len(to)], text(fmt.Sprintf("%d.%d.%d", i, p, k)), "")
				}
			})
		}
	}
	all.Wait()
	for i, n := range nodes {
		want := map[string][]string{} // by publisher
		count := 0
		for from := range nodes {
			for p := range publishers {
				for k := range each {
					topics := to[k%len(to)]
					if from != i && slices.ContainsFunc(topics, func(topic string) bool { return n.members[topic] > 0 }) {
						publisher := fmt.Sprintf("%d.%d", from, p)
						want[publisher] = append(want[publisher], fmt.Sprintf("1 %s  %s.%d", strings.Join(topics, "+"), publisher, k))
						count++
					}
				}
			}
		}
		eventually(t, "all has arrived", func() bool { return len(n.received()) >= count })
		got := map[string][]string{}
		for _, m := range n.received() {
			payload := m[strings.LastIndex(m, " ")+1:]
			publisher := payload[:strings.LastIndex(payload, ".")]
			got[publisher] = append(got[publisher], m)
		}
		for publisher := range want {
			if !slices.Equal(got[publisher], want[publisher]) {
				t.Errorf("node %d has %d messages of publisher %s, want %d in order", i, len(got[publisher]), publisher, len(want[publisher]))
			}
		}
		if len(got) != len(want) {
			t.Errorf("node %d has messages of %d publishers, want %d", i, len(got), len(want))
		}
	}
	for i, n := range nodes {
		s := n.Stats()
		if s.MessagesOut != publishers*each || s.Lost != [Losses]uint64{} || s.MessagesIn != uint64(len(n.received())) || s.BytesIn == 0 || s.BytesOut == 0 {
			t.Errorf("node %d: %+v", i, s)
		}
		// Node 0 is in one topic of each message that it gets, or in a and b.
		if i == 0 && s.Repeats == 0 {
			t.Error("no copy of a message for two topics was recognised")
		}
		eventually(t, "nothing is kept", func() bool { return n.Stats().QueuedBytes == 0 })
	}
}

// What clients get arrives as it was sent.
func TestMessagesArriveAsTheyAre(t *testing.T) {
	config := Config{URLs: []string{natstest.Run(t).ClientURL()}, Name: "other"}
	a, b := newNode(t, config), newNode(t, config, "all", "x/y:z@~_-.1")
	met(t, a, b)
	a.Publish(nil, frame.Prepare(frame.Binary, []byte{0xff, 0}), "")
	a.Publish([]string{"x/y:z@~_-.1"}, text(""), "a key with spaces")
	eventually(t, "both have arrived", func() bool { return len(b.received()) == 2 })
	if got, want := fmt.Sprintf("%q", b.received()), `["2 all  \xff\x00" "1 x/y:z@~_-.1 a key with spaces "]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A fleet does not hear those of another name.
func TestNamesKeepFleetsApart(t *testing.T) {
	url := []string{natstest.Run(t).ClientURL()}
	a, b, c := newNode(t, Config{URLs: url, Name: "one"}), newNode(t, Config{URLs: url, Name: "two"}, "x"), newNode(t, Config{URLs: url, Name: "one"}, "x")
	met(t, a, c)
	met(t, b)
	a.Publish([]string{"x"}, text("hello"), "")
	eventually(t, "it has arrived", func() bool { return len(c.received()) == 1 })
	if got := b.received(); len(got) != 0 || b.Stats().MessagesIn != 0 {
		t.Errorf("the other fleet got %q", got)
	}
}

// subscribed counts the subscriptions of all nodes to topics in NATS.
func subscribed(t *testing.T, server *natsserver.Server) (topics []string) {
	t.Helper()
	all, err := server.Subsz(&natsserver.SubszOptions{Subscriptions: true, Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all.Subs {
		if strings.Contains(s.Subject, ".t.") {
			topics = append(topics, s.Subject)
		}
	}
	slices.Sort(topics)
	return topics
}

// NATS knows of the topics that have members, and of no others.
func TestInterest(t *testing.T) {
	server := natstest.Run(t)
	config := Config{URLs: []string{server.ClientURL()}}
	a, b := newNode(t, config, "x"), newNode(t, config)
	met(t, a, b)
	want := func(what string, want ...string) {
		t.Helper()
		eventually(t, what, func() bool { return slices.Equal(subscribed(t, server), want) })
	}
	want("one topic", "roost.roost.t.x")
	b.join("x", 3)
	b.join("y.z", 1)
	want("three subscriptions", "roost.roost.t.x", "roost.roost.t.x", "roost.roost.t.y!z")
	b.join("x", -2)
	a.join("x", -1)
	b.join("y.z", -1)
	want("the one with a member is left", "roost.roost.t.x")
	b.join("x", -1)
	want("none")
	if a.Stats().Subscriptions != 0 || b.Stats().Subscriptions != 0 {
		t.Error("subscriptions are counted that there are not")
	}
}

// Topics that come and go all the time cost NATS little, and end up right.
func TestFlappingTopics(t *testing.T) {
	server := natstest.Run(t)
	a := newNode(t, Config{URLs: []string{server.ClientURL()}})
	met(t, a)
	const topics, rounds = 50, 400
	before := server.NumSubscriptions()
	var all sync.WaitGroup
	for g := range 5 {
		all.Go(func() {
			for range rounds {
				for i := g; i < topics; i += 5 {
					a.join("flap"+strconv.Itoa(i), 1)
				}
				for i := g; i < topics; i += 5 {
					a.join("flap"+strconv.Itoa(i), -1)
				}
			}
			for i := g; i < topics; i += 10 { // every second one stays
				a.join("flap"+strconv.Itoa(i), 1)
			}
		})
	}
	all.Wait()
	a.interest.mu.Lock()
	kept := len(a.interest.subs) + len(a.interest.missing) + len(a.interest.idle)
	a.interest.mu.Unlock()
	if kept > 3*topics {
		t.Errorf("%d entries for %d topics", kept, topics)
	}
	var want []string
	for topic := range a.members {
		want = append(want, "roost.roost.t."+topic)
	}
	slices.Sort(want)
	if len(want) != topics/2 {
		t.Fatalf("%d topics are left, want %d", len(want), topics/2)
	}
	eventually(t, "those with members are subscribed to", func() bool { return slices.Equal(subscribed(t, server), want) })
	if n := server.NumSubscriptions() - before; n != topics/2 {
		t.Errorf("%d more subscriptions, want %d", n, topics/2)
	}
	// Each of 20,000 joins would be a subscription otherwise.
	stats, err := server.Subsz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if stats.NumInserts > 10*topics {
		t.Errorf("%d subscriptions were made for %d joins", stats.NumInserts, topics*rounds)
	}
}

// Whoever leaves and comes back while the subscription is being made or ended is subscribed in the end.
func TestInterestUnit(t *testing.T) {
	n := newInterest()
	n.set("x", true)
	n.set("x", false)
	if got := n.next(make([]string, 0, 9)); len(got) != 0 || len(n.members)+len(n.missing)+len(n.idle)+len(n.subs) != 0 {
		t.Fatalf("a topic that has gone again leaves %v", got)
	}
	n.set("x", true)
	if got := n.next(make([]string, 0, 9)); !slices.Equal(got, []string{"x"}) {
		t.Fatal(got)
	}
	n.set("x", false) // while it is being made
	sub := &nats.Subscription{}
	n.made("x", sub)
	if got := n.sweep(); len(got) != 0 {
		t.Error("the subscription has ended at once")
	}
	n.set("x", true)
	if got := append(n.sweep(), n.sweep()...); len(got) != 0 {
		t.Error("the subscription of a topic with members has ended")
	}
	n.set("x", false)
	n.sweep()
	if got := n.sweep(); !slices.Equal(got, []*nats.Subscription{sub}) || n.count() != 0 {
		t.Error("the subscription of a topic without members has not ended")
	}
	n.set("x", true)
	n.begin()
	if got := n.next(make([]string, 0, 9)); !slices.Equal(got, []string{"x"}) || len(n.idle) != 0 {
		t.Errorf("a new connection subscribes to %v", got)
	}
}

// A stop waits for NATS, and without NATS for nobody.
func TestClose(t *testing.T) {
	server := natstest.Run(t)
	config := Config{URLs: []string{server.ClientURL()}}
	a, b := newNode(t, config), newNode(t, config, "x")
	met(t, a, b)
	const n = 5000
	for range n {
		a.Publish([]string{"x"}, text("hello"), "")
	}
	a.Close(t.Context())
	eventually(t, "it is known that a has gone", func() bool { return b.Stats().Nodes == 0 })
	eventually(t, "all has arrived", func() bool { return len(b.received()) == n })
	a.Publish([]string{"x"}, text("late"), "")
	if s := a.Stats(); s.Lost[LossStopped] != 1 || s.Connected {
		t.Errorf("after the stop: %+v", s)
	}
	natstest.Stop(server)
	eventually(t, "b knows", func() bool { return b.Ready() != nil })
	for range 3 {
		b.Publish([]string{"x"}, text("hello"), "")
	}
	b.Close(context.Background()) // would wait for ever
	if s := b.Stats(); s.Lost[LossStopped] != 3 || !strings.Contains(b.log.String(), "messages=3") {
		t.Errorf("lost: %v\n%s", s.Lost, b.log)
	}
}

// A bus that is not started holds nothing.
func TestNotStarted(t *testing.T) {
	b, err := New(Config{URLs: []string{"nats://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	b.Close(t.Context())
	if b.Ready() == nil {
		t.Error("it is ready")
	}
}

// Without NATS a node starts and says so, once.
func TestNATSComesLater(t *testing.T) {
	server := natstest.Run(t)
	again, address := natstest.On(natstest.Port(server)), server.Addr().String()
	natstest.Stop(server)
	config := Config{URLs: []string{"nats://user:secretpassword@" + address}}
	a, b := newNode(t, config), newNode(t, config, "x")
	eventually(t, "it is logged", func() bool { return strings.Contains(a.log.String(), "cannot connect to NATS") })
	if err := a.Ready(); !errors.Is(err, ErrNotConnected) {
		t.Errorf("ready: %v", err)
	}
	a.Publish([]string{"x"}, text("early"), "")
	natstest.Run(t, again)
	met(t, a, b)
	a.Publish([]string{"x"}, text("late"), "")
	eventually(t, "it arrives", func() bool { return slices.Contains(b.received(), "1 x  late") })
	if a.Ready() != nil {
		t.Error("not ready")
	}
	if log := a.log.String(); strings.Count(log, "cannot connect") != 1 || strings.Contains(log, "secretpassword") {
		t.Errorf("log:\n%s", log)
	}
}

// What has come before the end of a connection is not forgotten with it.
func TestTakenAtTheEnd(t *testing.T) {
	b, err := New(Config{URLs: []string{"nats://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	const messages = 100
	s := &session{bus: b, topics: make(chan *nats.Msg, messages), taken: make(chan struct{}, 1), gone: make(chan struct{})}
	for range messages {
		s.topics <- &nats.Msg{Subject: b.subjects.of("a"), Data: []byte("\x01\x01hello")}
	}
	close(s.gone)
	s.take()
	if n := b.Stats().MessagesIn; n != messages {
		t.Errorf("%d of %d messages were taken", n, messages)
	}
}

// A node that cannot deliver loses the oldest messages, counts them, and holds up nobody.
func TestSlowNode(t *testing.T) {
	config := Config{URLs: []string{natstest.Run(t).ClientURL()}, QueueBytes: 1 << 20}
	a, slow, quick := newNode(t, config), newNode(t, config, "x"), newNode(t, config, "x")
	met(t, a, slow, quick)
	gate := make(chan struct{})
	slow.mu.Lock()
	slow.gate = gate
	slow.mu.Unlock()
	const n = 4000
	payload := strings.Repeat("x", 1000)
	for i := range n {
		a.Publish([]string{"x"}, text(fmt.Sprint(payload, i)), "")
		// At the pace of the quick one, so that nothing is lost before NATS.
		eventually(t, "the quick one has it", func() bool { return len(quick.received()) >= i-100 })
	}
	eventually(t, "all have passed", func() bool { return slow.Stats().MessagesIn == n && len(quick.received()) == n })
	s := slow.Stats()
	if !s.Connected || s.Connects != 1 || s.Lost[LossHubBusy] < n-1100 || a.Stats().Lost != [Losses]uint64{} {
		t.Errorf("%+v", s)
	}
	eventually(t, "it is logged", func() bool { return strings.Contains(slow.log.String(), "reason=hub-busy") })
	close(gate)
	want := n - int(s.Lost[LossHubBusy])
	eventually(t, "the rest arrives", func() bool { return len(slow.received()) == want })
	got := slow.received()
	for i, m := range got[1:] { // the first was taken out before the others were lost
		if want := fmt.Sprint("1 x  ", payload, n-len(got)+1+i); m != want {
			t.Fatalf("message %d is ...%s, want ...%s", i, m[1000:], want[1000:])
		}
	}
	if strings.Count(slow.log.String(), "messages between nodes are lost") != 1 {
		t.Errorf("log:\n%s", slow.log)
	}
}

// Others publish too, well or badly.
func TestOtherPrograms(t *testing.T) {
	server := natstest.Run(t)
	a := newNode(t, Config{URLs: []string{server.ClientURL()}, MaxMessage: 100}, "x")
	met(t, a)
	nc, err := nats.Connect(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	publish := func(data string) {
		if err := nc.Publish("roost.roost.t.x", []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	bad := []string{"", "\x01", "hello", "\x02\x01hello", "\x01\x01\xff", "\x01\x09ping"}
	for _, data := range bad {
		publish(data)
	}
	publish("\x01\x01" + strings.Repeat("x", 101))
	publish("\x01\x01hello")
	publish("\x01\x01hello") // nobody's number: no copy
	publish("\x01\x42\x03key\xff")
	eventually(t, "the good ones arrive", func() bool { return len(a.received()) == 3 })
	if got, want := fmt.Sprintf("%q", a.received()), `["1 x  hello" "1 x  hello" "2 x key \xff"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if s := a.Stats(); s.Lost[LossMalformed] != uint64(len(bad)) || s.Lost[LossTooLarge] != 1 || s.MessagesIn != 3 {
		t.Errorf("%+v", s)
	}
}

// What NATS does not take, or what cannot be said, is lost and counted, and the rest goes on.
func TestTooLarge(t *testing.T) {
	server := natstest.Run(t, func(o *natsserver.Options) { o.MaxPayload = 1000 })
	config := Config{URLs: []string{server.ClientURL()}, QueueBytes: 64 << 10}
	a, b := newNode(t, config), newNode(t, config, "x")
	met(t, a, b)
	a.Publish([]string{"x"}, text(strings.Repeat("x", 1000)), "")
	a.Publish([]string{"x"}, text(strings.Repeat("x", 64<<10)), "")
	a.Publish(slices.Repeat([]string{"x"}, 256), text("hello"), "")
	a.Publish([]string{"x"}, text("hello"), strings.Repeat("k", 256))
	a.Publish([]string{"x"}, text("hello"), "")
	eventually(t, "the last arrives", func() bool { return len(b.received()) == 1 })
	if s := a.Stats(); s.Lost[LossTooLarge] != 2 || s.Lost[LossTopics] != 2 || s.MessagesOut != 1 || s.Connects != 1 {
		t.Errorf("%+v", s)
	}
	eventually(t, "nothing is kept", func() bool { return a.Stats().QueuedBytes == 0 })
}

// Publish takes no time that depends on NATS, and little memory.
func TestPublishDoesNotWait(t *testing.T) {
	b, err := New(Config{URLs: []string{"nats://127.0.0.1:1"}, QueueBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	f, topics := text("hello"), []string{"x"}
	for range 10_000 { // many times what fits
		b.Publish(topics, f, "")
	}
	s := b.Stats()
	if kept := uint64(b.out.len()); s.Lost[LossQueueFull] != 10_000-kept || kept == 0 || s.QueuedBytes > 64<<10 {
		t.Errorf("%d kept, %+v", kept, s)
	}
	if n := testing.AllocsPerRun(1000, func() { b.Publish(topics, f, "") }); n > 1 {
		t.Errorf("%v allocations, want the slice of topics only", n)
	}
}
