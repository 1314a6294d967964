//go:build linux

package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"roost/conn/cluster"
	"roost/conn/conntest"
	"roost/conn/conntest/natstest"
	"roost/conn/frame"
	"roost/conn/hub"
	"roost/conn/server"
)

// subscribed waits until a server knows n others and has so many topics in NATS.
func subscribed(t *testing.T, srv *server.Server, nodes, topics int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d other nodes and %d topics", nodes, topics), func() bool {
		s := srv.Stats().Cluster
		return s.Connected && s.Nodes == nodes && s.Subscriptions == topics
	})
}

// Clients of two servers share their topics, and messages go on within each while NATS is away.
func TestCluster(t *testing.T) {
	nats := natstest.Run(t)
	config := &cluster.Config{URLs: []string{nats.ClientURL()}}
	one, addrOne := start(t, server.Config{Handler: server.Chat(), Cluster: config})
	two, addrTwo := start(t, server.Config{Handler: server.Chat(), Cluster: config})
	a, b := conntest.Dial(t, addrOne, "/ws"), conntest.Dial(t, addrTwo, "/ws")
	news := conntest.Dial(t, addrTwo, "/ws?topic=news.de&topic=news.en")
	subscribed(t, one, 1, 1)
	subscribed(t, two, 1, 3)
	a.Text("to all")
	a.ExpectText("to all")
	b.ExpectText("to all")
	news.Text("to news")
	news.ExpectText("to news")
	from := conntest.Dial(t, addrOne, "/ws?topic=news.de&topic=news.en&topic=nobody")
	subscribed(t, one, 1, 4)
	from.Text("to both") // once
	from.ExpectText("to both")
	news.ExpectText("to both")
	if _, err := one.Hub().PublishWait(t.Context(), hub.Message{Topics: []string{"news.en"}, Key: "k", Frame: frame.Prepare(frame.Text, []byte("latest"))}); err != nil {
		t.Fatal(err)
	}
	news.ExpectText("latest")
	p, err := two.Presence(t.Context(), cluster.Query{Limit: 10})
	if got := fmt.Sprint(p, err); got != "{[{all 2} {news.de 2} {news.en 2} {nobody 1}] 2 2} <nil>" {
		t.Error(got)
	}
	if one.Ready() != nil || one.Settings().Cluster != nil {
		t.Errorf("ready: %v, settings %+v", one.Ready(), one.Settings().Cluster)
	}

	port := natstest.Port(nats)
	natstest.Stop(nats)
	for _, srv := range []*server.Server{one, two} {
		eventually(t, "the server knows", func() bool { return errors.Is(srv.Ready(), cluster.ErrNotConnected) })
	}
	a.Text("meanwhile")
	a.ExpectText("meanwhile")
	natstest.Run(t, natstest.On(port))
	b.ExpectText("meanwhile")
	subscribed(t, one, 1, 4)

	// What is published last arrives although the server stops.
	for i := range 100 {
		a.Text(fmt.Sprint("last ", i))
	}
	a.ExpectText("last 0")
	eventually(t, "the server has all", func() bool { return one.Stats().MessagesIn == 103 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- one.Shutdown(ctx) }()
	for i := range 100 {
		b.ExpectText(fmt.Sprint("last ", i))
	}
	_ = a.Close()
	_ = from.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A server without a fleet answers for itself, and one without NATS starts.
func TestClusterAlone(t *testing.T) {
	alone, addr := start(t, server.Config{Handler: server.Chat()})
	conntest.Dial(t, addr, "/ws?topic=x")
	p, err := alone.Presence(t.Context(), cluster.Query{Topics: []string{"x", "y"}})
	if got := fmt.Sprint(p, err); got != "{[{x 1} {y 0}] 1 1} <nil>" {
		t.Error(got)
	}
	if s := alone.Stats().Cluster; s != (cluster.Stats{}) {
		t.Errorf("%+v", s)
	}
	away, addr := start(t, server.Config{Handler: server.Chat(), Cluster: &cluster.Config{URLs: []string{"nats://127.0.0.1:1"}}})
	c := conntest.Dial(t, addr, "/ws")
	c.Text("hello")
	c.ExpectText("hello")
	if err := away.Ready(); !errors.Is(err, cluster.ErrNotConnected) {
		t.Errorf("ready: %v", err)
	}
	_, err = server.New(server.Config{Listen: []string{":0"}, Handler: server.Chat(), Cluster: &cluster.Config{URLs: []string{"secret"}}})
	if err == nil || !strings.Contains(err.Error(), "cluster: server 1") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a fault of the fleet: %v", err)
	}
	idle, err := server.New(server.Config{Listen: []string{":0"}, Handler: server.Chat()})
	if err == nil {
		_, err = idle.Presence(t.Context(), cluster.Query{Limit: 1})
	}
	if !errors.Is(err, server.ErrNotStarted) {
		t.Errorf("before the start: %v", err)
	}
}
