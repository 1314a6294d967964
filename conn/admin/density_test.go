//go:build linux

package admin_test

import (
	"crypto/tls"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"testing"
	"testing/fstest"

	"roost/conn"
	"roost/conn/admin"
	"roost/conn/conntest"
	"roost/conn/machine"
	"roost/conn/server"
)

// weighed is the answer of /debug/density.
type weighed struct {
	Connections int64
	Process     struct {
		Parts    []struct{ Bytes float64 } `json:"parts_per_connection"`
		Heap     *float64                  `json:"heap_bytes_per_connection"`
		Resident int64                     `json:"resident_bytes"`
	}
	Kernel struct {
		Parts []struct {
			Part, Source string
			Bytes        float64
		} `json:"parts_per_socket"`
		Bytes  float64 `json:"bytes_per_socket"`
		Flight float64 `json:"bytes_per_socket_during_broadcast"`
		Source string
	}
	Fit struct {
		Connections int64
		Bound       string
		Memory      *int64 `json:"by_memory"`
		Descriptors int64  `json:"by_descriptors"`
		MaxConns    *int64 `json:"by_max_conns"`
		MaxMemory   *int64 `json:"by_max_memory"`
		PerConn     int64  `json:"bytes_per_connection"`
	}
}

func (r *rig) density() (d weighed) {
	r.t.Helper()
	body := r.want(http.StatusOK, "GET", "/debug/density?format=json")
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		r.t.Fatalf("%v: %s", err, body)
	}
	return d
}

func TestDensity(t *testing.T) {
	files := fstest.MapFS{
		"proc/meminfo": {Data: []byte("MemAvailable:  1000 kB\n")},
		"proc/slabinfo": {Data: []byte("slabinfo - version: 2.1\n# name\n" +
			"TCP                   53    104   2048   16    8 : tunables    0    0    0 : slabdata      8      8      0\n")},
	}
	r := start(t, server.Config{Handler: server.Echo(), Limits: server.Limits{MaxConns: 50}}, func(c *admin.Config) { c.Machine = machine.Machine{Root: files} })
	const open = 10
	for range open {
		conntest.Dial(t, r.addr, "/ws")
	}
	d := r.density()
	if d.Connections != open || d.Process.Parts[0].Bytes != 112 || d.Process.Heap == nil || *d.Process.Heap <= 0 || d.Process.Resident <= 0 {
		t.Errorf("%+v", d)
	}
	sum := 0.0
	for _, p := range d.Kernel.Parts {
		if sum += p.Bytes; (p.Source == "TCP") != (p.Part == "socket") {
			t.Errorf("%+v", p)
		}
	}
	if math.Abs(sum-d.Kernel.Bytes) > 1 || d.Kernel.Flight <= 0 {
		t.Errorf("%+v is not the sum, %v", d.Kernel, sum)
	}
	perConn := machine.UserBytesPerConn + d.Kernel.Bytes + d.Kernel.Flight // too few are open to measure
	if d.Fit.PerConn != int64(perConn) || d.Fit.Memory == nil || *d.Fit.Memory != open+1024_000/d.Fit.PerConn {
		t.Errorf("%+v, want %.0f bytes for each", d.Fit, perConn)
	}
	if d.Fit.MaxConns == nil || *d.Fit.MaxConns != 50 || d.Fit.Bound != "--max-conns" || d.Fit.Connections != 50 {
		t.Errorf("the least of all bounds: %+v", d.Fit)
	}
	r.want(http.StatusOK, "GET", "/debug/density", "10 connections", "112", "50 connections fit in all, bound by --max-conns", "(TCP)")

	files["proc/meminfo"] = &fstest.MapFile{Data: []byte("MemAvailable:  100 kB\n")}
	if d = r.density(); d.Fit.Bound != "memory" || d.Fit.Connections != *d.Fit.Memory || d.Fit.Connections >= 50 {
		t.Errorf("with little memory: %+v", d.Fit)
	}
	delete(files, "proc/meminfo")
	delete(files, "proc/slabinfo")
	if d = r.density(); d.Fit.Memory != nil || d.Kernel.Source == "" {
		t.Errorf("on a machine that tells nothing: %+v", d)
	}
	r.want(http.StatusOK, "GET", "/debug/density", "estimated from Linux 6.18, because of: ")
}

// What TLS takes counts for those that will come.
func TestDensityWithTLS(t *testing.T) {
	ca := conntest.NewAuthority(t)
	late, lateKey := ca.IssueFiles("late.example")
	ca.Expiry /= 2
	soon, soonKey := ca.IssueFiles("soon.example")
	r := start(t, server.Config{Handler: server.Echo(), Listen: []string{"tls:127.0.0.1:0"}, TLS: server.TLS{
		Kernel: conn.KernelTLSOff,
		Certs:  []server.KeyPair{{Cert: late, Key: lateKey}, {Cert: soon, Key: soonKey}},
	}})
	for _, open := range []int64{0, 1} {
		d := r.density()
		if want := machine.UserBytesPerConn + machine.TLSUserBytes + d.Kernel.Bytes + d.Kernel.Flight; d.Connections != open || d.Fit.PerConn != int64(want) {
			t.Errorf("%d open, %+v, want %.0f bytes for each", d.Connections, d.Fit, want)
		}
		conntest.DialTLS(t, r.addr, "/ws", ca.Trust("soon.example"))
	}
	r.want(http.StatusOK, "GET", "/debug/density", machine.TLSSource)
	pair, err := tls.LoadX509KeyPair(soon, soonKey)
	if err != nil {
		t.Fatal(err)
	}
	if at, want := r.values()["roost_tls_certificate_expiry_timestamp_seconds"], float64(pair.Leaf.NotAfter.Unix()); at != want {
		t.Errorf("the first certificate expires at %.0f, want %.0f", at, want)
	}
}

// The limit on the process leaves room for fewer than the machine does.
func TestDensityWithMaxMemory(t *testing.T) {
	const limit = 1 << 30
	r := start(t, server.Config{Handler: server.Echo(), Limits: server.Limits{MaxMemory: limit}})
	d := r.density()
	if n := d.Fit.MaxMemory; n == nil || *n <= 0 || *n > limit*9/10/machine.UserBytesPerConn {
		t.Errorf("%+v", d.Fit)
	}
	if err := r.server.Reload(server.Limits{MaxMemory: 16 << 20}); err != nil { // less than this process has already
		t.Fatal(err)
	}
	if d = r.density(); d.Fit.Bound != "--max-memory" || d.Fit.Connections != 0 {
		t.Errorf("%+v", d.Fit)
	}
	r.want(http.StatusOK, "GET", "/debug/density", "0 connections fit in all, bound by --max-memory", "  0 by --max-memory")
}

// Descriptors that are not connections are not there for connections.
func TestDensityOfMany(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	before := r.density()
	const open = 1000
	for range open {
		conntest.Dial(t, r.addr, "/ws")
	}
	d := r.density()
	r.want(http.StatusOK, "GET", "/debug/density", strconv.Itoa(open)+" connections", "bound by ")
	if d.Connections != open {
		t.Errorf("%d connections", d.Connections)
	}
	// The clients' descriptors are in this process, and are not the server's.
	if used := before.Fit.Descriptors - d.Fit.Descriptors; used < open-10 || used > open+10 {
		t.Errorf("%d descriptors less for connections, want those of the clients, %d", used, open)
	}
}
