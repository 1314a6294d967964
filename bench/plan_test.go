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
		URL: "http://x", Conns: 0, Rate: -1, Handshakes: -1, Sources: []string{"here"}, Header: []string{"A: b\r\nC: d"},
		HandshakeTimeout: -1, Timeout: -time.Second, CloseTimeout: -1, MaxMessageBytes: -1, PID: -1,
	}
	text := fmt.Sprint(cfg.Validate())
	for _, word := range []string{"url", "connections", "rate", "handshakes", "source", "header", "handshake timeout", "timeout: -1s", "close timeout", "largest message", "pid"} {
		if !strings.Contains(text, word) {
			t.Errorf("%q is not mentioned in:\n%s", word, text)
		}
	}
	if err := (Config{URL: "ws://127.0.0.1:8000/ws", Conns: 1}).Validate(); err != nil {
		t.Errorf("the least config: %v", err)
	}
}

func TestPlanSources(t *testing.T) {
	for _, test := range []struct {
		url     string
		conns   int
		sources []string
		want    []string
	}{
		{"ws://127.0.0.1:8000/", 10, nil, []string{"127.0.0.1"}},
		{"ws://127.0.0.1:8000/", 10_001, nil, []string{"127.0.0.1", "127.0.0.2"}},
		{"ws://127.0.0.1:8000/", 10_001, []string{"127.0.1.0/24"}, []string{"127.0.1.1", "127.0.1.2"}},
		{"ws://127.0.0.1:8000/", 10_001, []string{"127.0.1.4/32"}, []string{"127.0.1.4"}},
		{"ws://127.0.0.1:8000/", 10, []string{"127.9.9.9", "127.8.8.8"}, []string{"127.9.9.9", "127.8.8.8"}},
		{"ws://[::1]:8000/", 10, nil, nil},
		{"ws://192.0.2.1:8000/", 10_001, nil, nil},
	} {
		plan, err := NewPlan(Config{URL: test.url, Conns: test.conns, Sources: test.sources})
		if err != nil || !slices.Equal(plan.SourceAddresses, test.want) {
			t.Errorf("%s, %d, %v: sources %v, error %v; want %v", test.url, test.conns, test.sources, plan.SourceAddresses, err, test.want)
		}
	}
	if _, err := NewPlan(Config{URL: "ws://127.0.0.1:8000/", Conns: 1, Sources: []string{"::1"}}); err == nil {
		t.Error("an IPv6 source for an IPv4 target was accepted")
	}
}

func TestPlanTarget(t *testing.T) {
	plan, err := NewPlan(Config{URL: "ws://127.0.0.1/a?b=c", Conns: 1})
	if err != nil || plan.TargetAddress != "127.0.0.1:80" || plan.host != "127.0.0.1" || plan.path != "/a?b=c" {
		t.Errorf("plan %+v, error %v", plan, err)
	}
}

func TestPlanLimits(t *testing.T) {
	_, err := NewPlan(Config{URL: "ws://127.0.0.1:1/", Conns: 1 << 29})
	var limit *DescriptorError
	if !errors.As(err, &limit) || limit.Conns != 1<<29 {
		t.Fatalf("error %v, want a DescriptorError", err)
	}
	// The remedy must work: the number it names fits.
	fit := limit.Limit - (limit.Needed - limit.Conns)
	if !strings.Contains(err.Error(), fmt.Sprintf("--conns %d or less", fit)) {
		t.Errorf("%q does not name %d", err, fit)
	}
	if _, err := NewPlan(Config{URL: "ws://127.0.0.1:1/", Conns: fit}); err != nil {
		t.Errorf("the remedy does not fit: %v", err)
	}
	ports := localPorts()
	_, err = NewPlan(Config{URL: "ws://127.0.0.1:1/", Conns: min(fit, ports+1), Sources: []string{"127.0.0.1"}})
	var few *PortError
	if want := fit > ports; errors.As(err, &few) != want {
		t.Errorf("error %v, want a PortError: %v", err, want)
	}
	if text := (&PortError{Conns: 100_000, Sources: 1, PortsEach: 28_232}).Error(); !strings.Contains(text, "at least 4 addresses") {
		t.Errorf("remedy %q, want 4 addresses", text)
	}
}
