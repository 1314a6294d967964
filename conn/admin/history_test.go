//go:build linux

package admin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
)

// newTestHistory is a history of a running server whose clock is moved by hand.
func newTestHistory(t *testing.T, with ...func(*server.Config)) (h *history, srv *server.Server, now func(seconds int) time.Time) {
	t.Helper()
	m := NewMetrics()
	config := server.Config{Listen: []string{"127.0.0.1:0"}, Handler: server.Echo(), OnFanOut: m.FanOut, OnWait: m.Wait}
	for _, set := range with {
		set(&config)
	}
	srv, err := server.New(config)
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	l, err := New(Config{Server: srv, Metrics: m, Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	l.history.start(start)
	return l.history, srv, func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
}

func decode(t *testing.T, event []byte) (o overview) {
	t.Helper()
	data, ok := strings.CutPrefix(string(event), "data: ")
	if err := json.Unmarshal([]byte(data), &o); !ok || err != nil || !strings.HasSuffix(data, "}\n\n") {
		t.Fatalf("event %q: %v", event, err)
	}
	return o
}

// Samples are rates over the time that has really passed.
func TestSampleIsARate(t *testing.T) {
	h, srv, at := newTestHistory(t)
	c := conntest.Dial(t, srv.Addrs()[0].String(), "/ws")
	for range 6 {
		c.Text("x")
		c.ExpectText("x")
	}
	if err := srv.Hub().Broadcast(frame.Prepare(frame.Text, []byte("all"))); err != nil {
		t.Fatal(err)
	}
	c.ExpectText("all")
	for srv.Stats().Hub.Delivered == 0 {
		time.Sleep(time.Millisecond)
	}
	h.listener.config.Metrics.FanOut(3 * time.Second)
	h.take(at(3))
	s := h.ring[0]
	if s.At != at(3).UnixMilli() || s.Connections != 1 || s.Messages != 2 || s.Deliveries != 1./3 || s.Broadcasts != 1./3 || s.Resident <= 0 || s.PerConn != nil {
		t.Errorf("%+v", s)
	}
	if s.FanOut == nil || *s.FanOut < 1 || s.FanOutLongest == nil || *s.FanOutLongest != 3 {
		t.Errorf("fan-out: %v, %v", s.FanOut, s.FanOutLongest)
	}
	h.take(at(4))
	if s = h.ring[1]; s.Messages != 0 || s.FanOut != nil || s.FanOutLongest != nil {
		t.Errorf("a second in which nothing happened: %+v", s)
	}
	_ = c.Close()
	ended := func() bool { // which is counted last
		for range srv.Ended() {
			return true
		}
		return false
	}
	for !ended() {
		time.Sleep(time.Millisecond)
	}
	h.take(at(5))
	if s = h.ring[2]; len(s.Closes) != 1 || s.Connections != 0 {
		t.Errorf("a second in which one left: %+v", s)
	}
}

// Who comes late sees the last ten minutes, however long the server has run.
func TestHistoryIsBounded(t *testing.T) {
	h, _, at := newTestHistory(t)
	past, coming, leave, ok := h.watch()
	if !ok || len(decode(t, past).Samples) != 0 {
		t.Errorf("at the start: %v, %s", ok, past)
	}
	for i := range keptSamples + 5 {
		h.take(at(i + 1))
		if got := decode(t, <-coming).Samples; len(got) != 1 || got[0].At != at(i+1).UnixMilli() {
			t.Fatalf("sample %d: %v", i, got)
		}
	}
	leave()
	leave()
	past, _, leave, _ = h.watch()
	defer leave()
	all := decode(t, past).Samples
	if len(all) != keptSamples || all[0].At != at(6).UnixMilli() || all[keptSamples-1].At != at(keptSamples+5).UnixMilli() {
		t.Errorf("%d samples, from %d to %d", len(all), all[0].At, all[len(all)-1].At)
	}
}

// A watcher that does not read is let go; the others stay, and so does their number.
func TestWatchersAreBounded(t *testing.T) {
	h, _, at := newTestHistory(t)
	var all []<-chan []byte
	for range mostWatchers {
		_, coming, leave, ok := h.watch()
		if !ok {
			t.Fatalf("refused after %d", len(all))
		}
		t.Cleanup(leave)
		all = append(all, coming)
	}
	if _, _, _, ok := h.watch(); ok {
		t.Error("one too many was let in")
	}
	for i := range backlog + 1 {
		h.take(at(i + 1))
		<-all[0]
	}
	for range backlog {
		if _, open := <-all[1]; !open {
			t.Fatal("dropped before its events were read")
		}
	}
	if _, open := <-all[1]; open {
		t.Error("the one that did not read was not dropped")
	}
	if _, _, leave, ok := h.watch(); !ok {
		t.Error("its place is not free")
	} else {
		defer leave()
	}
	h.take(at(100))
	<-all[0]
	h.close()
	if _, open := <-all[0]; open {
		t.Error("the end is not told")
	}
	if _, _, _, ok := h.watch(); ok {
		t.Error("one was let in after the end")
	}
}

// The hooks run on hot paths.
func TestHooksDoNotAllocate(t *testing.T) {
	m := NewMetrics()
	n := time.Duration(0)
	if allocs := testing.AllocsPerRun(1000, func() { n += time.Microsecond; m.FanOut(n); m.Wait(n) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if got := time.Duration(m.longest.Load()); got != n {
		t.Errorf("the longest is %v, want %v", got, n)
	}
	m.FanOut(1)
	if count, seconds := m.fanOuts(); count != 1002 || seconds <= 0 || time.Duration(m.longest.Load()) != n {
		t.Errorf("%d fan-outs took %v s", count, seconds)
	}
}

// Descriptors are counted without looking at each, and rightly.
func TestProcess(t *testing.T) {
	h, srv, _ := newTestHistory(t)
	p := h.listener.process
	st := srv.Stats()
	before := p.descriptors(&st)
	conntest.Connect(t, srv.Addrs()[0].String())
	for srv.Stats().Handshaking == 0 {
		time.Sleep(time.Millisecond)
	}
	st = srv.Stats()
	_, counted := countDescriptors()
	want := int64(2) // both ends, unless only the server's are known
	if !counted {
		want = 1
	}
	if got := p.descriptors(&st) - before; got != want {
		t.Errorf("%d more descriptors, want %d", got, want)
	}
	if p.descriptorLimit() < 64 || p.cpu() <= 0 || p.memory() < 1<<20 {
		t.Errorf("limit %d, %v s, %d bytes", p.descriptorLimit(), p.cpu(), p.memory())
	}
	p.bare.Store(p.memory() - enough*300)
	if few, many := p.growth(enough-1), p.growth(enough); few != nil || many == nil || *many < 200 || *many > 2000 {
		t.Errorf("growth per connection: %v, %v", few, many)
	}
	if age := time.Since(p.began); age < 0 || age > time.Hour {
		t.Errorf("the process began %v ago", age)
	}
}
