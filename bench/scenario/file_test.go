package scenario_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"roost/bench/scenario"
)

// complete sets every field that a file can have.
const complete = `
name: evening
ramp: 5000/s
settle: 250ms
warm_up: 2s
warm_up_messages: 3
duration: 1m
drain: 5s
subscribe: '{"join":"{{conn}}"}'
expect: '"seq":'
expect_close: 1001
groups:
  - role: listen
    conns: 900
    ramp: 100/s-5000/s:10s
  - name: tortoises
    role: listen
    conns: 10
    read_rate: 500
  - name: talkers
    role: publish
    conns: 4
    rate: poisson:20/s
    messages: 1000
    payload:
      file: lines.txt
      text: true
  - name: api
    role: publish
    publish_url: http://127.0.0.1:8080/publish
    in_flight: 3
    payload: {bytes: 64-256}
  - role: echo
    conns: 5
    in_flight: 2
    payload:
      templates: ['{"seq":{{seq}},"is":"{{stamp}}"}']
  - role: hold
    conns: 7
  - role: storm
    conns: 8
    leave: fin
`

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileSaysEverything(t *testing.T) {
	path := writeFile(t, "load.yaml", complete)
	lines := filepath.Join(filepath.Dir(path), "lines.txt")
	if err := os.WriteFile(lines, []byte("{{stamp}} one\n\n{{stamp}} two\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := scenario.ReadFile(path, scenario.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if s.Name != "evening" || s.Ramp.String() != "5000/s" || s.Settle != 250*time.Millisecond || s.WarmUp != 2*time.Second ||
		s.WarmUpMessages != 3 || s.Duration != time.Minute || s.Drain != 5*time.Second || s.Subscribe != `{"join":"{{conn}}"}` ||
		s.Expect != `"seq":` || s.ExpectClose != 1001 || s.Conns() != 934 || len(s.Groups) != 7 {
		t.Errorf("read %+v", s)
	}
	if g := s.Groups[0]; g.Role != scenario.Listen || g.Conns != 900 || g.Ramp.String() != "100/s-5000/s:10s" {
		t.Errorf("listeners %+v", g)
	}
	if g := s.Groups[1]; g.Name != "tortoises" || g.ReadRate != 500 {
		t.Errorf("slow readers %+v", g)
	}
	if g := s.Groups[2]; g.Rate.String() != "poisson:20/s" || g.Messages != 1000 || g.Payload.File != lines || !g.Payload.Text {
		t.Errorf("publishers %+v, want the payload file beside the scenario", g)
	}
	if g := s.Groups[3]; g.PublishURL != "http://127.0.0.1:8080/publish" || g.InFlight != 3 || g.Payload.Bytes != "64-256" {
		t.Errorf("URL %+v", g)
	}
	if g := s.Groups[4]; len(g.Payload.Templates) != 1 || g.InFlight != 2 {
		t.Errorf("echo %+v", g)
	}
	if g := s.Groups[6]; g.Leave != scenario.LeaveFIN {
		t.Errorf("storm %+v", g)
	}
}

func TestFileDefaults(t *testing.T) {
	path := writeFile(t, "small.yml", "drain: 3s\ngroups: [{role: hold, conns: 2}]\n")
	s, err := scenario.ReadFile(path, scenario.Spec{
		Settle: time.Second, Drain: time.Minute, Groups: []scenario.Group{{Role: scenario.Echo}},
	})
	if err != nil || s.Name != "small" || s.Settle != time.Second || s.Drain != 3*time.Second || len(s.Groups) != 1 || s.Groups[0].Conns != 2 {
		t.Errorf("error %v, read %+v", err, s)
	}
	if !scenario.IsFile(path) || scenario.IsFile("idle") {
		t.Errorf("%s must be a file, and idle none", path)
	}
}

func TestFileFaultsHaveTheirPlace(t *testing.T) {
	for text, words := range map[string][]string{
		"settle: 1s\ngroups:\n  - role: hold\n    cons: 3\n":      {"unknown field", "cons", "4"},
		"groups:\n  - role: hold\n    conns: many\n":              {"3", "conns: many"},
		"groups:\n  - role: echo\n    conns: 1\n    rate: soon\n": {"want a rate such as", "soon"},
		"duration: 5\ngroups: [":                                  {"bad.yaml"},
	} {
		_, err := scenario.ReadFile(writeFile(t, "bad.yaml", text), scenario.Spec{})
		mentions(t, err, words...)
	}
	_, err := scenario.ReadFile(filepath.Join(t.TempDir(), "none.yaml"), scenario.Spec{})
	mentions(t, err, "none.yaml", "no such file")
	s, err := scenario.ReadFile(writeFile(t, "wrong.yaml", "settle: -1s\ndrain: -2s\ngroups:\n  - role: hold\n  - role: talk\n    conns: 1\n"), scenario.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	mentions(t, s.Validate(), "settle: -1s", "drain: -2s", "connections: 0", `role: "talk"`)
}
