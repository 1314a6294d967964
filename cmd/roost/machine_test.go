//go:build linux

package main

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"roost/conn/machine"
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

// host is the machine, without TLS in its kernel.
func (f files) host() host {
	return host{f.machine(), func() ([]uint16, error) { return nil, errors.New("no such module") }}
}

func (f files) machine() machine.Machine {
	tree := fstest.MapFS{}
	for name, text := range f {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return machine.Machine{Root: tree}
}

// TestThisMachine reads the files of a real kernel: their form is as assumed.
func TestThisMachine(t *testing.T) {
	m := machine.This()
	for _, c := range examine(m, needs(m, 1, noTLS)) {
		if c.Verdict == unknown && strings.Contains(c.Why, "not a number") {
			t.Errorf("%s: %s", c.Name, c.Why)
		}
	}
}

func TestNeeds(t *testing.T) {
	n := needs(roomy().machine(), 100_000, noTLS)
	// 2048 and 1024 from slabinfo, the rest estimated.
	if want := int64(2048 + 1024 + 256 + 195 + 128 + 80 + 16); n.kernelPerConn != want || n.kernelSource != "the sizes in /proc/slabinfo" {
		t.Errorf("%d bytes of kernel memory a connection, %s; want %d", n.kernelPerConn, n.kernelSource, want)
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
	secure := needs(roomy().machine(), 1_000_000, tlsInProcess)
	if slow := needs(roomy().machine(), 1000, tlsInProcess); secure.Backlog != 65535 || slow.Backlog != 128 {
		t.Errorf("a backlog of %d for a million and %d for a thousand with TLS", secure.Backlog, slow.Backlog)
	}
	blind := needs(files{}.machine(), 10, noTLS)
	if blind.kernelPerConn < 3000 || blind.kernelPerConn > 6000 || !strings.Contains(blind.kernelSource, "because of") || blind.Backlog != 128 {
		t.Errorf("without slabinfo: %+v", blind)
	}
	if huge := needs(roomy().machine(), maxConns, noTLS); huge.Backlog != 65535 || huge.memory() < huge.User {
		t.Errorf("%+v", huge)
	}
}
