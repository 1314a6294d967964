//go:build linux

package machine

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

// Machine reads the settings and counters of a machine, proc(5) and sysfs(5). It
// changes nothing, and keeps nothing: every call reads.
type Machine struct {
	Root fs.FS // the machine's files, from / on
}

// This is the machine, or the container, that the program runs on.
func This() Machine { return Machine{os.DirFS("/")} }

// Unlimited stands for the absence of a limit.
const Unlimited = math.MaxInt64

// Text reads a file, whose name begins without a slash.
func (m Machine) Text(name string) (string, error) {
	b, err := fs.ReadFile(m.Root, name)
	return strings.TrimSpace(string(b)), err
}

// Numbers reads a file that holds nothing but whole numbers, want of them or more.
func (m Machine) Numbers(name string, want int) ([]int64, error) {
	text, err := m.Text(name)
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

// number reads a count; what does not fit in 64 bits, or says so, is Unlimited.
func number(field string) (int64, error) {
	if field == "max" || field == "unlimited" {
		return Unlimited, nil
	}
	n, err := strconv.ParseInt(field, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return Unlimited, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", field)
	}
	return n, nil
}

// Sysctl reads the first number of a setting such as fs.nr_open.
func (m Machine) Sysctl(name string) (int64, error) {
	all, err := m.Numbers("proc/sys/"+strings.ReplaceAll(name, ".", "/"), 1)
	if err != nil {
		return 0, err
	}
	return all[0], nil
}

// DescriptorLimits are the soft and the hard limit of this process.
func (m Machine) DescriptorLimits() (soft, hard int64, err error) {
	const name = "proc/self/limits"
	text, err := m.Text(name)
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

// AvailableMemory is what processes can still have without swapping, in bytes.
func (m Machine) AvailableMemory() (int64, error) {
	const name = "proc/meminfo"
	text, err := m.Text(name)
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

// ResidentSet is the memory that this process has, in bytes.
func (m Machine) ResidentSet() (int64, error) {
	all, err := m.Numbers("proc/self/statm", 2)
	if err != nil {
		return 0, err
	}
	return all[1] * int64(os.Getpagesize()), nil
}

// LocalPorts is how many ports one address has for outgoing connections, ip(7).
func (m Machine) LocalPorts() (int64, error) {
	all, err := m.Numbers("proc/sys/net/ipv4/ip_local_port_range", 2)
	if err != nil {
		return 0, err
	}
	return max(0, all[1]-all[0]+1), nil
}

// Slabs are the bytes one object takes in each of the kernel's caches, with its
// share of what is left over in their pages, slabinfo(5). Only root may read it.
func (m Machine) Slabs() (map[string]float64, error) {
	text, err := m.Text("proc/slabinfo")
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

// MemoryLimit is the tightest memory limit of the control groups this process is
// in, versions 1 and 2, in bytes, and the file it was found in.
func (m Machine) MemoryLimit() (limit int64, file string, err error) {
	text, err := m.Text("proc/self/cgroup")
	if err != nil {
		return 0, "", err
	}
	limit = Unlimited
	mounted := false
	try := func(mount, group, name string) {
		if _, err := fs.Stat(m.Root, mount); err != nil {
			return
		}
		mounted = true
		for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
			at := path.Join(mount, dir, name)
			if all, err := m.Numbers(at, 1); err == nil && all[0] < limit {
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
	if limit > Unlimited/2 {
		limit, file = Unlimited, ""
	}
	return limit, file, nil
}

// MemoryRoom is how much more memory processes can have, in bytes: what the machine
// has available, or what is left in the control group with the tightest limit if that
// is less. group says which it is. What the kernel would give back at once, the
// page cache that nobody used lately, counts as room in both.
func (m Machine) MemoryRoom() (room int64, group bool, err error) {
	room, err = m.AvailableMemory()
	left, known := m.groupRoom()
	if known && err != nil {
		room, err = Unlimited, nil // what the group leaves is known
	}
	if group = known && left < room; group {
		room = left
	}
	return room, group, err
}

// groupRoom is what is left in the control group with the tightest limit.
func (m Machine) groupRoom() (left int64, known bool) {
	limit, file, err := m.MemoryLimit()
	if err != nil || limit == Unlimited {
		return 0, false
	}
	dir := strings.TrimPrefix(path.Dir(file), "/")
	usage := "memory.current"
	if path.Base(file) == "memory.limit_in_bytes" {
		usage = "memory.usage_in_bytes"
	}
	used, err := m.Numbers(path.Join(dir, usage), 1)
	if err != nil {
		return 0, false
	}
	left = limit - used[0]
	if stat, err := m.Text(path.Join(dir, "memory.stat")); err == nil {
		for line := range strings.Lines(stat) {
			if rest, ok := strings.CutPrefix(line, "inactive_file "); ok {
				cache, _ := number(strings.TrimSpace(rest))
				left += cache
			}
		}
	}
	return max(0, left), true
}
