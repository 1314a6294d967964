package bench

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// certified is a server that does nothing but have a certificate, for 127.0.0.1 and
// example.com.
func certified() *httptest.Server {
	s := httptest.NewTLSServer(nil)
	s.Close()
	return s
}

// caFile is a file that vouches for the certificate of certified.
func caFile(t testing.TB) (path string) {
	t.Helper()
	return writePEM(t, certified().Certificate().Raw)
}

func writePEM(t testing.TB, certificate []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serveTLS is serveRaw behind TLS, with a *tls.Conn whose handshake is still to come.
// change may be nil.
func serveTLS(t *testing.T, change func(*tls.Config), serve func(net.Conn)) (url string) {
	t.Helper()
	config := certified().TLS.Clone()
	if change != nil {
		change(config)
	}
	plain := serveRaw(t, func(c net.Conn) {
		secured := tls.Server(c, config)
		defer secured.Close()
		serve(secured)
	})
	return "wss" + strings.TrimPrefix(plain, "ws")
}

// echoAll sends every data frame back, answers pings and a close frame.
func echoAll(c net.Conn) {
	for {
		frame, err := ws.ReadFrame(c)
		if err != nil {
			return
		}
		frame = ws.UnmaskFrame(frame)
		switch frame.Header.OpCode {
		case ws.OpPing:
			frame.Header.OpCode = ws.OpPong
		case ws.OpClose:
			ws.WriteFrame(c, frame)
			return
		}
		ws.WriteFrame(c, frame)
	}
}

// byteByByte makes every write one of single bytes.
type byteByByte struct{ net.Conn }

func (c byteByByte) Write(b []byte) (int, error) {
	for i := range b {
		if n, err := c.Conn.Write(b[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(b), nil
}

// TestTLS exchanges messages with a server that the CA vouches for, in both versions,
// whole and byte by byte, and looks how both sides end it.
func TestTLS(t *testing.T) {
	large := strings.Repeat("0123456789", 60_000)
	for _, test := range []struct {
		name    string
		max     string
		slowly  bool
		texts   []string
		version string
	}{
		{"TLS 1.3", "", false, []string{"a", "", large, "b"}, "TLS 1.3"},
		{"TLS 1.2", "1.2", false, []string{"a", "", large, "b"}, "TLS 1.2"},
		{"byte by byte", "1.3", true, []string{"a", large[:3000]}, "TLS 1.3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			serve := upgraded(echoAll)
			url := serveTLS(t, nil, serve)
			if test.slowly {
				config := certified().TLS
				url = "wss" + strings.TrimPrefix(serveRaw(t, func(c net.Conn) { serve(tls.Server(byteByByte{c}, config)) }), "ws")
			}
			d := newDriven(t, Config{URLs: []string{url}, Conns: 2, TLS: TLS{CA: caFile(t), Max: test.max}})
			d.onOpen = func(c *Conn) {
				if c.Index() == 0 {
					for _, text := range test.texts {
						d.Send(c, OpText, []byte(text))
					}
					d.Ping(c, []byte("p"))
				}
			}
			dialling := d.Dial(Dial{To: 2})
			d.until("echo", func() bool { return d.count == len(test.texts) && len(d.pongs) == 1 && dialling.Done() })
			if !slices.Equal(d.messages, test.texts) || d.pongs[0] != "p" {
				t.Errorf("%d messages and pongs %q come back", len(d.messages), d.pongs)
			}
			if uses := d.Ending().TLS; len(uses) != 1 || uses[0].Version != test.version || uses[0].Handshakes != 2 || uses[0].Resumed != 0 || uses[0].Cipher == "" {
				t.Errorf("TLS %+v, want %s twice", uses, test.version)
			}
			if d.Conn(0).held != nil {
				t.Errorf("the connection still holds %+v", d.Conn(0).held)
			}
			if err := d.CloseAll(t.Context()); err != nil || d.Ending().Closing.Answered != 2 || d.sockets != 0 || len(d.Ending().Failures) != 0 {
				t.Errorf("error %v, %+v", err, d.Ending())
			}
			if d.sessions[0] != nil || len(d.sealed) != 0 {
				t.Error("something is left of the session")
			}
		})
	}
}

// TestResume comes back with the session of before, where that is asked for.
func TestResume(t *testing.T) {
	for _, version := range []string{"1.2", "1.3"} {
		for _, resume := range []bool{false, true} {
			url := serveTLS(t, nil, upgraded(answerClose))
			d := newDriven(t, Config{URLs: []string{url}, Conns: 1, TLS: TLS{Insecure: true, Resume: resume, Max: version}})
			d.onOpen = d.Close
			dialling := d.Dial(Dial{To: 1, Recycle: true})
			d.until("come back", func() bool { return dialling.Report().Opened >= 10 })
			d.StopDialling()
			d.until("stop", func() bool { return d.sockets == 0 })
			var all, resumed int64
			for _, u := range d.Ending().TLS {
				all, resumed = all+u.Handshakes, resumed+u.Resumed
			}
			want := int64(0)
			if resume {
				want = all - 1 // the first has nothing to come back with
			}
			if all < 10 || resumed != want {
				t.Errorf("TLS %s, resume %v: %d of %d resumed, want %d", version, resume, resumed, all, want)
			}
		}
	}
}

// expired is a certificate for 127.0.0.1 of long ago, which vouches for itself.
func expired(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1e9, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// TestTLSFailures wants a reason that is the same each time, and what to do.
func TestTLSFailures(t *testing.T) {
	good := serveTLS(t, nil, upgraded(hold))
	old := expired(t)
	withClient := func(newest uint16) func(*tls.Config) {
		return func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, newest }
	}
	for name, test := range map[string]struct {
		url            string
		tls            TLS
		reason, remedy string
	}{
		"nobody vouches": {good, TLS{}, "the server's certificate is not trusted: it is signed by an authority that is not known here", "--ca FILE"},
		"another name": {
			strings.Replace(good, "127.0.0.1", "localhost", 1), TLS{CA: caFile(t)},
			"the server's certificate is not trusted: x509: certificate is valid for example.com, *.example.com, not localhost", "--tls-insecure",
		},
		"expired": {
			serveTLS(t, func(c *tls.Config) { c.Certificates = []tls.Certificate{old} }, upgraded(hold)),
			TLS{CA: writePEM(t, old.Certificate[0])}, "the server's certificate is not trusted: it has expired or is not yet valid", "--tls-insecure",
		},
		"no TLS": {
			"wss" + strings.TrimPrefix(serveRaw(t, func(c net.Conn) {
				io.ReadFull(c, make([]byte, 5))
				io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
				hold(c)
			}), "ws"), TLS{}, ErrTLSAnswer.Error(), "ws://",
		},
		"no common version": {
			serveTLS(t, func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, upgraded(hold)),
			TLS{Insecure: true, Max: "1.2"}, "the server ended TLS with an alert: tls: protocol version not supported", "--tls-max",
		},
		"client certificate, TLS 1.2": {serveTLS(t, withClient(tls.VersionTLS12), upgraded(hold)), TLS{Insecure: true}, "the server ended TLS with an alert: ", "certificates of its clients"},
		"client certificate, TLS 1.3": {serveTLS(t, withClient(0), upgraded(hold)), TLS{Insecure: true}, "the server ended TLS with an alert: tls: certificate required", "certificates of its clients"},
		"closed":                      {"wss" + strings.TrimPrefix(serveRaw(t, func(c net.Conn) { io.ReadFull(c, make([]byte, 5)) }), "ws"), TLS{}, "", "log"},
		"silent":                      {"wss" + strings.TrimPrefix(serveRaw(t, hold), "ws"), TLS{}, ErrTLSTimeout.Error(), "--handshake-timeout"},
		"refused":                     {serveTLS(t, nil, refuseFirst(1<<40)), TLS{Insecure: true}, "refused with HTTP 503", "wss"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{URLs: []string{test.url}, Conns: 3, TLS: test.tls}
			if name == "silent" {
				cfg.HandshakeTimeout = 100 * time.Millisecond
			}
			d := newDriven(t, cfg)
			dialling := d.Dial(Dial{To: 3})
			d.until("fail", dialling.Done)
			if r := dialling.Report(); r.Failed != 3 || d.sockets != 0 {
				t.Errorf("%+v, %d sockets; want three failures", r, d.sockets)
			}
			failures := d.Ending().Failures
			if len(failures) != 1 || !strings.HasPrefix(failures[0].Reason, test.reason) || !strings.Contains(failures[0].Remedy, test.remedy) || failures[0].Remedy == "" {
				t.Errorf("failures %+v, want %q with %q", failures, test.reason, test.remedy)
			}
		})
	}
}

// TestTLSAlertInPlace is what a client of ws gets from a server that answers in TLS only.
func TestTLSAlertInPlace(t *testing.T) {
	url := serveRaw(t, func(c net.Conn) {
		ws.ReadHeader(c)
		c.Write([]byte{21, 3, 1, 0, 2, 2, 10}) // unexpected_message, RFC 8446 section 6
		hold(c)
	})
	d := newDriven(t, Config{URLs: []string{url}, Conns: 1})
	d.until("fail", d.Dial(Dial{To: 1}).Done)
	if f := d.Ending().Failures; len(f) != 1 || f[0].Reason != ErrHandshakeTLS.Error() || !strings.Contains(f[0].Remedy, "wss://") {
		t.Errorf("failures %+v", f)
	}
}

// TestAbandonedTLSHandshake gives up handshakes that a server keeps waiting, in each of
// the ways there are. goleak looks for what is left.
func TestAbandonedTLSHandshake(t *testing.T) {
	for name, giveUp := range map[string]func(*driven) error{
		"CloseAll": func(d *driven) error { return d.CloseAll(t.Context()) },
		"Release":  func(d *driven) error { return d.Release() },
	} {
		var greeted atomic.Int64
		url := serveRaw(t, func(c net.Conn) {
			io.ReadFull(c, make([]byte, 5))
			greeted.Add(1)
			hold(c)
		})
		d := newDriven(t, Config{URLs: []string{"wss" + strings.TrimPrefix(url, "ws")}, Conns: 5})
		d.Dial(Dial{To: 5})
		d.until("greet", func() bool { return greeted.Load() == 5 })
		if err := giveUp(d); err != nil || d.sockets != 0 || len(d.Ending().Failures) != 0 {
			t.Errorf("%s: error %v, %d sockets, %+v", name, err, d.sockets, d.Ending())
		}
		for i, s := range d.sessions {
			if s != nil {
				t.Errorf("%s: a session is left in slot %d", name, i)
			}
		}
	}
}

// tee keeps what a server reads of a connection.
type tee struct {
	net.Conn
	raw bytes.Buffer
}

func (t *tee) Read(p []byte) (int, error) { return io.TeeReader(t.Conn, &t.raw).Read(p) }

// recordTypes are those of records in turn, RFC 8446 section 5.1.
func recordTypes(raw []byte) (types []byte) {
	for len(raw) >= 5 {
		types = append(types, raw[0])
		raw = raw[min(len(raw), 5+int(raw[3])<<8+int(raw[4])):]
	}
	return types
}

// TestCloseNotify looks what a client's last record is, in TLS 1.2, which shows it: an
// alert before FIN, and nothing before RST.
func TestCloseNotify(t *testing.T) {
	const alert, data = 21, 23
	for name, test := range map[string]struct {
		end  func(*Client, *Conn)
		last byte
		err  string
	}{
		"closed":        {(*Client).Close, alert, ""},
		"FIN":           {func(cl *Client, c *Conn) { cl.Send(c, OpText, []byte("last words")); cl.Abort(c, false) }, alert, ""},
		"RST":           {func(cl *Client, c *Conn) { cl.Abort(c, true) }, data, "connection reset"},
		"fault of ours": {func(cl *Client, c *Conn) { cl.violated(c, ErrFrameClose) }, alert, ""},
	} {
		t.Run(name, func(t *testing.T) {
			types := make(chan []byte, 1)
			errs := make(chan error, 1)
			config := certified().TLS
			url := serveRaw(t, func(c net.Conn) {
				r := &tee{Conn: c}
				secured := tls.Server(r, config)
				_, err := ws.Upgrade(secured)
				for err == nil {
					var frame ws.Frame
					if frame, err = ws.ReadFrame(secured); err == nil && frame.Header.OpCode == ws.OpClose {
						ws.WriteFrame(secured, ws.UnmaskFrame(frame))
					}
				}
				types <- recordTypes(r.raw.Bytes())
				errs <- err
			})
			d := newDriven(t, Config{URLs: []string{"wss" + strings.TrimPrefix(url, "ws")}, Conns: 1, TLS: TLS{Insecure: true, Max: "1.2"}})
			d.Dial(Dial{To: 1})
			d.until("open", func() bool { return d.OpenCount() == 1 })
			test.end(d.Client, d.Conn(0))
			d.until("end", func() bool { return d.sockets == 0 })
			got, err := <-types, <-errs
			if last := got[len(got)-1]; last != test.last || (test.err != "" && !strings.Contains(err.Error(), test.err)) || (test.err == "" && !errors.Is(err, io.EOF)) {
				t.Errorf("record types %v, then %v; want %d last", got, err, test.last)
			}
		})
	}
}

// TestRecycleTLS is TestRecycle with TLS.
func TestRecycleTLS(t *testing.T) {
	all := maps.Clone(endings)
	all["close_notify by the server"] = ending{serve: func(c net.Conn) { c.(*tls.Conn).CloseWrite(); hold(c) }}
	all["cut by the server"] = ending{serve: func(c net.Conn) { c.(*tls.Conn).NetConn().Close() }}
	all["cut in a record"] = ending{serve: func(c net.Conn) {
		c.(*tls.Conn).NetConn().Write([]byte{23, 3, 3, 0, 20, 1})
		c.(*tls.Conn).NetConn().Close()
	}}
	for name, end := range all {
		t.Run(name, func(t *testing.T) {
			recycle(t, Config{URLs: []string{serveTLS(t, nil, upgraded(end.serve))}, TLS: TLS{Insecure: true}}, end)
		})
	}
}

// TestTLSBackpressure sends more than the server reads at first: nothing may be lost or
// reordered, and what waits is given back.
func TestTLSBackpressure(t *testing.T) {
	const count, size = 200, 100_000
	read := make(chan struct{})
	url := serveTLS(t, nil, upgraded(func(c net.Conn) {
		<-read
		for i := range count {
			frame, err := ws.ReadFrame(c)
			if err != nil || int(frame.Header.Length) != size || ws.UnmaskFrame(frame).Payload[0] != byte(i) {
				ws.WriteFrame(c, ws.NewTextFrame([]byte("wrong")))
				return
			}
		}
		ws.WriteFrame(c, ws.NewTextFrame([]byte("right")))
		hold(c)
	}))
	d := newDriven(t, Config{URLs: []string{url}, Conns: 1, TLS: TLS{Insecure: true}})
	d.Dial(Dial{To: 1})
	d.until("open", func() bool { return d.OpenCount() == 1 })
	c := d.Conn(0)
	for i := range count {
		d.Send(c, OpBinary, bytes.Repeat([]byte{byte(i)}, size))
	}
	d.flush()
	if c.Pending() == 0 {
		t.Error("the socket took everything: no backpressure")
	}
	close(read)
	d.until("read", func() bool { return d.count == 1 || len(d.ended) > 0 })
	if !slices.Equal(d.messages, []string{"right"}) || c.held != nil {
		t.Errorf("messages %q, held %v", d.messages, c.held != nil)
	}
}

// TestForgedRecord has bytes come that are no records of the connection.
func TestForgedRecord(t *testing.T) {
	alert := make(chan error, 1)
	url := serveTLS(t, nil, upgraded(func(c net.Conn) {
		c.(*tls.Conn).NetConn().Write([]byte{23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
		_, err := io.Copy(io.Discard, c)
		alert <- err
	}))
	d := newDriven(t, Config{URLs: []string{url}, Conns: 1, TLS: TLS{Insecure: true}})
	d.Dial(Dial{To: 1})
	d.until("end", func() bool { return len(d.ended) == 1 })
	if f := d.Ending().Failures; len(f) != 1 || !strings.HasPrefix(f[0].Reason, "protocol error of the server: fault of TLS: local error: tls: bad record MAC") {
		t.Errorf("failures %+v", f)
	}
	if err := <-alert; err == nil || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("the server learns %v, want the alert", err)
	}
}

// TestTLSReadSlowly wants a slow reader to have what is there bit by bit, and one that
// never reads to be told of the end all the same.
func TestTLSReadSlowly(t *testing.T) {
	url := serveTLS(t, nil, upgraded(func(c net.Conn) {
		if _, err := ws.ReadFrame(c); err != nil {
			return
		}
		ws.WriteFrame(c, ws.NewBinaryFrame(make([]byte, 10_000)))
		ws.WriteFrame(c, ws.NewBinaryFrame(make([]byte, 100)))
		ws.WriteFrame(c, ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "")))
	}))
	d := newDriven(t, Config{URLs: []string{url}, Conns: 2, TLS: TLS{Insecure: true}})
	d.onOpen = func(c *Conn) {
		if c.Index() == 0 {
			d.ReadSlowly(c, 25_000)
		} else {
			d.StopReading(c)
		}
		d.Send(c, OpText, []byte("go"))
	}
	d.Dial(Dial{To: 2})
	var first time.Duration
	d.until("read", func() bool {
		if first == 0 && d.OpenCount() > 0 {
			first = d.Now()
		}
		return len(d.ended) == 2
	})
	slices.Sort(d.ended)
	if took := d.Now() - first; d.count != 2 || !slices.Equal(d.ended, []int{1001, CloseAbnormal}) || took < slowTurn {
		t.Errorf("%d messages, ends %v after %v; want 2, and more than one turn", d.count, d.ended, took)
	}
}

// TestHandshakesLeaveTurns wants what many handshakes compute to be shared out over
// turns of the loop, between which messages are read.
func TestHandshakesLeaveTurns(t *testing.T) {
	const conns = 200
	d := newDriven(t, Config{URLs: []string{serveTLS(t, nil, upgraded(hold))}, Conns: conns, TLS: TLS{Insecure: true}})
	dialling := d.Dial(Dial{To: conns})
	left := 0 // of the handshakes that could go on, when a turn had ended
	d.until("dial", func() bool {
		left = max(left, d.shaking.len())
		return dialling.Done()
	})
	if left == 0 || dialling.Report().Opened != conns || d.shaking.len() != 0 {
		t.Errorf("%d left at most, %d in the end, %+v", left, d.shaking.len(), dialling.Report())
	}
}

// TestRawTLS opens without a WebSocket handshake: behind TLS, and without it.
func TestRawTLS(t *testing.T) {
	var secured, plain atomic.Int64
	config := certified().TLS
	url := serveRaw(t, func(c net.Conn) {
		if tls.Server(c, config).Handshake() != nil {
			plain.Add(1)
			return
		}
		secured.Add(1)
		hold(c)
	})
	d := newDriven(t, Config{URLs: []string{"wss" + strings.TrimPrefix(url, "ws")}, Conns: 4, TLS: TLS{Insecure: true}})
	d.Dial(Dial{To: 2, Raw: true})
	d.Dial(Dial{From: 2, To: 4, Raw: true, Plain: true})
	d.until("open", func() bool { return len(d.opened) == 4 && secured.Load() == 2 })
	for i := range 4 {
		d.SendRaw(d.Conn(i), []byte("no handshake of any kind"))
	}
	d.until("refuse", func() bool { return plain.Load() == 2 })
}

func TestReadRoots(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{empty: "has no certificate", empty + ".not": "no such file", caFile(t): ""} {
		err := (Config{URLs: []string{"wss://127.0.0.1/"}, Conns: 1, TLS: TLS{CA: path}}).Validate()
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
