package cluster

import (
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
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"roost/conn/conntest/natstest"
)

// Each fault is reported, all at once, and no password with them.
func TestConfigFaults(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{
		URLs: []string{"nats://ok:4222", "nats://u:secretpassword@bad host", "http://u:secretpassword@x", "u:secretpassword@host:1", "nats://"},
		Name: "a.b", DefaultTopic: "a b", QueueBytes: 1000, Creds: empty, CA: empty, Cert: empty,
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"server 2 of 5", "server 3 of 5", "server 4 of 5", "server 5 of 5", `name "a.b"`, `default topic "a b"`, "queue of 1000 bytes",
		"holds no credentials", "holds no certificate", "go together",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not reported: %s", want)
		}
	}
	if strings.Contains(err.Error(), "secretpassword") || strings.Contains(err.Error(), "server 1") {
		t.Errorf("reported:\n%v", err)
	}
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "no server") {
		t.Errorf("without a server: %v", err)
	}
	if err := (Config{URLs: []string{"nats://x"}, Name: strings.Repeat("n", MaxName+1)}).Validate(); err == nil {
		t.Error("a long name is accepted")
	}
	if err := (Config{URLs: []string{"nats://x"}, Name: strings.Repeat("n", MaxName), QueueBytes: 64 << 10}).Validate(); err != nil {
		t.Error(err)
	}
	gone := filepath.Join(dir, "gone")
	err = (Config{URLs: []string{"tls://x"}, Creds: gone, CA: gone, Cert: gone, Key: gone}).Validate()
	if err == nil || strings.Count(err.Error(), "no such file") != 3 {
		t.Errorf("files that are not there: %v", err)
	}
}

// refused waits for the log of a node that NATS does not take.
func refused(t *testing.T, config Config, want string) {
	t.Helper()
	n := newNode(t, config)
	eventually(t, "it is logged", func() bool { return strings.Contains(n.log.String(), "cannot connect") })
	log := n.log.String()
	if !strings.Contains(log, want) || strings.Contains(log, "secretpassword") || n.Ready() == nil {
		t.Errorf("want %q in:\n%s", want, log)
	}
}

func TestPassword(t *testing.T) {
	server := natstest.Run(t, func(o *natsserver.Options) { o.Username, o.Password = "roost", "secretpassword" })
	address := server.Addr().String()
	a, b := newNode(t, Config{URLs: []string{"nats://roost:secretpassword@" + address}}), newNode(t, Config{URLs: []string{"nats://127.0.0.1:1", "nats://roost:secretpassword@" + address}}, "x")
	met(t, a, b)
	a.Publish([]string{"x"}, text("hello"), "")
	eventually(t, "it arrives", func() bool { return len(b.received()) == 1 })
	if log := a.log.String() + b.log.String(); strings.Contains(log, "secretpassword") {
		t.Errorf("log:\n%s", log)
	}
	refused(t, Config{URLs: []string{"nats://roost:secretpasswords@" + address}}, "NATS refuses this node: correct user:password@ in --cluster")
	refused(t, Config{URLs: []string{"nats://" + address}}, "NATS refuses this node")
}

// A token stands where the name of a user would.
func TestToken(t *testing.T) {
	server := natstest.Run(t, func(o *natsserver.Options) { o.Authorization = "secretpassword" })
	n := newNode(t, Config{URLs: []string{"nats://secretpassword@" + server.Addr().String()}})
	met(t, n)
	if log := n.log.String(); strings.Contains(log, "secretpassword") {
		t.Errorf("log:\n%s", log)
	}
	refused(t, Config{URLs: []string{"nats://wrong@" + server.Addr().String()}}, "NATS refuses this node")
	natstest.Stop(server)
	eventually(t, "it is logged", func() bool { return strings.Contains(n.log.String(), "cannot connect") })
	if log := n.log.String(); strings.Contains(log, "secretpassword") {
		t.Errorf("log:\n%s", log)
	}
}

// A user that may not do everything is told what is missing.
func TestPermissions(t *testing.T) {
	server := natstest.Run(t, func(o *natsserver.Options) {
		o.Users = []*natsserver.User{{Username: "u", Password: "p", Permissions: &natsserver.Permissions{
			Subscribe: &natsserver.SubjectPermission{Deny: []string{"roost.roost.t.>"}},
		}}}
	})
	n := newNode(t, Config{URLs: []string{"nats://u:p@" + server.Addr().String()}}, "x", "y", "z")
	eventually(t, "it is logged", func() bool { return strings.Contains(n.log.String(), "does not let this node") })
	if log := n.log.String(); !strings.Contains(log, "roost.roost.>") || strings.Count(log, "does not let") != 1 {
		t.Errorf("log:\n%s", log)
	}
}

// credentials makes a user of an operator that a nats-server can trust.
func credentials(t *testing.T) (file string, trust func(*natsserver.Options)) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := func(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		pair, err := create()
		must(err)
		public, err := pair.PublicKey()
		must(err)
		return pair, public
	}
	operator, operatorKey := key(nkeys.CreateOperator)
	account, accountKey := key(nkeys.CreateAccount)
	user, userKey := key(nkeys.CreateUser)
	accountJWT, err := jwt.NewAccountClaims(accountKey).Encode(operator)
	must(err)
	userJWT, err := jwt.NewUserClaims(userKey).Encode(account)
	must(err)
	seed, err := user.Seed()
	must(err)
	text, err := jwt.FormatUserConfig(userJWT, seed)
	must(err)
	file = filepath.Join(t.TempDir(), "roost.creds")
	must(os.WriteFile(file, text, 0o600))
	return file, func(o *natsserver.Options) {
		resolver := &natsserver.MemAccResolver{}
		must(resolver.Store(accountKey, accountJWT))
		o.TrustedKeys, o.AccountResolver = []string{operatorKey}, resolver
	}
}

func TestCredentials(t *testing.T) {
	good, trust := credentials(t)
	other, _ := credentials(t)
	server := natstest.Run(t, trust)
	met(t, newNode(t, Config{URLs: []string{server.ClientURL()}, Creds: good}))
	refused(t, Config{URLs: []string{server.ClientURL()}, Creds: other}, "--cluster-creds")
}

// authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", nil)
	return a
}

// issue writes NAME.pem and NAME.key.
func (a *authority) issue(name string, parent *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: parent == nil, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer := a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "EC PRIVATE KEY", keyDER)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func TestTLS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	a.issue("nats", a.cert)
	a.issue("node", a.cert)
	pair, err := tls.LoadX509KeyPair(a.file("nats.pem"), a.file("nats.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	server := natstest.Run(t, func(o *natsserver.Options) {
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
		o.TLSVerify = true
	})
	url := []string{"tls://" + server.Addr().String()}
	good := Config{URLs: url, CA: a.file("ca.pem"), Cert: a.file("node.pem"), Key: a.file("node.key")}
	one, two := newNode(t, good), newNode(t, good, "x")
	met(t, one, two)
	// Many times what a Read brings, through another layer.
	for range 20_000 {
		one.Publish([]string{"x"}, text("hello"), "")
	}
	eventually(t, "all arrive", func() bool { return len(two.received()) == 20_000 })
	noCA, noCert, strangers := good, good, good
	noCA.CA = ""
	noCert.Cert, noCert.Key = "", ""
	strangers.CA = stranger.file("ca.pem")
	for _, c := range []Config{noCA, noCert, strangers} {
		refused(t, c, "--cluster-tls-ca, --cluster-tls-cert")
	}
	plain := good
	plain.URLs = []string{natstest.Run(t).ClientURL()}
	refused(t, plain, "do not agree on TLS")
}
