package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"roost/conn/conntest"
	"roost/conn/frame"
)

// natsEnv has the test binary be a nats-server on that port, for tests to kill.
const natsEnv = "ROOST_TEST_NATS_PORT"

func TestMain(m *testing.M) {
	if port, err := strconv.Atoi(os.Getenv(natsEnv)); err == nil {
		s, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		s.Start()
		s.WaitForShutdown()
		os.Exit(0)
	}
	conntest.Main(m)
}

// natsProcess starts a nats-server of its own on a port, and kill ends it at once.
func natsProcess(t testing.TB, port int) (pid int, kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), natsEnv+"="+strconv.Itoa(port))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	return cmd.Process.Pid, kill
}

// node is a bus with its Local, which notes what is delivered.
type node struct {
	*Bus
	t   *testing.T
	log *conntest.Log

	mu      sync.Mutex
	got     []string       // as told by say
	members map[string]int // by topic
	gate    chan struct{}  // when not nil, Deliver waits until it is closed
}

// newNode starts a node that is a member of topics.
func newNode(t *testing.T, config Config, topics ...string) *node {
	t.Helper()
	n := &node{t: t, log: new(conntest.Log), members: map[string]int{}}
	config.Log = slog.New(slog.NewTextHandler(n.log, nil))
	b, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	n.Bus = b
	for _, topic := range topics {
		n.join(topic, 1)
	}
	b.Start(n)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		b.Close(ctx)
		if t.Failed() {
			t.Logf("log of %s:\n%s", b.name, n.log)
		}
	})
	return n
}

// join adds members to a topic, and a negative number lets them leave.
func (n *node) join(topic string, members int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.members[topic]
	n.members[topic] += members
	if now := n.members[topic]; (before == 0) != (now == 0) {
		n.Interest(topic, now > 0)
	}
	if n.members[topic] == 0 {
		delete(n.members, topic)
	}
}

func (n *node) Deliver(ctx context.Context, m Message) error {
	n.mu.Lock()
	gate := n.gate
	n.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.got = append(n.got, say(m))
	return nil
}

func (n *node) Members(topic string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.members[topic]
}

func (n *node) Topics(visit func(string, int) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for topic, members := range n.members {
		if !visit(topic, members) {
			return
		}
	}
}

// say is a message in words: opcode, topics, key, payload.
func say(m Message) string {
	return fmt.Sprintf("%d %s %s %s", m.Frame.Opcode(), strings.Join(m.Topics, "+"), m.Key, m.Frame.Payload())
}

func (n *node) received() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.got...)
}

func text(payload string) *frame.Prepared { return frame.Prepare(frame.Text, []byte(payload)) }

// eventually waits for what nothing announces.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatal("not in 20 s: " + what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// met waits until each of the nodes knows all others.
func met(t *testing.T, nodes ...*node) {
	t.Helper()
	eventually(t, "the nodes know each other", func() bool {
		for _, n := range nodes {
			if s := n.Stats(); !s.Connected || s.Nodes != len(nodes)-1 || s.Subscriptions != len(n.members) {
				return false
			}
		}
		return true
	})
}
