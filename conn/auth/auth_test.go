package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"roost/conn/conntest"
)

// patience is a bound for broken code.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Keys of the tests. Making those of RSA takes a while.
var (
	rsaKey, otherRSA = sync.OnceValue(newRSA), sync.OnceValue(newRSA)
	ecKey            = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey            = sync.OnceValue(func() ed25519.PrivateKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return must(k, err)
	})
	secret = []byte("0123456789abcdef0123456789abcdef")
)

func newRSA() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, leastRSA)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// at is the time of most tests.
var at = time.Unix(1_700_000_000, 0)

type fields map[string]any

// good are claims that nobody objects to.
func good() fields { return fields{"sub": "alice", "exp": at.Unix() + 60} }

func (f fields) with(name string, value any) fields {
	f[name] = value
	return f
}

// sign makes a token.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims any) string {
	t.Helper()
	options := new(jose.SignerOptions)
	if kid != "" {
		options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	text, is := claims.(string)
	if !is {
		text = string(must(json.Marshal(claims)))
	}
	return must(must(signer.Sign([]byte(text))).CompactSerialize())
}

// file holds text; its owner may read it.
func file(t testing.TB, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pemOf(key crypto.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(key))})
}

func jwks(keys ...jose.JSONWebKey) []byte { return must(json.Marshal(jose.JSONWebKeySet{Keys: keys})) }

func jwk(kid, alg string, key any) jose.JSONWebKey {
	return jose.JSONWebKey{KeyID: kid, Algorithm: alg, Key: key}
}

// open makes a Verifier that the test closes.
func open(t testing.TB, config Config) *Verifier {
	t.Helper()
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	v, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not true: %s", what)
		}
	}
}

// transcript is a log, and what it holds.
type transcript struct{ conntest.Log }

func (l *transcript) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// page is an HTTP handler that tests change.
type page struct {
	mu     sync.Mutex
	serve  http.HandlerFunc
	visits int
}

func (p *page) set(serve http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve = serve
}

func (p *page) text(text []byte) {
	p.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) })
}

func (p *page) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.visits
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.visits++
	serve := p.serve
	p.mu.Unlock()
	serve(w, r)
}
