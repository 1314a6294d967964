//go:build linux

package admin

import (
	"slices"
	"testing"

	"roost/conn/cluster"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/hub"
	"roost/conn/server"
)

// A level is there when something bounds it, and counts against the lowest bound.
func TestLevels(t *testing.T) {
	h, srv, at := newTestHistory(t)
	find := func(name string) *level {
		o := h.newest
		i := slices.IndexFunc(o.Levels, func(l level) bool { return l.Name == name })
		if i < 0 {
			return nil
		}
		return &o.Levels[i]
	}
	conntest.Dial(t, srv.Addrs()[0].String(), "/ws")
	h.take(at(1))
	if l := find("Connections"); l != nil {
		t.Errorf("without --max-conns: %+v", l)
	}
	memory := find("Memory")
	if memory == nil || memory.Used <= 1<<20 || memory.Limit <= memory.Used || memory.Of == "--max-memory" {
		t.Errorf("memory: %+v", memory)
	}
	if l := find("Descriptors"); l == nil || l.Used < 3 || l.Limit <= l.Used {
		t.Errorf("descriptors: %+v", l)
	}
	if err := srv.Reload(server.Limits{MaxConns: 4, MaxHandshakes: -1, MaxMemory: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	h.take(at(2))
	if l := find("Connections"); l == nil || l.Used != 1 || l.Limit != 4 {
		t.Errorf("with --max-conns: %+v", l)
	}
	if l := find("Memory"); l == nil || l.Limit != 1<<30 || l.Of != "--max-memory" {
		t.Errorf("with --max-memory: %+v", l)
	}
	if l := find("Waits for NATS"); l != nil || h.newest.Nodes != nil {
		t.Errorf("without --cluster: %+v, nodes %v", l, h.newest.Nodes)
	}
	if l := find("Handshakes"); l != nil {
		t.Errorf("without --max-handshakes: %+v", l)
	}
}

// A node of a fleet tells how many others it knows and how much waits for NATS, here
// one that is away.
func TestLevelsOfANode(t *testing.T) {
	h, srv, at := newTestHistory(t, func(c *server.Config) {
		c.Cluster = &cluster.Config{URLs: []string{"nats://127.0.0.1:1"}, QueueBytes: 64 << 10}
	})
	conntest.Dial(t, srv.Addrs()[0].String(), "/ws?topic=a&topic=b")
	if _, err := srv.Hub().Publish(hub.Message{Topics: []string{"a"}, Frame: frame.Prepare(frame.Text, []byte("for others"))}); err != nil {
		t.Fatal(err)
	}
	h.take(at(1))
	o := h.newest
	if o.Nodes == nil || *o.Nodes != 0 || o.Topics != 3 || o.NotSo != "cluster: not connected" {
		t.Errorf("%v other nodes, %d topics, not ready: %q", o.Nodes, o.Topics, o.NotSo)
	}
	i := slices.IndexFunc(o.Levels, func(l level) bool { return l.Of == "--cluster-queue-bytes" })
	if i < 0 || o.Levels[i].Used < float64(len("for others")) || o.Levels[i].Limit != 64<<10 {
		t.Errorf("levels: %+v", o.Levels)
	}
}
