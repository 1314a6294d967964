//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// machine reads the settings and counters of a machine, proc(5) and sysfs(5). It
// changes nothing.
type machine struct {
	root fs.FS // the machine's files, from / on
}

func thisMachine() machine { return machine{os.DirFS("/")} }

// unlimited stands for the absence of a limit.
const unlimited = math.MaxInt64

// text reads a file, whose name begins without a slash.
func (m machine) text(name string) (string, error) {
	b, err := fs.ReadFile(m.root, name)
	return strings.TrimSpace(string(b)), err
}

// numbers reads a file that holds nothing but whole numbers, want of them or more.
func (m machine) numbers(name string, want int) ([]int64, error) {
	text, err := m.text(name)
	if err != nil {
		return nil, err
	}
	var all []int64
	for _, field := range strings.Fields(text) {
		n, err := number(field)
		if err != nil {
			return nil, fmt.Errorf("/%s: %w", name, err)
		}
		all = append(all, n)
	}
	if len(all) < want {
		return nil, fmt.Errorf("/%s holds %q, want %d numbers", name, text, want)
	}
	return all, nil
}

// number reads a count; what does not fit in 64 bits, or says so, is unlimited.
func number(field string) (int64, error) {
	if field == "max" || field == "unlimited" {
		return unlimited, nil
	}
	n, err := strconv.ParseInt(field, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return unlimited, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", field)
	}
	return n, nil
}

// sysctl reads the first number of a setting such as fs.nr_open.
func (m machine) sysctl(name string) (int64, error) {
	all, err := m.numbers("proc/sys/"+strings.ReplaceAll(name, ".", "/"), 1)
	if err != nil {
		return 0, err
	}
	return all[0], nil
}

// descriptorLimits are the soft and the hard limit of this process.
func (m machine) descriptorLimits() (soft, hard int64, err error) {
	const name = "proc/self/limits"
	text, err := m.text(name)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			if f := strings.Fields(rest); len(f) >= 2 {
				soft, err1 := number(f[0])
				hard, err2 := number(f[1])
				return soft, hard, errors.Join(err1, err2)
			}
		}
	}
	return 0, 0, fmt.Errorf("/%s has no line for open files", name)
}

// availableMemory is what processes can still have without swapping, in bytes.
func (m machine) availableMemory() (int64, error) {
	const name = "proc/meminfo"
	text, err := m.text(name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			n, err := number(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/%s has no MemAvailable", name)
}

// localPorts is how many ports one address has for outgoing connections, ip(7).
func (m machine) localPorts() (int64, error) {
	all, err := m.numbers("proc/sys/net/ipv4/ip_local_port_range", 2)
	if err != nil {
		return 0, err
	}
	return max(0, all[1]-all[0]+1), nil
}

// slabs are the bytes one object takes in each of the kernel's caches, with its
// share of what is left over in their pages, slabinfo(5). Only root may read it.
func (m machine) slabs() (map[string]float64, error) {
	text, err := m.text("proc/slabinfo")
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		objects, err1 := number(f[4]) // per slab
		pages, err2 := number(f[5])
		if err1 == nil && err2 == nil && objects > 0 {
			all[f[0]] = float64(pages*int64(os.Getpagesize())) / float64(objects)
		}
	}
	return all, nil
}

// memoryLimit is the tightest memory limit of the control groups this process is
// in, versions 1 and 2, in bytes, and the file it was found in.
func (m machine) memoryLimit() (limit int64, file string, err error) {
	text, err := m.text("proc/self/cgroup")
	if err != nil {
		return 0, "", err
	}
	limit = unlimited
	mounted := false
	try := func(mount, group, name string) {
		if _, err := fs.Stat(m.root, mount); err != nil {
			return
		}
		mounted = true
		for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
			at := path.Join(mount, dir, name)
			if all, err := m.numbers(at, 1); err == nil && all[0] < limit {
				limit, file = all[0], "/"+at
			}
			if dir == "/" {
				return
			}
		}
	}
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(f) < 3:
		case f[0] == "0" && f[1] == "": // version 2, cgroups(7)
			try("sys/fs/cgroup", f[2], "memory.max")
			try("sys/fs/cgroup/unified", f[2], "memory.max")
		case slices.Contains(strings.Split(f[1], ","), "memory"):
			try("sys/fs/cgroup/memory", f[2], "memory.limit_in_bytes")
		}
	}
	if !mounted {
		return 0, "", errors.New("no control groups below /sys/fs/cgroup")
	}
	// Version 1 says "no limit" with the highest number of whole pages.
	if limit > unlimited/2 {
		limit, file = unlimited, ""
	}
	return limit, file, nil
}
