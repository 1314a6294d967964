//go:build linux

package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"roost/conn/cluster"
	"roost/conn/conntest"
	"roost/conn/conntest/natstest"
	"roost/conn/server"
)

// Topics are listed with their members here, and with those of other nodes.
func TestTopics(t *testing.T) {
	nats := natstest.Run(t)
	config := &cluster.Config{URLs: []string{nats.ClientURL()}}
	r := start(t, server.Config{Handler: server.Chat(), Cluster: config})
	other := start(t, server.Config{Handler: server.Chat(), Cluster: config})
	for _, query := range []string{"", "?topic=a/b.c", "?topic=a/b.c&topic=x"} {
		conntest.Dial(t, r.addr, "/ws"+query)
	}
	conntest.Dial(t, other.addr, "/ws?topic=a/b.c&topic=a")
	eventually(t, "the nodes know each other", func() bool {
		a, b := r.server.Stats().Cluster, other.server.Stats().Cluster
		return a.Nodes == 1 && b.Nodes == 1 && a.Subscriptions == 3 && b.Subscriptions == 3
	})
	presence := func(path string) string {
		t.Helper()
		var p cluster.Presence
		if err := json.Unmarshal([]byte(r.want(http.StatusOK, "GET", path+"format=json")), &p); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(p)
	}
	for path, want := range map[string]string{
		"/topics?":                    "{[{a/b.c 3} {a 1} {all 1} {x 1}] 2 2}",
		"/topics?limit=1&":            "{[{a/b.c 3}] 2 2}",
		"/topics?prefix=a&":           "{[{a/b.c 3} {a 1} {all 1}] 2 2}",
		"/topics?topic=x&topic=none&": "{[{x 1} {none 0}] 2 2}",
		"/topics/a/b.c?":              "{[{a/b.c 3}] 2 2}",
		"/topics/none?":               "{[{none 0}] 2 2}",
	} {
		if got := presence(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	r.want(http.StatusOK, "GET", "/topics", "TOPIC", "a/b.c  3\n", "2 of 2 nodes have answered")
	for _, path := range []string{
		"/topics?limit=0", "/topics?limit=1001", "/topics?limit=x", "/topics?prefix=*", "/topics?topic=a%20b", "/topics?topic=a&prefix=a",
		"/topics/%3E", "/topics/", "/topics?format=xml",
	} {
		r.want(http.StatusBadRequest, "GET", path)
	}
	r.want(http.StatusOK, "GET", "/metrics", "\nroost_cluster_connected 1\n", "\nroost_cluster_nodes 1\n", "\nroost_cluster_subscriptions 3\n",
		"\nroost_cluster_lost_total{reason=\"queue-full\"} 0\n")
	r.want(http.StatusOK, "GET", "/readyz", "ready")
	natstest.Stop(nats)
	eventually(t, "the server knows", func() bool { return r.server.Ready() != nil })
	r.want(http.StatusServiceUnavailable, "GET", "/readyz", "not ready: cluster: not connected")
	r.want(http.StatusOK, "GET", "/metrics", "\nroost_cluster_connected 0\n", "\nroost_cluster_connects_total 1\n")
}
