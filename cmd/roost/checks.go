//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"roost/conn/machine"
)

// verdict is what a check comes to.
type verdict string

const (
	fine     verdict = "ok"
	tooSmall verdict = "too small"
	unknown  verdict = "unknown" // it could not be read; Why says the reason
	note     verdict = "note"    // worth knowing, and no fault
)

// check is one setting of the machine and what it has to be.
type check struct {
	Name    string   `json:"check"`
	Unit    string   `json:"unit"`   // of Now and Needed
	Now     *int64   `json:"now"`    // nil when unknown; the largest of 64 bits when there is no limit
	Needed  *int64   `json:"needed"` // nil when nothing is needed
	Verdict verdict  `json:"verdict"`
	Why     string   `json:"why"`  // what the setting is for, or why the verdict is what it is
	Do      []string `json:"do"`   // commands that change it now, as root
	Keep    []string `json:"keep"` // how it stays changed after the next start
}

// examination runs all checks of one machine against one need.
type examination struct {
	machine.Machine
	need
	checks []check
}

// examine returns the checks in the order in which faults have to be mended: a
// descriptor limit cannot be set beyond fs.nr_open.
func examine(m machine.Machine, n need) []check {
	e := &examination{Machine: m, need: n}
	e.sysctlCheck("fs.nr_open", n.Descriptors, "the highest limit of descriptors that a process can be given")
	e.fileMax()
	e.descriptors()
	e.memory()
	e.controlGroup()
	e.tcpMemory()
	e.sysctlCheck("fs.epoll.max_user_watches", n.Conns, "descriptors that one user may watch with epoll")
	e.sysctlCheck("net.core.somaxconn", n.Backlog, "connections that wait for accept when everybody comes back within ten seconds")
	e.sysctlCheck("net.ipv4.tcp_max_syn_backlog", n.Backlog, "the same for connections whose handshake is incomplete")
	e.connectionTracking()
	e.kernelTLS()
	e.migration()
	e.localPortRange()
	return e.checks
}

// add judges a check by its numbers, unless err says why there are none.
func (e *examination) add(c check, now, needed int64, err error) *check {
	if c.Unit == "" {
		c.Unit = "count"
	}
	c.Now, c.Needed = &now, &needed
	switch {
	case c.Verdict != "":
	case err != nil:
		c.Now, c.Verdict, c.Why = nil, unknown, err.Error()
	case now < needed:
		c.Verdict = tooSmall
	default:
		c.Verdict = fine
	}
	if now >= needed || c.Verdict != tooSmall && c.Verdict != note {
		c.Do, c.Keep = nil, nil
	}
	if c.Verdict == note {
		c.Needed = nil
	}
	e.checks = append(e.checks, c)
	return &e.checks[len(e.checks)-1]
}

// sysctlCheck is a setting of one number that has to be needed at least.
func (e *examination) sysctlCheck(name string, needed int64, why string) {
	now, err := e.Sysctl(name)
	e.add(check{Name: name, Why: why, Do: set(name, needed), Keep: keep(name, needed)}, now, needed, err)
}

func set(name string, values ...int64) []string {
	return []string{fmt.Sprintf("sysctl -w %s=%s", name, quoted(values))}
}

func keep(name string, values ...int64) []string {
	return []string{fmt.Sprintf("echo '%s = %s' >>/etc/sysctl.d/90-roost.conf", name, strings.Trim(quoted(values), `"`))}
}

func quoted(values []int64) string {
	text := strings.Trim(fmt.Sprint(values), "[]")
	if len(values) > 1 {
		text = `"` + text + `"`
	}
	return text
}

// fileMax counts what the whole machine has open, proc_sys_fs(5).
func (e *examination) fileMax() {
	const name = "fs.file-max"
	now, err := e.Sysctl(name)
	needed, why := e.Descriptors, "files that the whole machine may have open"
	if open, err := e.Sysctl("fs.file-nr"); err == nil {
		needed += open
		why += fmt.Sprintf("; %s are", grouped(open))
	}
	e.add(check{Name: name, Why: why, Do: set(name, needed), Keep: keep(name, needed)}, now, needed, err)
}

// descriptors are the limits of this process, which a server started from the
// same shell would have. Go raises the soft one as soon as it starts.
func (e *examination) descriptors() {
	soft, hard, err := e.DescriptorLimits()
	change := check{
		Do: []string{fmt.Sprintf("ulimit -n %d   # in the shell that starts roost", e.Descriptors)},
		Keep: []string{
			fmt.Sprintf("LimitNOFILE=%d in the [Service] section of a systemd unit", e.Descriptors),
			fmt.Sprintf("docker run --ulimit nofile=%d", e.Descriptors),
			fmt.Sprintf("for logins: printf '* - nofile %d\\nroot - nofile %d\\n' >>/etc/security/limits.conf", e.Descriptors, e.Descriptors),
		},
	}
	change.Name, change.Why = "ulimit -n, hard", "descriptors of the process: one a connection"
	e.add(change, hard, e.Descriptors, err)
	change.Name, change.Why, change.Keep = "ulimit -n, soft", "the same; roost raises it to the hard limit when it starts", nil
	if err == nil && hard >= e.Descriptors {
		change.Verdict = fine
	}
	e.add(change, soft, e.Descriptors, err)
}

