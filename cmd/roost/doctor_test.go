//go:build linux

package main

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
)

// doctor runs the command on a made-up machine.
func doctor(t *testing.T, f files, args ...string) (code int, out string) {
	t.Helper()
	line, err := parse(append([]string{"doctor"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	code = runDoctor(&line.Doctor, f.host(), &b, io.Discard)
	return code, b.String()
}

func TestDoctorFindsARoomyMachineFine(t *testing.T) {
	code, out := doctor(t, roomy(), "--conns", "100000")
	if code != exitOK || !strings.Contains(out, "Nothing is too small") || strings.Contains(out, "could not be read") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if !strings.Contains(out, "100,000 take 4 addresses") {
		t.Errorf("no note about ports\n%s", out)
	}
}

// TestDoctorFindsEachFault makes one setting at a time too small, and then unreadable.
func TestDoctorFindsEachFault(t *testing.T) {
	for _, c := range []struct {
		name  string
		files files
		do    string // the command that mends it
		keep  string // a part of how it stays
	}{
		{"fs.nr_open", files{"proc/sys/fs/nr_open": "100063\n"}, "sysctl -w fs.nr_open=100064", "fs.nr_open = 100064' >>/etc/sysctl.d/90-roost.conf"},
		{"fs.file-max", files{"proc/sys/fs/file-max": "101063\n"}, "sysctl -w fs.file-max=101064", "fs.file-max = 101064"},
		{"ulimit -n, hard", files{"proc/self/limits": "Max open files            1024                 4096                files\n"}, "ulimit -n 100064", "LimitNOFILE=100064"},
		{"ulimit -n, soft", files{"proc/self/limits": "Max open files            1024                 4096                files\n"}, "ulimit -n 100064", ""},
		{"memory available", files{"proc/meminfo": "MemAvailable:   100000 kB\n"}, "none: more memory", ""},
		{"control group's memory", files{"sys/fs/cgroup/user.slice/memory.max": "67108864\n"}, ">/sys/fs/cgroup/user.slice/memory.max", "MemoryMax="},
		{"control group's memory", files{"proc/self/cgroup": "3:memory:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "67108864\n"}, ">/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "docker run --memory"},
		{"net.ipv4.tcp_mem", files{"proc/sys/net/ipv4/tcp_mem": "1 99999 1000000\n"}, `sysctl -w net.ipv4.tcp_mem="75000 100000 150000"`, "net.ipv4.tcp_mem = 75000 100000 150000"},
		{"fs.epoll.max_user_watches", files{"proc/sys/fs/epoll/max_user_watches": "99999\n"}, "sysctl -w fs.epoll.max_user_watches=100000", "fs.epoll.max_user_watches"},
		{"net.core.somaxconn", files{"proc/sys/net/core/somaxconn": "999\n"}, "sysctl -w net.core.somaxconn=1000", "net.core.somaxconn"},
		{"net.ipv4.tcp_max_syn_backlog", files{"proc/sys/net/ipv4/tcp_max_syn_backlog": "999\n"}, "sysctl -w net.ipv4.tcp_max_syn_backlog=1000", "net.ipv4.tcp_max_syn_backlog"},
		{"net.netfilter.nf_conntrack_max", files{"proc/sys/net/netfilter/nf_conntrack_max": "100000\n", "proc/sys/net/netfilter/nf_conntrack_count": "7\n"},
			"sysctl -w net.netfilter.nf_conntrack_max=100007", "net.netfilter.nf_conntrack_max"},
	} {
		m := roomy().with(c.files)
		got := find(t, m, c.name)
		if got.Verdict != tooSmall || !strings.Contains(strings.Join(got.Do, "\n"), c.do) || !strings.Contains(strings.Join(got.Keep, "\n"), c.keep) {
			t.Errorf("%s: %+v", c.name, got)
		}
		code, out := doctor(t, m, "--conns", "100000")
		if code != exitTooSmall || !strings.Contains(out, "too small. As root:") || !strings.Contains(out, c.do) || !strings.Contains(out, c.keep) {
			t.Errorf("%s: exit code %d\n%s", c.name, code, out)
		}
		unreadable := files{}
		for name := range c.files {
			unreadable[name] = "?"
		}
		if strings.Contains(c.name, "control group") {
			unreadable = files{"proc/self/cgroup": ""}
		}
		got = find(t, roomy().with(unreadable), c.name)
		if got.Verdict != unknown || got.Now != nil || got.Why == "" || got.Do != nil {
			t.Errorf("%s, unreadable: %+v", c.name, got)
		}
	}
}

func find(t *testing.T, f files, name string) check {
	t.Helper()
	m := f.machine()
	all := examine(m, needs(m, 100_000, noTLS))
	i := slices.IndexFunc(all, func(c check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no check %s", name)
	}
	return all[i]
}

func TestDoctorSaysWhatItCannotRead(t *testing.T) {
	code, out := doctor(t, files{}, "--conns", "10")
	if code != exitOK {
		t.Errorf("exit code %d: what is unknown is not too small", code)
	}
	if !strings.Contains(out, "11 could not be read and may be too small") || strings.Count(out, "unknown") < 20 {
		t.Errorf("silent about what it cannot read:\n%s", out)
	}
}

func TestDoctorJSON(t *testing.T) {
	code, out := doctor(t, roomy().with(files{"proc/sys/net/core/somaxconn": "9\n", "proc/sys/fs/nr_open": ""}), "--conns", "100000", "--json")
	var got struct {
		Conns  int64 `json:"connections"`
		Checks []check
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]verdict{}
	for _, c := range got.Checks {
		verdicts[c.Name] = c.Verdict
	}
	if code != exitTooSmall || got.Conns != 100_000 || verdicts["net.core.somaxconn"] != tooSmall || verdicts["fs.nr_open"] != unknown ||
		verdicts["fs.file-max"] != fine || verdicts["net.ipv4.ip_local_port_range"] != note {
		t.Errorf("exit code %d, %+v", code, verdicts)
	}
}

func TestCommandsRefuseBadFlags(t *testing.T) {
	for _, args := range [][]string{
		{"doctor"}, {"plan"}, {"doctor", "--conns", "0"}, {"doctor", "--conns", "x"}, {"plan", "--conns", "2000000000"},
		{"plan", "--conns", "5", "--calibrate", "1h"}, {"plan", "--conns", "5", "--payload", "1GiB"}, {"plan", "--conns", "5", "--ping-interval", "often"},
		{"doctor", "--conns", "5", "--ktls", "perhaps"}, {"doctor", "--conns", "5", "--ktls", "require"}, {"plan", "--conns", "5", "--listen", "8443"},
		{"doctor", "--path", "/x", "--conns", "5"}, {"--path", "/x", "doctor", "--conns", "5"}, {"--listen", ":1", "doctor", "--conns", "5"}, {"dcotor"},
	} {
		var stderr strings.Builder
		if code := run(args, io.Discard, &stderr, nil); code != exitUsage || stderr.Len() == 0 {
			t.Errorf("%v: exit code %d, %q", args, code, stderr.String())
		}
	}
}

// TestHelpListsCommands: each with a line of its own, and serve's flags below.
func TestHelpListsCommands(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-h", "Commands:\n  serve "}, {"-h", "\n  plan "}, {"-h", "\n  doctor "}, {"-h", "--listen="},
		{"serve -h", "--listen="}, {"plan -h", "--calibrate="}, {"doctor -h", "Exit codes"},
	} {
		var out strings.Builder
		if code := run(strings.Fields(c.args), &out, io.Discard, nil); code != exitOK || !strings.Contains(out.String(), c.want) {
			t.Errorf("roost %s: exit code %d, no %q in\n%s", c.args, code, c.want, out.String())
		}
	}
}

// TestDoctorSysctl prints what scripts/tune.sh sets: never less than there is.
func TestDoctorSysctl(t *testing.T) {
	small := files{"proc/sys/net/core/somaxconn": "9\n", "proc/sys/net/ipv4/tcp_mem": "1\t2\t3\n",
		"proc/sys/net/ipv4/tcp_migrate_req": "0\n", "proc/sys/fs/file-max": "?\n"}
	for _, c := range []struct {
		files files
		want  []string
		not   []string
	}{
		{small, []string{"\nnet.core.somaxconn = 1000\n", "\nnet.ipv4.tcp_mem = 75000 100000 150000\n", "\nfs.nr_open = 1048576\n",
			"\nnet.ipv4.tcp_migrate_req = 1\n", "\n# fs.file-max is unknown"}, []string{"ip_local_port_range", "ulimit", "conntrack"}},
		{nil, []string{"\nnet.ipv4.tcp_mem = 90000 120000 180000\n", "\nfs.file-max = 9223372036854775807\n"}, []string{"tcp_migrate_req", "unknown"}},
	} {
		_, out := doctor(t, roomy().with(c.files), "--conns", "100000", "--sysctl")
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		for _, not := range c.not {
			if strings.Contains(out, not) {
				t.Errorf("%q in\n%s", not, out)
			}
		}
	}
	got := find(t, roomy().with(small), "net.ipv4.tcp_migrate_req")
	if got.Verdict != note || len(got.Do) != 1 || got.Do[0] != "sysctl -w net.ipv4.tcp_migrate_req=1" {
		t.Errorf("%+v", got)
	}
}
