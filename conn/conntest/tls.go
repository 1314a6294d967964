//go:build linux

package conntest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates for a test.
type Authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	File   string        // its certificate in PEM
	Expiry time.Duration // of the certificates it will issue; an hour at first
}

// NewAuthority makes one that nobody knows yet.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, File: filepath.Join(t.TempDir(), "ca.pem"), Expiry: time.Hour}
	a.key = newKey(t)
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	WriteFile(t, a.File, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Issue returns a certificate for names and 127.0.0.1, good for servers and clients, and
// its key, both in PEM.
func (a *Authority) Issue(names ...string) (cert, key []byte) {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	k := newKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(a.Expiry),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, k.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// IssueFiles is Issue into two new files.
func (a *Authority) IssueFiles(names ...string) (cert, key string) {
	a.t.Helper()
	c, k := a.Issue(names...)
	dir := a.t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	WriteFile(a.t, cert, c)
	WriteFile(a.t, key, k)
	return cert, key
}

// Pair is Issue for a tls.Config.
func (a *Authority) Pair(names ...string) tls.Certificate {
	a.t.Helper()
	pair, err := tls.X509KeyPair(a.Issue(names...))
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

// Trust is the configuration of a client that trusts a, and asks for name.
func (a *Authority) Trust(name string) *tls.Config {
	a.t.Helper()
	pool, pemBytes := x509.NewCertPool(), ReadFile(a.t, a.File)
	if !pool.AppendCertsFromPEM(pemBytes) {
		a.t.Fatal("the authority has no certificate")
	}
	return &tls.Config{RootCAs: pool, ServerName: name}
}

// WriteFile replaces a file at once, as those do that renew certificates.
func WriteFile(t testing.TB, path string, content []byte) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// ReadFile is os.ReadFile.
func ReadFile(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Secure has the client speak TLS from now on. The error is that of the handshake.
func (c *Client) Secure(config *tls.Config) (*tls.Conn, error) {
	c.t.Helper()
	c.patience()
	tc := tls.Client(c.Conn, config)
	if err := tc.Handshake(); err != nil {
		_ = c.Close()
		return nil, err
	}
	c.Conn, c.br = tc, bufio.NewReaderSize(tc, 4096)
	return tc, nil
}

// DialTLS is Dial over TLS.
func DialTLS(t testing.TB, addr, path string, config *tls.Config, headers ...string) *Client {
	t.Helper()
	c := Connect(t, addr)
	if _, err := c.Secure(config); err != nil {
		t.Fatal(err)
	}
	return c.upgrade(addr, path, headers...)
}

// Dribble has what the client sends leave in pieces of n bytes each.
func (c *Client) Dribble(n int) {
	c.Conn = &dribble{c.Conn, n}
	c.br = bufio.NewReaderSize(c.Conn, 4096)
}

type dribble struct {
	net.Conn
	n int
}

func (d *dribble) Write(p []byte) (int, error) {
	for at := 0; at < len(p); at += d.n {
		if _, err := d.Conn.Write(p[at:min(len(p), at+d.n)]); err != nil {
			return at, err
		}
	}
	return len(p), nil
}
