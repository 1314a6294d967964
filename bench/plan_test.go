package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestValidateReportsEveryFault(t *testing.T) {
	cfg := Config{
		URLs: []string{"http://x", "wss:///", "ws://x/#top"}, Conns: 0, Handshakes: -1, Sources: []string{"here"},
		Header: []string{"A: b\r\nC: d"}, Subprotocols: []string{"chat", "a b", ""},
		HandshakeTimeout: -1, Timeout: -time.Second, CloseTimeout: -1, MaxMessageBytes: -1,
		TLS: TLS{Insecure: true, CA: "ca.pem", Max: "1.1"},
	}
	text := fmt.Sprint(cfg.Validate())
	for _, word := range []string{
		`"http://x", want ws://`, `"wss:///", want ws://`, `newest TLS version: "1.1"`, "a CA and no verification", "has a fragment", "connections", "handshakes", "source", "header",
		`subprotocol: "a b"`, `subprotocol: ""`, "handshake timeout", "timeout: -1s", "close timeout", "largest message",
	} {
		if !strings.Contains(text, word) {
			t.Errorf("%q is not mentioned in:\n%s", word, text)
		}
	}
	if err := (Config{Conns: 1}).Validate(); err == nil || !strings.Contains(err.Error(), "url: none") {
		t.Errorf("without a URL: error %v", err)
	}
	if err := (Config{URLs: []string{"ws://127.0.0.1:8000/ws"}, Conns: 1}).Validate(); err != nil {
		t.Errorf("the least config: %v", err)
	}
}

func TestPlanSources(t *testing.T) {
	v4, v6 := []string{"ws://127.0.0.1:8000/"}, []string{"ws://[::1]:8000/"}
	for _, test := range []struct {
		urls    []string
		conns   int
		sources []string
		want    []string
	}{
		{v4, 10, nil, []string{"127.0.0.1"}},
		{v4, 10_001, nil, []string{"127.0.0.1", "127.0.0.2"}},
		{v4, 10_001, []string{"127.0.1.0/24"}, []string{"127.0.1.1", "127.0.1.2"}},
		{v4, 10_001, []string{"127.0.1.4/32"}, []string{"127.0.1.4"}},
		{v4, 10, []string{"127.9.9.9", "127.8.8.8"}, []string{"127.9.9.9", "127.8.8.8"}},
		{append(v4, "ws://127.0.0.2:8000/"), 10, nil, []string{"127.0.0.1"}},
		{v6, 10, nil, nil},
		{v6, 10, []string{"::1"}, []string{"::1"}},
		{[]string{"ws://192.0.2.1:8000/"}, 10_001, nil, nil},
		{append(v4, "ws://192.0.2.1:8000/"), 10, nil, nil},
	} {
		plan, err := NewPlan(Config{URLs: test.urls, Conns: test.conns, Sources: test.sources}, 1)
		if err != nil || !slices.Equal(plan.SourceAddresses, test.want) {
			t.Errorf("%s, %d, %v: sources %v, error %v; want %v", test.urls, test.conns, test.sources, plan.SourceAddresses, err, test.want)
		}
	}
	if _, err := NewPlan(Config{URLs: append(v4, v6...), Conns: 1, Sources: []string{"::1"}}, 1); err == nil || !strings.Contains(err.Error(), "cannot reach 127.0.0.1:8000") {
		t.Errorf("an IPv6 source for an IPv4 target: error %v", err)
	}
}

func TestPlanTargets(t *testing.T) {
	cfg := Config{URLs: []string{"ws://127.0.0.1/a?b=c", "ws://127.0.0.2:81"}, Conns: 3}
	plan, err := NewPlan(cfg, 0)
	if want := []string{"127.0.0.1:80", "127.0.0.2:81"}; err != nil || !slices.Equal(plan.TargetAddresses, want) || plan.Processes != 1 || plan.Conns != 3 {
		t.Errorf("plan %+v, error %v; want targets %v", plan, err, want)
	}
	targets, err := resolve(cfg.URLs, cfg.TLS)
	if err != nil || targets[0].host != "127.0.0.1" || targets[0].path != "/a?b=c" || targets[1].host != "127.0.0.2:81" || targets[1].path != "/" {
		t.Errorf("targets %+v, error %v", targets, err)
	}
	for _, url := range []string{"ws://127.0.0.1:0/", "ws://127.0.0.1:99999/"} {
		if plan, err := NewPlan(Config{URLs: []string{url}, Conns: 1}, 1); err == nil {
			t.Errorf("%s: plan %+v, want an error", url, plan)
		}
	}
}

