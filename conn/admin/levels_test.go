//go:build linux

package admin

import (
	"slices"
	"testing"

	"roost/conn/conntest"
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
	if l := find("Handshakes"); l != nil {
		t.Errorf("without --max-handshakes: %+v", l)
	}
}
