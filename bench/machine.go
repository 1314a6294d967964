//go:build linux

package bench

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where a run was made, as far as it bears on the numbers.
type Machine struct {
	Kernel      string `json:"kernel"`
	CPUModel    string `json:"cpu_model"` // empty: the kernel does not say
	Cores       int    `json:"cpu_cores"`
	MemoryBytes int64  `json:"memory_bytes"`
	LocalPorts  int    `json:"local_ports"` // per source address, ip(7)
	GoVersion   string `json:"go_version"`
}

// ReadMachine describes the machine of the client.
func ReadMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), LocalPorts: localPorts(), GoVersion: runtime.Version()}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:]) + " " + unix.ByteSliceToString(name.Machine[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemoryBytes = int64(info.Totalram) * int64(info.Unit)
	}
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(cpus) {
		if key, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(key) == "model name" {
			m.CPUModel = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// Tool is the program that made a run.
type Tool struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`   // empty: built without version control
	Modified bool   `json:"modified"` // with changes that are in no commit
}

// What scripts/build.sh builds from: the go command asks git only in some clones.
// Both are set with -ldflags -X.
var commit, modified string

// ReadTool asks the running program what it was built from.
func ReadTool() Tool {
	tool := Tool{Version: "unknown", Commit: commit, Modified: modified == "true"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return tool
	}
	if info.Main.Version != "" {
		tool.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			tool.Commit = s.Value
		case "vcs.modified":
			tool.Modified = s.Value == "true"
		}
	}
	return tool
}