// TestPlanProcesses wants as many as the descriptors need, each with source
// addresses of its own.
func TestPlanProcesses(t *testing.T) {
	limit, err := raiseDescriptorLimit()
	if err != nil {
		t.Fatal(err)
	}
	if limit > 1<<22 {
		t.Skipf("%d descriptors are no limit", limit)
	}
	cfg := Config{URLs: []string{"ws://127.0.0.1:1/"}, Conns: 5 * limit / 2}
	plan, err := NewPlan(cfg, 0)
	if err != nil || plan.Processes < 3 || plan.DescriptorsNeeded > limit || plan.DescriptorLimit != limit {
		t.Fatalf("plan %+v, error %v; want three processes or more that fit into %d descriptors", plan, err, limit)
	}
	seen, each := map[string]int{}, (cfg.Conns+plan.Processes-1)/plan.Processes
	for process := range plan.Processes {
		sources := plan.SourcesOf(process)
		if len(sources)*ConnsPerSource < each {
			t.Errorf("process %d has %d sources for %d connections", process, len(sources), each)
		}
		for _, s := range sources {
			if other, taken := seen[s]; taken {
				t.Errorf("processes %d and %d both have %s", other, process, s)
			}
			seen[s] = process
		}
	}
	if len(seen) != len(plan.SourceAddresses) {
		t.Errorf("%d sources handed out of %d", len(seen), len(plan.SourceAddresses))
	}
	// Fewer addresses than processes are shared by all.
	shared := Plan{Processes: 3, SourceAddresses: []string{"127.0.0.1", "127.0.0.2"}}
	if got := shared.SourcesOf(2); !slices.Equal(got, shared.SourceAddresses) {
		t.Errorf("the third of three processes has %v of %v", got, shared.SourceAddresses)
	}
	if plan, err := NewPlan(Config{URLs: cfg.URLs, Conns: 2}, 8); err != nil || plan.Processes != 2 {
		t.Errorf("%d processes for two connections, error %v", plan.Processes, err)
	}
	for _, n := range []int{-1, MaxProcesses + 1} {
		if _, err := NewPlan(cfg, n); err == nil || !strings.Contains(err.Error(), "want 1 to 256") {
			t.Errorf("%d processes: error %v", n, err)
		}
	}
}

func TestPlanLimits(t *testing.T) {
	cfg := Config{URLs: []string{"ws://127.0.0.1:1/"}, Conns: 1 << 29}
	for _, processes := range []int{1, 2, 3} {
		_, err := NewPlan(cfg, processes)
		var limit *DescriptorError
		if !errors.As(err, &limit) || limit.Conns != 1<<29 || limit.Processes != processes {
			t.Fatalf("%d processes: error %v, want a DescriptorError", processes, err)
		}
		// The remedies must work: the number named fits, and auto may.
		fit := (limit.Limit - (limit.Needed - limit.Conns/processes)) * processes
		for _, remedy := range []string{"--procs auto", fmt.Sprintf("--conns %d or less", fit), fmt.Sprintf("ulimit -Hn %d", limit.Needed)} {
			if !strings.Contains(err.Error(), remedy) {
				t.Errorf("%q does not name %q", err, remedy)
			}
		}
		if _, err := NewPlan(Config{URLs: cfg.URLs, Conns: fit}, processes); err != nil {
			t.Errorf("%d processes: the remedy does not fit: %v", processes, err)
		}
	}
	ports := localPorts()
	for _, urls := range [][]string{cfg.URLs, {"ws://127.0.0.1:1/", "ws://127.0.0.1:2/"}} {
		var few *PortError
		_, err := NewPlan(Config{URLs: urls, Conns: ports*len(urls) + 1, Sources: []string{"127.0.0.1"}}, 0)
		if !errors.As(err, &few) || few.Targets != len(urls) {
			t.Errorf("%d targets: error %v, want a PortError", len(urls), err)
		}
		if _, err := NewPlan(Config{URLs: urls, Conns: ports * len(urls), Sources: []string{"127.0.0.1"}}, 0); err != nil {
			t.Errorf("%d targets: %v, though the ports are enough", len(urls), err)
		}
	}
	for _, test := range []struct {
		targets int
		want    string
	}{{1, "at least 4 addresses"}, {2, "at least 2 addresses"}} {
		if text := (&PortError{Conns: 100_000, Sources: 1, Targets: test.targets, PortsEach: 28_232}).Error(); !strings.Contains(text, test.want) {
			t.Errorf("remedy %q, want %q", text, test.want)
		}
	}
}
