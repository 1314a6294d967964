//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/goccy/go-yaml"

	"roost/conn/machine"
)

// What lies in scripts/ for those who run roost is checked here without systemd,
// Docker or Kubernetes; scripts/packaging.sh does more.

func packaged(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../scripts/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// longestStop is what a stop may take by the settings of a command line.
func longestStop(t *testing.T, args ...string) time.Duration {
	t.Helper()
	line, err := parse(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for _, s := range line.settings {
		if slices.Contains([]string{"drain-delay", "drain-time", "shutdown-timeout"}, s.Name) {
			d, err := time.ParseDuration(fmt.Sprint(s.Target.Interface()))
			if err != nil || s.Name == "shutdown-timeout" && d == 0 {
				t.Fatalf("--%s: a stop without an end fits in nothing, %v", s.Name, err)
			}
			sum += d
		}
	}
	return sum
}

// TestPackagedFlags: each command, flag and variable that is named in a package exists.
func TestPackagedFlags(t *testing.T) {
	line, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string][]string{} // flags by command
	variables := map[string]bool{"ROOST": true}
	for _, node := range line.model.Children {
		for _, group := range node.AllFlags(false) {
			for _, f := range group {
				known[node.Name] = append(known[node.Name], f.Name)
				for _, env := range f.Envs {
					variables[env] = true
				}
			}
		}
	}
	call := regexp.MustCompile(`(?:^|[/" =$'])roost"?,? ((?:[^#]*["' ])?)--.*|args: .*|CMD .*|command: .*`)
	flagName := regexp.MustCompile(`--([a-z][a-z-]+)`)
	commands := strings.Join(slices.Collect(maps.Keys(known)), "|")
	command := regexp.MustCompile(`roost"?,? "?(` + commands + `)\b`)
	variable := regexp.MustCompile(`\bROOST_[A-Z_]*[A-Z]\b`)
	for name, least := range map[string]int{"roost.service": 1, "roost.socket": 0, "Dockerfile": 1, "k8s.yaml": 4, "tune.sh": 2} {
		flags := 0
		for text := range strings.Lines(packaged(t, name)) {
			for _, v := range variable.FindAllString(text, -1) {
				if !variables[v] {
					t.Errorf("%s: there is no variable %s: %s", name, v, text)
				}
			}
			used := call.FindString(text)
			if _, run, ok := strings.Cut(text, "docker "); ok { // its own flags come before the image's name
				used = ""
				if strings.HasPrefix(run, "run ") {
					_, used, _ = strings.Cut(run, " roost ")
				}
			}
			of := "serve"
			if m := command.FindStringSubmatch(text); m != nil {
				of = m[1]
			}
			for _, f := range flagName.FindAllStringSubmatch(used, -1) {
				flags++
				if !slices.Contains(known[of], f[1]) {
					t.Errorf("%s: %s has no flag --%s: %s", name, of, f[1], text)
				}
			}
		}
		if flags < least {
			t.Errorf("%s: %d flags were found, want %d at least: this test no longer sees them", name, flags, least)
		}
	}
}

// TestUnit: systemd waits longer than a stop may take, and gives the descriptors that
// its comment promises.
func TestUnit(t *testing.T) {
	unit := map[string]string{}
	for text := range strings.Lines(packaged(t, "roost.service")) {
		if key, value, ok := strings.Cut(strings.TrimSpace(text), "="); ok && !strings.HasPrefix(key, "#") {
			unit[key] = value
		}
	}
	seconds, err := strconv.Atoi(unit["TimeoutStopSec"])
	if stop := longestStop(t, "--config", "../../scripts/roost.yaml"); err != nil || time.Duration(seconds)*time.Second < stop+10*time.Second {
		t.Errorf("TimeoutStopSec=%s, a stop may take %v", unit["TimeoutStopSec"], stop)
	}
	for key, want := range map[string]string{"Type": "notify-reload", "DynamicUser": "yes", "ProtectSystem": "strict", "NoNewPrivileges": "yes",
		"CapabilityBoundingSet": "", "Restart": "on-failure", "LimitNOFILE": "1048576"} {
		if got, ok := unit[key]; !ok || got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}
	if !strings.HasPrefix(unit["ExecStart"], "/usr/local/bin/roost --config /etc/roost/roost.yaml") {
		t.Errorf("ExecStart=%s", unit["ExecStart"])
	}
}

// TestDockerfile: stages that are used exist, what is copied lies in the repository and
// is all that the program needs, and nobody is root.
func TestDockerfile(t *testing.T) {
	stages := []string{}
	last := map[string]string{} // the last stage's instructions
	var copied []string
	for text := range strings.Lines(packaged(t, "Dockerfile")) {
		instruction, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		if strings.HasPrefix(instruction, "#") || instruction == "" {
			continue
		}
		fields := strings.Fields(rest)
		switch instruction {
		case "FROM":
			last = map[string]string{}
			if len(fields) == 3 {
				stages = append(stages, fields[2])
			}
		case "COPY":
			if from, ok := strings.CutPrefix(fields[0], "--from="); ok {
				if !slices.Contains(stages, from) {
					t.Errorf("no stage %s: %s", from, text)
				}
				break
			}
			for _, source := range fields[:len(fields)-1] {
				copied = append(copied, source)
				if _, err := os.Stat("../../" + source); err != nil {
					t.Errorf("%s: %v", text, err)
				}
			}
		case "ARG", "RUN", "WORKDIR", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT":
		default:
			t.Errorf("an instruction that is not known here: %s", text)
		}
		last[instruction] = rest
	}
	for instruction, want := range map[string]string{"FROM": "scratch", "USER": "65532:65532", "STOPSIGNAL": "SIGTERM",
		"EXPOSE": "8000", "ENTRYPOINT": `["/roost"]`} {
		if last[instruction] != want {
			t.Errorf("%s %s, want %s", instruction, last[instruction], want)
		}
	}
	if !strings.HasSuffix(last["HEALTHCHECK"], `CMD ["/roost", "health"]`) {
		t.Errorf("HEALTHCHECK %s", last["HEALTHCHECK"])
	}
	for _, folder := range []string{"poller", "conn", "cmd/roost", "go.mod", "go.sum"} {
		if !slices.Contains(copied, folder) {
			t.Errorf("%s is not copied", folder)
		}
	}
}

// tree is a part of a YAML document.
type tree map[string]any

func (d tree) at(t *testing.T, path ...string) any {
	t.Helper()
	var v any = map[string]any(d)
	for _, key := range path {
		if list, ok := v.([]any); ok {
			if len(list) != 1 {
				t.Fatalf("%v: %d in a list, want one", path, len(list))
			}
			v = list[0]
		}
		m, ok := v.(map[string]any)
		if !ok || m[key] == nil {
			t.Fatalf("%v: no %s in %v", path, key, v)
		}
		v = m[key]
	}
	return v
}

func TestKubernetes(t *testing.T) {
	kinds := map[string]tree{}
	for d := yaml.NewDecoder(strings.NewReader(packaged(t, "k8s.yaml")), yaml.Strict()); ; {
		var doc tree
		if err := d.Decode(&doc); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kinds[doc.at(t, "apiVersion").(string)+" "+doc.at(t, "kind").(string)] = doc
		if doc.at(t, "metadata", "name") != "roost" {
			t.Errorf("%s has another name", doc.at(t, "kind"))
		}
	}
	if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, []string{"apps/v1 Deployment", "policy/v1 PodDisruptionBudget", "v1 ConfigMap", "v1 Service"}) {
		t.Fatalf("kinds: %v", got)
	}
	deployment, service := kinds["apps/v1 Deployment"], kinds["v1 Service"]
	const app = "app.kubernetes.io/name"
	pod := []string{"spec", "template", "spec"}
	container := append(slices.Clone(pod), "containers")

	// Who selects whom.
	for what, got := range map[string]any{
		"the deployment": deployment.at(t, "spec", "selector", "matchLabels", app),
		"the pods":       deployment.at(t, "spec", "template", "metadata", "labels", app),
		"the service":    service.at(t, "spec", "selector", app),
		"the budget":     kinds["policy/v1 PodDisruptionBudget"].at(t, "spec", "selector", "matchLabels", app),
	} {
		if got != "roost" {
			t.Errorf("%s is for %v", what, got)
		}
	}
	if service.at(t, "spec", "ports", "targetPort") != deployment.at(t, append(container, "ports", "name")...) {
		t.Error("the service sends clients to a port that the pods do not have")
	}
	if fmt.Sprint(deployment.at(t, "spec", "strategy", "rollingUpdate", "maxUnavailable")) != "0" {
		t.Error("an update takes pods away before others are ready")
	}
	if deployment.at(t, append(pod, "securityContext", "runAsNonRoot")...) != true ||
		deployment.at(t, append(container, "securityContext", "readOnlyRootFilesystem")...) != true {
		t.Error("more rights than needed")
	}

	// The settings, and what has to fit them.
	settings := writeConfig(t, kinds["v1 ConfigMap"].at(t, "data", "roost.yaml").(string))
	line, err := parse([]string{"--config", settings}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprint([]any{"--config", deployment.at(t, append(container, "volumeMounts", "mountPath")...).(string) + "/roost.yaml"}); fmt.Sprint(deployment.at(t, append(container, "args")...)) != want {
		t.Errorf("args are not %s", want)
	}
	if deployment.at(t, append(pod, "volumes", "configMap", "name")...) != "roost" ||
		deployment.at(t, append(pod, "volumes", "name")...) != deployment.at(t, append(container, "volumeMounts", "name")...) {
		t.Error("the settings are not mounted")
	}
	if port := fmt.Sprint(deployment.at(t, append(container, "ports", "containerPort")...)); !slices.Contains(line.Serve.Listen, ":"+port) {
		t.Errorf("clients are sent to %s, roost listens on %v", port, line.Serve.Listen)
	}
	seconds := func(path ...string) time.Duration {
		n, err := strconv.Atoi(fmt.Sprint(deployment.at(t, path...)))
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(n) * time.Second
	}
	grace := seconds(append(pod, "terminationGracePeriodSeconds")...)
	stop := seconds(append(container, "lifecycle", "preStop", "sleep", "seconds")...) + longestStop(t, "--config", settings)
	if grace < stop+10*time.Second {
		t.Errorf("a stop may take %v, Kubernetes waits %v", stop, grace)
	}
	for _, probe := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
		args := []string{}
		for _, arg := range deployment.at(t, append(container, probe, "exec", "command")...).([]any) {
			args = append(args, arg.(string))
		}
		health, err := parse(args[1:], io.Discard)
		if err != nil || args[0] != "/roost" || health.command != "health" || health.Health.Ready != (probe == "readinessProbe") {
			t.Errorf("%s: %v, %v", probe, args, err)
		}
		if probe != "startupProbe" && seconds(append(container, probe, "timeoutSeconds")...) <= health.Health.Timeout.n {
			t.Errorf("%s: Kubernetes gives up before 'roost health' does", probe)
		}
	}

	// Memory, with the estimates for a machine that tells nothing.
	var limit size
	if err := limit.UnmarshalText([]byte(deployment.at(t, append(container, "resources", "limits", "memory")...).(string) + "B")); err != nil || limit.bad != nil {
		t.Fatal(err, limit.bad)
	}
	var soft size
	if err := soft.UnmarshalText([]byte(deployment.at(t, append(container, "env", "value")...).(string))); err != nil || soft.bad != nil {
		t.Fatal(err, soft.bad)
	}
	n := needs(machine.Machine{Root: fstest.MapFS{}}, int64(line.Serve.MaxConns.n), noTLS)
	if n.memory() > limit.n || n.User > soft.n || soft.n+n.Kernel > limit.n+n.User {
		t.Errorf("%d connections take %s, the limit is %s and GOMEMLIMIT %s", n.Conns, inBytes(n.memory()), inBytes(limit.n), inBytes(soft.n))
	}
}

// TestScriptsAreText: no tab in YAML, no carriage return anywhere.
func TestScriptsAreText(t *testing.T) {
	for _, name := range []string{"roost.service", "roost.socket", "Dockerfile", "k8s.yaml", "tune.sh", "roost.yaml"} {
		if text := []byte(packaged(t, name)); bytes.ContainsRune(text, '\r') || strings.HasSuffix(name, ".yaml") && bytes.ContainsRune(text, '\t') {
			t.Errorf("%s has characters that editors do not show", name)
		}
	}
}
