package cluster

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"roost/conn/conntest/natstest"
)

// load is what nodes publish to topic x until it is stopped.
type load struct {
	stop    chan struct{}
	done    sync.WaitGroup
	publish []int // by node; read after done
}

func newLoad(nodes []*node, payload string) *load {
	l := &load{stop: make(chan struct{}), publish: make([]int, len(nodes))}
	for i, n := range nodes {
		l.done.Go(func() {
			ticker := time.NewTicker(time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-l.stop:
					return
				case <-ticker.C:
					for range 5 {
						n.Publish([]string{"x"}, text(fmt.Sprintf("%s%d:%d", payload, i, l.publish[i])), "")
						l.publish[i]++
					}
				}
			}
		})
	}
	return l
}

func (l *load) end() {
	close(l.stop)
	l.done.Wait()
}

// inOrder fails unless node i has got what the others published in order and once. It returns how much
// it has of each.
func (l *load) inOrder(t *testing.T, nodes []*node, i int) []int {
	t.Helper()
	next := make([]int, len(nodes))
	got := make([]int, len(nodes))
	for _, m := range nodes[i].received() {
		var from, k int
		if _, err := fmt.Sscanf(m[strings.LastIndexAny(m, " #")+1:], "%d:%d", &from, &k); err != nil {
			t.Fatal(err)
		}
		if k < next[from] {
			t.Fatalf("node %d got %d of node %d behind %d", i, k, from, next[from]-1)
		}
		next[from] = k + 1
		got[from]++
	}
	return got
}

// judge also fails when more is missing than the publisher counts as lost. It returns how much is.
func (l *load) judge(t *testing.T, nodes []*node, i int) (missing int) {
	t.Helper()
	got := l.inOrder(t, nodes, i)
	for from, n := range nodes {
		if from == i {
			continue
		}
		lost := l.publish[from] - got[from]
		missing += lost
		if counted := n.Stats().Lost[LossQueueFull]; lost > int(counted) {
			t.Errorf("node %d misses %d of %d messages of node %d, which counts %d", i, lost, l.publish[from], from, counted)
		}
	}
	return missing
}

// lasts waits until each node has got the last message of each other one.
func (l *load) lasts(t *testing.T, nodes []*node) {
	t.Helper()
	eventually(t, "everybody has the last messages", func() bool {
		for i, n := range nodes {
			seen := map[string]bool{}
			all := n.received()
			for _, m := range all[max(0, len(all)-20_000):] {
				seen[m[strings.LastIndexAny(m, " #")+1:]] = true
			}
			for from, count := range l.publish {
				if from != i && !seen[fmt.Sprintf("%d:%d", from, count-1)] {
					return false
				}
			}
		}
		return true
	})
}

// NATS is stopped, and killed, under load and comes back: nothing is lost that fits in the queue, nothing
// comes twice, and interest is as before.
func TestNATSRestartsUnderLoad(t *testing.T) {
	server := natstest.Run(t)
	port := natstest.Port(server)
	config := Config{URLs: []string{server.ClientURL()}}
	nodes := []*node{newNode(t, config, "x", "only0"), newNode(t, config, "x"), newNode(t, config, "x")}
	met(t, nodes...)
	l := newLoad(nodes, "")
	end := func() { natstest.Stop(server) }
	for round := range 4 {
		before := len(nodes[0].received())
		eventually(t, "messages flow", func() bool { return len(nodes[0].received()) > before+1000 })
		end()
		for _, n := range nodes {
			eventually(t, "the node knows", func() bool { return n.Ready() != nil })
		}
		nodes[1].join("gained", 1)
		nodes[1].join("lost", 1)
		nodes[1].join("lost", -1)
		if round < 3 {
			_, end = natsProcess(t, port)
		} else {
			server = natstest.Run(t, natstest.On(port))
		}
		met(t, nodes...)
	}
	l.end()
	l.lasts(t, nodes)
	for i, n := range nodes {
		if missing := l.judge(t, nodes, i); missing != 0 {
			t.Errorf("node %d misses %d messages, which the queue had room for", i, missing)
		}
		if s := n.Stats(); s.Connects != 5 {
			t.Errorf("node %d has connected %d times, want 5", i, s.Connects)
		}
	}
	want := []string{"roost.roost.t.gained", "roost.roost.t.only0", "roost.roost.t.x", "roost.roost.t.x", "roost.roost.t.x"}
	if got := subscribed(t, server); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("subscriptions %v, want %v", got, want)
	}
}

