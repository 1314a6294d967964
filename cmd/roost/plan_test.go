//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"roost/conn/machine"
)

// planned runs the command on a made-up machine.
func planned(t *testing.T, f files, args ...string) (code int, out, progress string) {
	t.Helper()
	line, err := parse(append([]string{"plan"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	code = runPlan(&line.Plan, f.host(), &stdout, &stderr, nil)
	return code, stdout.String(), stderr.String()
}

func contains(t *testing.T, out string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
}

func TestPlanText(t *testing.T) {
	code, out, _ := planned(t, roomy(), "--conns", "100000", "--calibrate", "0")
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	contains(t, out, "100,000 connections", "3,747 bytes a connection, the sizes in /proc/slabinfo", "6.1 GB are available",
		"100,064", "the limit is 200,000", "3,333 a second", "1 client process,", "10 client addresses", "at least 4 with 28,232 ports each",
		"unknown: the time of a broadcast: --calibrate is 0", "roost doctor --conns 100000")

	_, out, _ = planned(t, roomy(), "--conns", "3000000", "--calibrate", "0", "--ping-interval", "0")
	contains(t, out, "TOO MUCH: 6.1 GB", "TOO MANY: the limit is 200,000", "switched off", "16 client processes")
}

// TestTLSIsReckonedWith as of the place where serve, with the same settings, would do it.
func TestTLSIsReckonedWith(t *testing.T) {
	file := writeConfig(t, "listen: [':8000', 'tls::8443']", "max-conns: 1000")
	for _, c := range []struct {
		name string
		able int // ciphers that the kernel has, of three
		args []string
		tls  tlsPlace
		more verdict // on the kernel's TLS
		hint string
	}{
		{"no listener has it", 3, []string{"--conns", "1000", "--listen", ":8000"}, noTLS, "", "roost doctor --conns 1000 says"},
		{"this kernel has none", 0, []string{"--conns", "1000", "--listen", ":8000,tls::8443"}, tlsInProcess, "note", "roost doctor --conns 1000 --listen tls::8443 says"},
		{"this kernel has it", 3, []string{"--conns", "1000", "--listen", "tls:systemd"}, tlsInKernel, "note", "roost doctor --conns 1000 --listen tls::8443 says"},
		{"it is switched off", 3, []string{"--conns", "1000", "--listen", "tls::8443", "--ktls", "off"}, tlsInProcess, "", "--listen tls::8443 --ktls off says"},
		{"it is required", 3, []string{"--conns", "1000", "--listen", "tls::8443", "--ktls", "require"}, tlsInKernel, fine, "--ktls require says"},
		{"it is required and missing", 0, []string{"--conns", "1000", "--listen", "tls::8443", "--ktls", "require"}, tlsInKernel, tooSmall, "--ktls require says"},
		{"a cipher is missing", 2, []string{"--conns", "1000", "--listen", "tls::8443"}, tlsInKernel, "note", "--listen tls::8443 says"},
		{"a cipher is missing and required", 2, []string{"--conns", "1000", "--listen", "tls::8443", "--ktls", "require"}, tlsInKernel, tooSmall, "--ktls require says"},
		{"the config file says so", 0, []string{"--config", file}, tlsInProcess, "note", "roost doctor --conns 1000 --listen tls::8443 says"},
	} {
		h := host{roomy().machine(), func() (suites []uint16, err error) {
			if c.able < 3 {
				err = errors.New("no such cipher")
			}
			return make([]uint16, c.able), err
		}}
		line, err := parse(append([]string{"plan", "--calibrate", "0"}, c.args...), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		p := newPlan(h.Machine, line.Plan.need(h), 0)
		user, kernel := int64(machine.UserBytesPerConn), int64(2048+1024+256+195+128+80+16)
		switch c.tls {
		case tlsInProcess:
			user += machine.TLSUserBytes
		case tlsInKernel:
			user, kernel = user+machine.KernelTLSUserBytes, kernel+machine.KernelTLSBytes
		}
		if p.TLS != c.tls || p.UserPerConn != user || p.KernelPerConn != kernel || p.MemoryBytes != p.UserBytes+p.KernelBytes+p.FlightBytes {
			t.Errorf("%s: TLS %q, %d bytes of the process and %d of the kernel; want %q, %d and %d", c.name, p.TLS, p.UserPerConn, p.KernelPerConn, c.tls, user, kernel)
		}
		if all := p.HandshakeSeconds; (all == nil) != (c.tls == noTLS) || all != nil && (*all <= 0 || *all > 1000*machine.HandshakeTLS.Seconds()) {
			t.Errorf("%s: handshakes take %v", c.name, all)
		}
		var text strings.Builder
		if err := p.writeText(&text); err != nil {
			t.Fatal(err)
		}
		contains(t, text.String(), c.hint)
		if strings.Contains(text.String(), "with TLS in the "+string(c.tls)) == (c.tls == noTLS) {
			t.Errorf("%s: the title does not tell:\n%s", c.name, text.String())
		}

		line, err = parse(append([]string{"doctor", "--json"}, c.args...), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		code := runDoctor(&line.Doctor, h, &out, io.Discard)
		var got struct {
			TLS    tlsPlace
			Checks []check
		}
		if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
			t.Fatal(err)
		}
		checks := map[string]check{}
		for _, c := range got.Checks {
			checks[c.Name] = c
		}
		if memory := checks["memory available"].Needed; memory == nil || *memory != p.MemoryBytes || got.TLS != c.tls {
			t.Errorf("%s: doctor wants %v bytes with TLS %q", c.name, memory, got.TLS)
		}
		if k := checks["kernel TLS"]; k.Verdict != c.more || (code == exitTooSmall) != (c.more == tooSmall) {
			t.Errorf("%s: exit code %d, %+v, want %q", c.name, code, k, c.more)
		} else if c.more != "" && strings.Contains(k.Why, "no such cipher") != (c.able < 3) {
			t.Errorf("%s: the reason is %q", c.name, k.Why)
		}
	}
	_, out, _ := planned(t, roomy(), "--conns", "10", "--listen", "tls::8443", "--calibrate", "1ms")
	contains(t, out, "9,615 bytes a connection, measured at 18,000", "had no TLS", "TLS handshakes")
}

// TestConnsFromTheEnvironment is the same number for serve, plan and doctor.
func TestConnsFromTheEnvironment(t *testing.T) {
	t.Setenv("ROOST_MAX_CONNS", "1234")
	t.Setenv("ROOST_LISTEN", "tls::8443")
	line, err := parse([]string{"doctor"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if f := line.Doctor.needFlags; f.Conns.n != 1234 || !f.secure() {
		t.Errorf("%+v", f)
	}
	t.Setenv("ROOST_CONNS", "12")
	if line, err = parse([]string{"plan"}, io.Discard); err != nil || line.Plan.Conns.n != 12 {
		t.Errorf("%v, %v", line.Plan.Conns, err)
	}
}

func TestPlanSaysWhatItDoesNotKnow(t *testing.T) {
	code, out, _ := planned(t, files{}, "--conns", "1000", "--calibrate", "0")
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	contains(t, out, "estimated from Linux", "what is available is unknown", "the limit is unknown",
		"unknown: available memory", "unknown: the descriptor limit", "unknown: the local ports", "1 client address (")

	tight := files{"proc/self/limits": "Max open files 64 100 files\n"}
	if _, out, _ = planned(t, tight, "--conns", "1000"); !strings.Contains(out, "leaves none for a calibration") {
		t.Errorf("no reason for the missing calibration in\n%s", out)
	}
}

// TestPlanCalibrates opens real connections, as few and for as short as it goes.
func TestPlanCalibrates(t *testing.T) {
	code, out, progress := planned(t, roomy(), "--conns", "40", "--calibrate", "1ms", "--payload", "200", "--json")
	var p plan
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	b := p.Broadcast
	if b == nil {
		t.Fatalf("no broadcast: %v", p.Unknown)
	}
	if b.MeasuredConns < 1 || b.MeasuredConns > 40 || b.Broadcasts < 3 || b.PayloadBytes != 200 || b.PerDelivery <= 0 ||
		b.SecondsLow > b.Seconds || b.Seconds > b.SecondsHigh || b.Seconds <= 0 {
		t.Errorf("%+v", b)
	}
	if p.Conns != 40 || p.MemoryBytes != p.UserBytes+p.KernelBytes+p.FlightBytes || len(p.Unknown) > 0 {
		t.Errorf("%+v", p)
	}
	contains(t, progress, "opening 40 connections", "broadcasts to")

	_, out, _ = planned(t, roomy(), "--conns", "5", "--calibrate", "1ms")
	contains(t, out, "one broadcast", "broadcasts to ", "server's processor time")
}

// TestCalibrationStops on a signal, and leaves nothing open: TestMain looks.
func TestCalibrationStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := calibrate(ctx, 10, time.Second, 100, func(string, ...any) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGINT
	var stderr strings.Builder
	code := run([]string{"plan", "--conns", "1000", "--calibrate", "1m"}, io.Discard, &stderr, signals)
	if code != exitFailure || !strings.Contains(stderr.String(), "stopped") {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}

// TestPlanIsHonest about where its numbers come from.
func TestPlanIsHonest(t *testing.T) {
	b := broadcastEstimate{MeasuredConns: 1000, Broadcasts: 5, Processors: 1.5}
	if text := b.uncertainty(1000); strings.Contains(text, "multiplication") || strings.Contains(text, "busy") {
		t.Errorf("all were measured: %s", text)
	}
	if text := b.uncertainty(50_000); !strings.Contains(text, "multiplication by 50") {
		t.Errorf("not all were measured: %s", text)
	}
	b.Processors = 0.5
	if text := b.uncertainty(1000); !strings.Contains(text, "busy with other work") {
		t.Errorf("the machine was busy: %s", text)
	}
}

func TestTextOfNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", 1234567: "1,234,567", machine.Unlimited: "unlimited"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{1500: "2 kB", 270_000_000: "270 MB", 4_000_000_000: "4.0 GB", 24_000_000_000: "24 GB", machine.Unlimited: "unlimited"} {
		if got := inBytes(n); got != want {
			t.Errorf("%d bytes are written %q, want %q", n, got, want)
		}
	}
	for s, want := range map[float64]string{0.0012345: "1.23ms", 0.0456: "46ms", 1.26: "1.3s", 75.4: "1m15s"} {
		if got := seconds(s); got != want {
			t.Errorf("%v s are written %q, want %q", s, got, want)
		}
	}
	if rate(3.33) != "3.3" || rate(3333.4) != "3,333" {
		t.Error(rate(3.33), rate(3333.4))
	}
}
