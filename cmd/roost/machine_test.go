//go:build linux

package main

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"
)

// files is a machine made of file names and their contents.
type files map[string]string

// roomy is a machine that has enough of everything for 100,000 connections, with
// control groups of version 2 and no limit on memory.
func roomy() files {
	return files{
		"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units     \n" +
			"Max processes             95843                95843                processes \n" +
			"Max open files            1024                 200000               files     \n",
		"proc/self/cgroup": "0::/user.slice/session-1.scope\n",
		"proc/meminfo":     "MemTotal:       8000000 kB\nMemFree:        100 kB\nMemAvailable:   6000000 kB\n",
		"proc/slabinfo": "slabinfo - version: 2.1\n" +
			"# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor>\n" +
			"TCP                   53    104   2048   16    8 : tunables    0    0    0 : slabdata      8      8      0\n" +
			"sock_inode_cache     172    247    1024   16    4 : tunables    0    0    0 : slabdata     13     13      0\n",
		"proc/sys/fs/nr_open":                            "1048576\n",
		"proc/sys/fs/file-max":                           "9223372036854775807\n",
		"proc/sys/fs/file-nr":                            "1000\t0\t9223372036854775807\n",
		"proc/sys/fs/epoll/max_user_watches":             "1500000\n",
		"proc/sys/net/core/somaxconn":                    "4096\n",
		"proc/sys/net/ipv4/tcp_max_syn_backlog":          "2048\n",
		"proc/sys/net/ipv4/tcp_mem":                      "90000\t120000\t180000\n",
		"proc/sys/net/ipv4/ip_local_port_range":          "32768\t60999\n",
		"sys/fs/cgroup/cgroup.controllers":               "memory pids\n",
		"sys/fs/cgroup/user.slice/memory.max":            "max\n",
		"sys/fs/cgroup/user.slice/memory.current":        "123456\n",
		"sys/fs/cgroup/user.slice/session-1.scope/tasks": "1\n",
	}
}

// with returns a copy with some files changed; an empty text removes one.
func (f files) with(changed files) files {
	all := maps.Clone(f)
	for name, text := range changed {
		if all[name] = text; text == "" {
			delete(all, name)
		}
	}
	return all
}

func (f files) machine() machine {
	tree := fstest.MapFS{}
	for name, text := range f {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return machine{tree}
}

func TestMemoryLimit(t *testing.T) {
	v1 := files{"proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n", "sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/user.slice/memory.max": ""}
	for _, c := range []struct {
		name  string
		files files
		limit int64
		file  string
	}{
		{"version 2 without a limit", nil, unlimited, ""},
		{"version 2, own group", files{"sys/fs/cgroup/user.slice/session-1.scope/memory.max": "1000000\n"}, 1_000_000, "/sys/fs/cgroup/user.slice/session-1.scope/memory.max"},
		{"version 2, a group above", files{"sys/fs/cgroup/user.slice/memory.max": "500000\n", "sys/fs/cgroup/user.slice/session-1.scope/memory.max": "1000000\n"}, 500_000, "/sys/fs/cgroup/user.slice/memory.max"},
		{"version 2, in a namespace", files{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "700000\n"}, 700_000, "/sys/fs/cgroup/memory.max"},
		{"version 2 beside version 1", files{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/unified/a/memory.max": "600000\n"}, 600_000, "/sys/fs/cgroup/unified/a/memory.max"},
		{"version 1", v1.with(files{"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "400000\n"}), 400_000, "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes"},
		{"version 1 in a container", v1.with(files{"sys/fs/cgroup/memory/memory.limit_in_bytes": "300000\n"}), 300_000, "/sys/fs/cgroup/memory/memory.limit_in_bytes"},
		{"version 1 without a limit", v1.with(files{"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}), unlimited, ""},
	} {
		limit, file, err := roomy().with(c.files).machine().memoryLimit()
		if limit != c.limit || file != c.file || err != nil {
			t.Errorf("%s: %d in %q, %v; want %d in %q", c.name, limit, file, err, c.limit, c.file)
		}
	}
	if _, _, err := (files{"proc/self/cgroup": "0::/\n"}).machine().memoryLimit(); err == nil {
		t.Error("no error although no control group can be seen")
	}
}

func TestMachineFaults(t *testing.T) {
	for _, text := range []string{"", "\n", "many\n"} {
		m := files{"proc/sys/fs/nr_open": text, "proc/sys/net/ipv4/ip_local_port_range": "1024" + text, "proc/self/limits": text, "proc/meminfo": text}.machine()
		if n, err := m.sysctl("fs.nr_open"); err == nil {
			t.Errorf("%q is read as %d", text, n)
		}
		if n, err := m.localPorts(); err == nil {
			t.Errorf("half a port range is read as %d", n)
		}
		if _, n, err := m.descriptorLimits(); err == nil {
			t.Errorf("%q is read as a limit of %d descriptors", text, n)
		}
		if n, err := m.availableMemory(); err == nil {
			t.Errorf("%q is read as %d bytes", text, n)
		}
	}
}

// TestThisMachine reads the files of a real kernel: their form is as assumed.
func TestThisMachine(t *testing.T) {
	m := thisMachine()
	if _, hard, err := m.descriptorLimits(); hard < 1 || err != nil {
		t.Errorf("%d descriptors, %v", hard, err)
	}
	if n, err := m.availableMemory(); n < 1 || err != nil {
		t.Errorf("%d bytes available, %v", n, err)
	}
	if n, err := m.localPorts(); n < 1 || err != nil {
		t.Errorf("%d ports, %v", n, err)
	}
	for _, c := range examine(m, needs(m, 1)) {
		if c.Verdict == unknown && strings.Contains(c.Why, "not a number") {
			t.Errorf("%s: %s", c.Name, c.Why)
		}
	}
}

func TestNeeds(t *testing.T) {
	n := needs(roomy().machine(), 100_000)
	// 2048 and 1024 from slabinfo, the rest estimated.
	if want := int64(2048 + 1024 + 256 + 195 + 128 + 80 + 16); n.kernelPerConn != want || n.slabsErr != nil {
		t.Errorf("%d bytes of kernel memory a connection, %v; want %d", n.kernelPerConn, n.slabsErr, want)
	}
	if n.Descriptors != 100_064 || n.Backlog != 1000 || n.TCPPages != 100_000 {
		t.Errorf("%+v", n)
	}
	if n.memory() != n.User+n.Kernel+n.Flight {
		t.Errorf("memory is not its sum: %+v", n)
	}
	if fit := n.fit(n.memory()); fit < 99_999 || fit > 100_001 {
		t.Errorf("%d connections fit in the memory of 100,000", fit)
	}
	if fit := n.fit(1); fit != 0 {
		t.Errorf("%d connections fit in a byte", fit)
	}
	blind := needs(files{}.machine(), 10)
	if blind.kernelPerConn < 3000 || blind.kernelPerConn > 6000 || blind.slabsErr == nil || blind.Backlog != 128 {
		t.Errorf("without slabinfo: %+v", blind)
	}
	if huge := needs(roomy().machine(), maxConns); huge.Backlog != 65535 || huge.memory() < huge.User {
		t.Errorf("%+v", huge)
	}
}
