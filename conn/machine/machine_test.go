//go:build linux

package machine

import (
	"maps"
	"os"
	"testing"
	"testing/fstest"
)

// files is a machine made of file names and their contents.
type files map[string]string

// grouped is a machine with control groups of version 2 and no limit on memory.
func grouped() files {
	return files{
		"proc/self/cgroup":                               "0::/user.slice/session-1.scope\n",
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

func (f files) machine() Machine {
	tree := fstest.MapFS{}
	for name, text := range f {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return Machine{tree}
}

func TestMemoryLimit(t *testing.T) {
	v1 := files{"proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n", "sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/user.slice/memory.max": ""}
	for _, c := range []struct {
		name  string
		files files
		limit int64
		file  string
	}{
		{"version 2 without a limit", nil, Unlimited, ""},
		{"version 2, own group", files{"sys/fs/cgroup/user.slice/session-1.scope/memory.max": "1000000\n"}, 1_000_000, "/sys/fs/cgroup/user.slice/session-1.scope/memory.max"},
		{"version 2, a group above", files{"sys/fs/cgroup/user.slice/memory.max": "500000\n", "sys/fs/cgroup/user.slice/session-1.scope/memory.max": "1000000\n"}, 500_000, "/sys/fs/cgroup/user.slice/memory.max"},
		{"version 2, in a namespace", files{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "700000\n"}, 700_000, "/sys/fs/cgroup/memory.max"},
		{"version 2 beside version 1", files{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/unified/a/memory.max": "600000\n"}, 600_000, "/sys/fs/cgroup/unified/a/memory.max"},
		{"version 1", v1.with(files{"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "400000\n"}), 400_000, "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes"},
		{"version 1 in a container", v1.with(files{"sys/fs/cgroup/memory/memory.limit_in_bytes": "300000\n"}), 300_000, "/sys/fs/cgroup/memory/memory.limit_in_bytes"},
		{"version 1 without a limit", v1.with(files{"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}), Unlimited, ""},
	} {
		limit, file, err := grouped().with(c.files).machine().MemoryLimit()
		if limit != c.limit || file != c.file || err != nil {
			t.Errorf("%s: %d in %q, %v; want %d in %q", c.name, limit, file, err, c.limit, c.file)
		}
	}
	if _, _, err := (files{"proc/self/cgroup": "0::/\n"}).machine().MemoryLimit(); err == nil {
		t.Error("no error although no control group can be seen")
	}
}

func TestMachineFaults(t *testing.T) {
	for _, text := range []string{"", "\n", "many\n"} {
		m := files{"proc/sys/fs/nr_open": text, "proc/sys/net/ipv4/ip_local_port_range": "1024" + text, "proc/self/limits": text, "proc/meminfo": text, "proc/self/statm": "1" + text}.machine()
		if n, err := m.Sysctl("fs.nr_open"); err == nil {
			t.Errorf("%q is read as %d", text, n)
		}
		if n, err := m.LocalPorts(); err == nil {
			t.Errorf("half a port range is read as %d", n)
		}
		if _, n, err := m.DescriptorLimits(); err == nil {
			t.Errorf("%q is read as a limit of %d descriptors", text, n)
		}
		if n, err := m.AvailableMemory(); err == nil {
			t.Errorf("%q is read as %d bytes", text, n)
		}
		if n, err := m.ResidentSet(); err == nil {
			t.Errorf("half of statm is read as %d bytes", n)
		}
	}
}

// TestThisMachine reads the files of a real kernel: their form is as assumed.
func TestThisMachine(t *testing.T) {
	m := This()
	if _, hard, err := m.DescriptorLimits(); hard < 1 || err != nil {
		t.Errorf("%d descriptors, %v", hard, err)
	}
	if n, err := m.AvailableMemory(); n < 1 || err != nil {
		t.Errorf("%d bytes available, %v", n, err)
	}
	if n, err := m.LocalPorts(); n < 1 || err != nil {
		t.Errorf("%d ports, %v", n, err)
	}
	if n, err := m.ResidentSet(); n < 1<<20 || err != nil {
		t.Errorf("%d bytes resident, %v", n, err)
	}
}

// TestParts takes a size from the first cache that is known, else the estimate.
func TestParts(t *testing.T) {
	slabs, err := files{"proc/slabinfo": "slabinfo - version: 2.1\n" +
		"# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor>\n" +
		"TCPv6                 53    104   2048   12    8 : tunables    0    0    0 : slabdata      8      8      0\n" +
		"TCP                   53    104   2048   16    8 : tunables    0    0    0 : slabdata      8      8      0\n"}.machine().Slabs()
	if err != nil {
		t.Fatal(err)
	}
	parts := []Part{{"socket", []string{"TCPv6", "TCP"}, 1}, {"old socket", []string{"gone", "TCP"}, 1}, {"other", nil, 7}}
	pages := float64(8 * os.Getpagesize())
	want := []struct {
		size float64
		slab string
	}{{pages / 12, "TCPv6"}, {pages / 16, "TCP"}, {7, ""}}
	for i, p := range parts {
		if size, slab := p.Bytes(slabs); size != want[i].size || slab != want[i].slab {
			t.Errorf("%s: %v bytes of %q, want %v", p.What, size, slab, want[i])
		}
	}
	if got := Sum(parts, nil); got != 9 {
		t.Errorf("without slabs %d bytes, want the estimates, 9", got)
	}
}

func TestMemoryRoom(t *testing.T) {
	const (
		group = "sys/fs/cgroup/user.slice/"
		old   = "sys/fs/cgroup/memory/a/"
	)
	available := files{"proc/meminfo": "MemAvailable:   1000 kB\n"}
	v1 := files{"proc/self/cgroup": "4:memory:/a\n", "sys/fs/cgroup/user.slice/memory.max": "", old + "memory.limit_in_bytes": "900000\n"}
	for _, c := range []struct {
		name  string
		files files
		room  int64
		group bool
	}{
		{"no limit", available, 1_024_000, false},
		{"the group's is less", available.with(files{group + "memory.max": "500000\n"}), 500_000 - 123_456, true},
		{"with a cache", available.with(files{group + "memory.max": "500000\n", group + "memory.stat": "anon 5\ninactive_file 1000\n"}), 501_000 - 123_456, true},
		{"the machine's is less", available.with(files{group + "memory.max": "5000000\n"}), 1_024_000, false},
		{"beyond the limit", available.with(files{group + "memory.max": "100000\n"}), 0, true},
		{"version 1", available.with(v1).with(files{old + "memory.usage_in_bytes": "400000\n"}), 500_000, true},
		{"version 1, usage unknown", available.with(v1), 1_024_000, false},
		{"only the group is known", files{group + "memory.max": "500000\n"}, 500_000 - 123_456, true},
	} {
		room, inGroup, err := grouped().with(c.files).machine().MemoryRoom()
		if room != c.room || inGroup != c.group || err != nil {
			t.Errorf("%s: %d, %v, %v; want %d, %v", c.name, room, inGroup, err, c.room, c.group)
		}
	}
	if n, _, err := (files{}).machine().MemoryRoom(); err == nil {
		t.Errorf("nothing is known, and %d bytes are left", n)
	}
}