// memory compares with what is free: no setting helps there.
func (e *examination) memory() {
	now, err := e.AvailableMemory()
	e.add(check{
		Name: "memory available", Unit: "bytes",
		Why: "for the process, the kernel's sockets, and one broadcast on its way",
		Do:  []string{fmt.Sprintf("none: more memory is needed, or fewer connections; about %s fit", grouped(e.fit(now)))},
	}, now, e.need.memory(), err)
}

// controlGroup limits a container, or a service: kernel memory counts too.
func (e *examination) controlGroup() {
	limit, file, err := e.MemoryLimit()
	needed := e.need.memory()
	e.add(check{
		Name: "control group's memory", Unit: "bytes",
		Why: "the limit of the group this command runs in; a service has a group of its own",
		Do:  []string{fmt.Sprintf("echo %d >%s", needed, file)},
		Keep: []string{
			fmt.Sprintf("MemoryMax=%d in the [Service] section of a systemd unit", needed),
			fmt.Sprintf("docker run --memory %d", needed),
		},
	}, limit, needed, err)
}

// tcpMemory looks at the second of three numbers: beyond it the kernel begins to
// shrink the buffers of every socket, tcp(7).
func (e *examination) tcpMemory() {
	const name = "net.ipv4.tcp_mem"
	var now int64
	all, err := e.Numbers("proc/sys/net/ipv4/tcp_mem", 3)
	if err == nil {
		now = all[1]
	}
	n := e.TCPPages
	e.add(check{
		Name: name, Unit: "pages",
		Why: "socket buffers while a broadcast is on its way, a page each at least; the second of its three numbers",
		Do:  set(name, n*3/4, n, n*3/2), Keep: keep(name, n*3/4, n, n*3/2),
	}, now, n, err)
}

// connectionTracking drops new connections when its table is full, even on a
// machine whose firewall allows everything. Where it is not loaded, nothing does.
func (e *examination) connectionTracking() {
	const name = "net.netfilter.nf_conntrack_max"
	if _, err := fs.Stat(e.Root, "proc/sys/net/netfilter/nf_conntrack_max"); err != nil {
		c := e.add(check{Name: name, Verdict: fine, Why: "connection tracking is not loaded"}, 0, 0, nil)
		c.Now, c.Needed = nil, nil
		return
	}
	now, err := e.Sysctl(name)
	needed, why := e.Conns, "connections that the firewall keeps track of"
	if tracked, err := e.Sysctl("net.netfilter.nf_conntrack_count"); err == nil {
		needed += tracked
	}
	e.add(check{Name: name, Why: why, Do: set(name, needed), Keep: keep(name, needed)}, now, needed, err)
}

// kernelTLS is looked at where it is wanted. With --ktls auto the process does it where
// the kernel does not.
func (e *examination) kernelTLS() {
	if e.TLS == noTLS || e.ktls == "off" {
		return
	}
	c := check{
		Name: "kernel TLS", Why: "whether the kernel does TLS",
		Do: []string{"modprobe tls"}, Keep: []string{"echo tls >/etc/modules-load.d/roost.conf"},
	}
	if e.unable != nil {
		c.Why += ": " + e.unable.Error()
	}
	if e.ktls == "auto" {
		c.Verdict = note
		if !e.able {
			c.Why += "; the process does it"
		}
	}
	var now int64
	if e.able {
		now = 1
	}
	e.add(c, now, 1, nil)
}

// migration decides what becomes of connections that wait for accept at a listener
// which closes while another process listens on the same port (Linux 5.14, ip-sysctl).
func (e *examination) migration() {
	const name = "net.ipv4.tcp_migrate_req"
	now, err := e.Sysctl(name)
	if errors.Is(err, fs.ErrNotExist) {
		return // older kernels reset them
	}
	c := check{
		Name: name, Why: "with --reuseport, 1 gives what an old server leaves unaccepted to the new one; with 0 some clients connect a second later",
		Do: set(name, 1), Keep: keep(name, 1),
	}
	if err == nil {
		c.Verdict = note
	}
	e.add(c, now, 1, err).Needed = nil
}

// localPortRange bounds clients, not the server.
func (e *examination) localPortRange() {
	now, err := e.LocalPorts()
	c := check{Name: "net.ipv4.ip_local_port_range", Unit: "ports"}
	if err == nil {
		c.Verdict = note
		addresses := shares(e.Conns, max(1, now))
		c.Why = fmt.Sprintf("a client machine opens that many connections from each of its addresses: %s take %s %s",
			grouped(e.Conns), grouped(addresses), plural(addresses, "address", "addresses"))
	}
	e.add(c, now, 0, err).Needed = nil
}
