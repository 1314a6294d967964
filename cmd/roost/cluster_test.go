//go:build linux

package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"roost/conn/cluster"
	"roost/conn/conntest"
	"roost/conn/conntest/natstest"
)

func TestClusterFlags(t *testing.T) {
	line, err := parse(nil, io.Discard)
	if err != nil || line.Serve.config().Cluster != nil {
		t.Fatalf("without --cluster: %v", err)
	}
	line, err = parse([]string{"--cluster=nats://a:1,tls://b", "--cluster=nats://c"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := &cluster.Config{URLs: []string{"nats://a:1", "tls://b", "nats://c"}, Name: "roost", QueueBytes: 16 << 20, MaxMessage: 1 << 20}
	if got := line.Serve.config().Cluster; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	for args, longest := range map[string]int64{
		"--publish-max=2MiB": 2 << 20, "--max-message=3MiB": 3 << 20, "--publish-max=0": -1, "--max-message=0": -1,
	} {
		line, err := parse([]string{"--cluster=nats://a", args}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got := line.Serve.config().Cluster.MaxMessage; got != longest {
			t.Errorf("%s: messages of other nodes may have %d bytes, want %d", args, got, longest)
		}
	}
	all := clusterFlags{Cluster: []string{"nats://a"}, ClusterName: "n", ClusterCreds: "creds", ClusterCA: "ca", ClusterCert: "cert", ClusterKey: "key"}
	want = &cluster.Config{URLs: []string{"nats://a"}, Name: "n", Creds: "creds", CA: "ca", Cert: "cert", Key: "key", MaxMessage: 1000}
	if got := all.config(1000); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestClusterFaults(t *testing.T) {
	const secret = "ofthefleet"
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, want string }{
		{"--cluster=http://u:" + secret + "@x", "server 2 of 2 is no address"},
		{"--cluster-name=a.b", `name "a.b"`},
		{"--cluster-creds=" + empty, "holds no credentials"},
		{"--cluster-creds=/no/such/file", "no such file"},
		{"--cluster-tls-ca=" + empty, "holds no certificate"},
		{"--cluster-tls-cert=" + empty, "go together"},
		{"--cluster-tls-key=" + empty, "go together"},
		{"--cluster-queue-bytes=1KiB", "queue of 1024 bytes: want 64KiB or more"},
		{"--cluster-queue-bytes=much", `--cluster-queue-bytes: "much" is not a size`},
	} {
		var stderr strings.Builder
		code := run([]string{"--cluster=nats://u:" + secret + "@127.0.0.1", c.flag}, io.Discard, &stderr, nil)
		if code != exitUsage || !strings.Contains(stderr.String(), c.want) || strings.Contains(stderr.String(), secret) {
			t.Errorf("%s: exit code %d, %s", c.flag, code, stderr.String())
		}
	}
	// What would be of no effect is not passed over in silence.
	for _, flag := range []string{"--cluster-creds", "--cluster-tls-ca", "--cluster-tls-cert", "--cluster-tls-key"} {
		var stderr strings.Builder
		if code := run([]string{flag + "=" + empty}, io.Discard, &stderr, nil); code != exitUsage || !strings.Contains(stderr.String(), flag+": there is no NATS to use it with") {
			t.Errorf("%s without --cluster: exit code %d, %s", flag, code, stderr.String())
		}
	}
}

// Two commands are one chat, and the password that NATS wants is never written down.
func TestClusterOfTwo(t *testing.T) {
	const secret = "ofthefleet"
	nats := natstest.Run(t, func(o *natsserver.Options) { o.Username, o.Password = "u", secret })
	url := "nats://u:" + secret + "@" + nats.Addr().String()
	t.Setenv("ROOST_CLUSTER", url)
	var out strings.Builder
	if code := run([]string{"config"}, &out, io.Discard, nil); code != exitOK || strings.Contains(out.String(), secret) || !strings.Contains(out.String(), "# cluster:") {
		t.Errorf("exit code %d:\n%s", code, out.String())
	}
	a, b := execute(t, "--log-level=debug"), execute(t, "--log-level=debug")
	one, two := conntest.Dial(t, a.addr, "/ws"), conntest.Dial(t, b.addr, "/ws")
	for _, c := range []*command{a, b} {
		for line := ""; !strings.Contains(line, "connected to NATS"); {
			if line = c.next(t); strings.Contains(line, secret) {
				t.Errorf("the password is in the log: %s", line)
			}
		}
	}
	one.Text("hello")
	one.ExpectText("hello")
	two.ExpectText("hello")
	two.Text("back")
	one.ExpectText("back")
	_ = one.Close()
	_ = two.Close()
	for _, c := range []*command{a, b} {
		c.signals <- syscall.SIGTERM
		if code := <-c.code; code != exitOK {
			t.Errorf("exit code %d", code)
		}
		if log := c.first + c.rest(); strings.Contains(log, secret) {
			t.Errorf("the password is in the log:\n%s", log)
		}
	}
}

// next is the next line of the log.
func (c *command) next(t *testing.T) string {
	t.Helper()
	line, ok := <-c.log
	if !ok {
		t.Fatal("the command has ended")
	}
	return line
}
