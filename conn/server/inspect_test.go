//go:build linux

package server_test

import (
	"testing"
	"time"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
)

func TestInspect(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Echo(), Subprotocols: []string{"one"}})
	if got := srv.Inspect(server.ByAge, 10); len(got) != 0 {
		t.Errorf("nobody is there: %+v", got)
	}
	open := conntest.Dial(t, addr, "/ws", "Sec-WebSocket-Protocol: one")
	half := conntest.Connect(t, addr)
	half.Raw([]byte("GET /ws"))
	eventually(t, "both are known", func() bool {
		st := srv.Stats()
		return st.Open == 1 && st.Handshaking == 1 && st.ReadKept > 0
	})
	ids := map[string]bool{}
	for _, info := range srv.Inspect(server.ByAge, 10) {
		ids[info.ID] = true
		switch info.Peer.String() {
		case open.LocalAddr().String():
			if info.State != conn.StateOpen || info.Subprotocol != "one" || info.Kept != 0 {
				t.Errorf("the open one: %+v", info)
			}
		case half.LocalAddr().String():
			if info.State != conn.StateHandshaking || info.Kept == 0 {
				t.Errorf("the half one: %+v", info)
			}
		default:
			t.Errorf("a stranger: %+v", info)
		}
		if info.TCP.RTT <= 0 || info.Age > time.Minute || info.Idle > time.Minute || info.Silent > time.Minute {
			t.Errorf("TCP and times: %+v", info)
		}
	}
	if len(ids) != 2 {
		t.Errorf("ids: %v", ids)
	}
	if got := srv.Inspect(server.ByIdle, 1); len(got) != 1 || !ids[got[0].ID] {
		t.Errorf("limited to one: %+v", got)
	}
	if got := srv.Inspect(server.ByRTT, 10); len(got) != 2 || !ids[got[0].ID] || !ids[got[1].ID] {
		t.Errorf("by round-trip time: %+v", got)
	}
	if got := srv.Inspect(server.ByQueue, 10); len(got) != 0 {
		t.Errorf("nothing waits: %+v", got)
	}
}

// A client that reads too little is found before anything waits in the server: what it
// has not taken fills the kernel's buffer first.
func TestInspectFindsWhatTheKernelKeeps(t *testing.T) {
	h := newCollector()
	srv, addr := start(t, server.Config{Handler: h, PingInterval: -1})
	slow := conntest.DialNarrow(t, addr, "/ws", 4096) // reads nothing
	its := <-h.opened
	conntest.Dial(t, addr, "/ws")
	<-h.opened
	eventually(t, "more is sent than the client has room for", func() bool {
		if err := its.Send(frame.Prepare(frame.Binary, make([]byte, 2000))); err != nil {
			t.Fatal(err)
		}
		return its.TCP().Unsent > 0
	})
	if got := srv.Inspect(server.ByQueue, 10); len(got) != 0 {
		t.Errorf("by what waits in the server: %+v", got)
	}
	got := srv.Inspect(server.ByUnsent, 10)
	if len(got) != 1 || got[0].Peer.String() != slow.LocalAddr().String() || got[0].TCP.Unsent <= 0 {
		t.Errorf("by what was not sent: %+v", got)
	}
}

// An id means one connection, also when another one has its slot.
func TestCloseConn(t *testing.T) {
	h := newCollector()
	srv, addr := start(t, server.Config{Handler: h})
	first, its := h.dial(t, addr)
	id := srv.Inspect(server.ByAge, 1)[0].ID
	for _, bad := range []string{"", "-", "x-1", "1-x", "99999999-1", "4294967296-1", id + "0", "0-0"} {
		if srv.CloseConn(bad, 1008, "") {
			t.Errorf("%q closed something", bad)
		}
	}
	if !srv.CloseConn(id, 1008, "closed by operator") {
		t.Fatal("the connection is not found")
	}
	if code := first.Closed(); code != 1008 {
		t.Errorf("closed with %d", code)
	}
	_ = first.Close()
	eventually(t, "it has ended", func() bool { return srv.Stats().Ended[conn.ReasonOperator] == 1 })
	slot := its.Slot()
	for its.Slot() != slot || its.State() != conn.StateOpen {
		_, its = h.dial(t, addr)
	}
	if srv.CloseConn(id, 1008, "") {
		t.Error("an old id closed another connection")
	}
	if srv.Clients() == 0 {
		t.Error("somebody was closed")
	}
}

func TestReady(t *testing.T) {
	srv, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Handler: server.Echo()})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Ready(); err != server.ErrNotStarted {
		t.Errorf("before the start: %v", err)
	}
	srv, addr := start(t, server.Config{Handler: server.Echo(), Limits: server.Limits{MaxConns: 1}})
	if err := srv.Ready(); err != nil {
		t.Error(err)
	}
	c := conntest.Dial(t, addr, "/ws")
	if err := srv.Ready(); err == nil {
		t.Error("a full server is ready")
	}
	_ = c.Close()
	eventually(t, "there is room again", func() bool { return srv.Ready() == nil })
	_ = srv.Close()
	if err := srv.Ready(); err != server.ErrDraining {
		t.Errorf("after the end: %v", err)
	}
}

// What is sent is counted: messages of any way, and bytes as the kernel takes them.
func TestSentIsCounted(t *testing.T) {
	h := newCollector()
	fanOuts := make(chan time.Duration, 100)
	srv, addr := start(t, server.Config{Handler: h, Shards: 1, PingInterval: -1, OnFanOut: func(d time.Duration) { fanOuts <- d }})
	c, its := h.dial(t, addr)
	// Counting comes behind the system call that lets the client go on.
	eventually(t, "the answer to the request is counted", func() bool { return srv.Stats().BytesOut > 0 })
	before := srv.Stats()
	c.Text("echo") // 2 + 4 bytes
	c.ExpectText("echo")
	c.Send(0x9, "ping") // a pong is no message: 2 + 4 bytes
	c.Expect(0xa, "ping")
	if err := its.Send(frame.Prepare(frame.Text, []byte("sent"))); err != nil {
		t.Fatal(err)
	}
	c.ExpectText("sent")
	if err := srv.Hub().Broadcast(frame.Prepare(frame.Text, []byte("to all"))); err != nil { // 2 + 6 bytes
		t.Fatal(err)
	}
	c.ExpectText("to all")
	if took := <-fanOuts; took <= 0 {
		t.Errorf("the fan-out took %v", took)
	}
	eventually(t, "all is counted", func() bool {
		st := srv.Stats()
		return st.MessagesOut == before.MessagesOut+3 && st.BytesOut == before.BytesOut+3*6+8
	})
	st := srv.Stats()
	if st.Accepted != 1 || len(st.Poller.Busy) == 0 || st.Poller.Busy[0] <= 0 {
		t.Errorf("%+v", st)
	}
}