// What does not fit while NATS is away is lost, the oldest first, and counted.
func TestLongOutage(t *testing.T) {
	server := natstest.Run(t)
	config := Config{URLs: []string{server.ClientURL()}, QueueBytes: 100 << 10}
	nodes := []*node{newNode(t, config, "x"), newNode(t, config, "x")}
	met(t, nodes...)
	again := natstest.On(natstest.Port(server))
	natstest.Stop(server)
	for _, n := range nodes {
		eventually(t, "the node knows", func() bool { return n.Ready() != nil })
	}
	l := newLoad(nodes, strings.Repeat("x", 1000)+"#")
	for _, n := range nodes {
		eventually(t, "it loses", func() bool { return n.Stats().Lost[LossQueueFull] > 100 })
		eventually(t, "it is logged", func() bool { return strings.Contains(n.log.String(), "reason=queue-full") })
		if s := n.Stats(); s.QueuedBytes > s.QueueLimit || s.QueueLimit != 100<<10 {
			t.Errorf("%d bytes of %d are kept", s.QueuedBytes, s.QueueLimit)
		}
	}
	l.end()
	natstest.Run(t, again)
	met(t, nodes...)
	l.lasts(t, nodes)
	for i := range nodes {
		if missing, counted := l.judge(t, nodes, i), nodes[1-i].Stats().Lost[LossQueueFull]; missing != int(counted) {
			t.Errorf("node %d misses %d messages, %d are counted", i, missing, counted)
		}
		eventually(t, "the end is logged", func() bool { return strings.Contains(nodes[i].log.String(), "messages between nodes were lost") })
	}
}

// A node that is cut off by itself comes back, and the others do not notice.
func TestOneNodeIsCutOff(t *testing.T) {
	server := natstest.Run(t)
	config := Config{URLs: []string{server.ClientURL()}}
	nodes := []*node{newNode(t, config, "x"), newNode(t, config, "x"), newNode(t, config, "x")}
	met(t, nodes...)
	l := newLoad(nodes, "")
	for range 5 {
		before := nodes[2].Stats().Connects
		cutOff(t, server, nodes[2].name)
		eventually(t, "it is back", func() bool { s := nodes[2].Stats(); return s.Connected && s.Connects > before })
		got := len(nodes[2].received())
		eventually(t, "messages flow", func() bool { return len(nodes[2].received()) > got+1000 })
	}
	l.end()
	l.lasts(t, nodes)
	l.inOrder(t, nodes, 2)
	for i := range 2 {
		if missing := l.judge(t, nodes, i); missing != 0 {
			t.Errorf("node %d misses %d messages", i, missing)
		}
	}
	if s := nodes[0].Stats(); s.Connects != 1 {
		t.Errorf("another node has connected %d times", s.Connects)
	}
}

// A node that does not come back after an outage is not waited for without end.
func TestOneNodeStaysAway(t *testing.T) {
	server := natstest.Run(t)
	config := Config{URLs: []string{server.ClientURL()}}
	a, b := newNode(t, config), newNode(t, config, "x")
	met(t, a, b)
	nc, err := nats.Connect(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("roost.roost.node", []byte(`{"node":"gone"}`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is known", func() bool { return a.Stats().Nodes == 2 })
	again := natstest.On(natstest.Port(server))
	natstest.Stop(server)
	eventually(t, "a knows", func() bool { return a.Ready() != nil })
	a.Publish([]string{"x"}, text("hello"), "")
	natstest.Run(t, again)
	eventually(t, "it arrives", func() bool { return len(b.received()) == 1 })
	eventually(t, "the one that has gone is forgotten", func() bool { return a.Stats().Nodes == 1 })
}

// One of two servers of a NATS goes away: its node goes on with the other one, and what it publishes arrives.
func TestNATSFailsOver(t *testing.T) {
	routed := func(o *natsserver.Options) {
		o.Cluster = natsserver.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoAdvertise: true}
	}
	later := natstest.Run(t)
	port, url := natstest.Port(later), later.ClientURL()
	natstest.Stop(later)
	first := natstest.Run(t, routed)
	moves := newNode(t, Config{URLs: []string{first.ClientURL(), url}}, "x")
	eventually(t, "it is connected to the first", func() bool { return moves.Ready() == nil })
	second := natstest.Run(t, routed, natstest.On(port), func(o *natsserver.Options) {
		o.Routes = natsserver.RoutesFromStr(fmt.Sprintf("nats://127.0.0.1:%d", first.ClusterAddr().Port))
	})
	eventually(t, "the servers are one NATS", func() bool { return first.NumRoutes() > 0 && second.NumRoutes() > 0 })
	stays := newNode(t, Config{URLs: []string{second.ClientURL()}}, "x")
	nodes := []*node{stays, moves}
	met(t, nodes...)
	l := newLoad(nodes, "")
	eventually(t, "messages flow", func() bool { return len(stays.received()) > 1000 && len(moves.received()) > 1000 })
	natstest.Stop(first)
	eventually(t, "it has moved", func() bool { s := moves.Stats(); return s.Connected && s.Connects > 1 })
	before := len(moves.received())
	eventually(t, "messages flow", func() bool { return len(moves.received()) > before+1000 })
	l.end()
	l.lasts(t, nodes)
	if missing := l.judge(t, nodes, 0); missing != 0 {
		t.Errorf("%d messages of the node that moved are missing", missing)
	}
	l.inOrder(t, nodes, 1)
	if stays.Stats().Connects != 1 {
		t.Error("the other node has moved too")
	}
}

// cutOff has NATS end the connection of a node.
func cutOff(t *testing.T, server *natsserver.Server, name string) {
	t.Helper()
	all, err := server.Connz(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Conns {
		if strings.HasSuffix(c.Name, name) {
			if err := server.DisconnectClientByID(c.Cid); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("NATS does not know " + name)
}
