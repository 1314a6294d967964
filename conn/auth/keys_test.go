package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// What is no key, and what is a key that everybody may know, is no secret.
func TestKeysRefused(t *testing.T) {
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	huge := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1<<20, 1), E: 65537}
	large := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), mostRSA, 1), E: 65537}
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(ecKey()))})
	for name, c := range map[string]struct {
		text   []byte
		want   string
		remote bool
	}{
		"nothing":             {nil, "empty", false},
		"white space":         {[]byte(" \n\t"), "empty", false},
		"short secret":        {secret[:31], "31 bytes", false},
		"short secret, line":  {append(bytes.Clone(secret[:31]), '\n'), "31 bytes", false},
		"long secret":         {bytes.Repeat([]byte("x"), mostSecret+1), "4097 bytes", false},
		"secret from a URL":   {secret, "neither", true},
		"page from a URL":     {[]byte("<html><body>not found, and nobody's secret</body></html>"), "neither", true},
		"page in a file":      {[]byte("<html><body>not found, and nobody's secret</body></html>"), "looks like no secret", false},
		"SSH":                 {[]byte("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 me@home"), "looks like no secret", false},
		"list":                {[]byte(`["a", "b", "c", "d", "e", "f", "g", "h"]`), "looks like no secret", false},
		"damaged base64":      {[]byte("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"), "looks like no secret", false},
		"private PEM":         {private, "'PRIVATE KEY'", false},
		"damaged PEM":         {pemOf(&ecKey().PublicKey)[:80], "no PEM", false},
		"small RSA":           {pemOf(&small.PublicKey), "1024 bits", false},
		"large RSA":           {pemOf(large), "8193 bits", false},
		"huge RSA":            {must(jwk("", "", huge).MarshalJSON()), "malformed", false},
		"P-384":               {pemOf(&p384.PublicKey), "P-384", false},
		"JSON":                {[]byte(`{"keys": {}}`), "no JSON Web Key Set", false},
		"JSON, cut off":       {jwks(jwk("", "", secret))[:60], "no JSON Web Key Set", false},
		"JSON, twice":         {[]byte(`{"keys": [], "keys": []}`), "no JSON Web Key Set", false},
		"JSON, none":          {[]byte(`{"keys": []}`), "no key", false},
		"JSON, other":         {[]byte(`{"a": 1}`), "no key", false},
		"JWK for encryption":  {must(jose.JSONWebKey{Key: &rsaKey().PublicKey, Use: "enc"}.MarshalJSON()), "use is not sig", false},
		"JWK, another alg":    {must(jwk("", "ES256", &rsaKey().PublicKey).MarshalJSON()), "alg is not RS256", false},
		"JWK, alg none":       {must(jwk("", "none", &rsaKey().PublicKey).MarshalJSON()), "alg is not RS256", false},
		"JWK, PS256":          {must(jwk("", "PS256", &rsaKey().PublicKey).MarshalJSON()), "alg is not RS256", false},
		"JWK, short secret":   {must(jwk("", "", secret[:31]).MarshalJSON()), "31 bytes", false},
		"JWKS, secret, URL":   {jwks(jwk("", "HS256", secret)), "a secret from a URL", true},
		"JWKS, many for kid":  {jwks(slicesRepeat(jwk("a", "", &p384.PublicKey), 5)...), "P-384", false},
		"bomb of brackets":    {bytes.Repeat([]byte("["), mostKeyBytes), "looks like no secret", false},
		"bomb of objects":     {bytes.Repeat([]byte(`{"a":`), mostKeyBytes/5), "no JSON Web Key Set", false},
		"bomb in keys":        {append([]byte(`{"keys":`), bytes.Repeat([]byte("["), mostKeyBytes/2)...), "no JSON Web Key Set", false},
		"bomb in a key":       {[]byte(`{"keys":[{"kty":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}]}`), "no JSON Web Key Set", false},
		"bomb beside keys":    {[]byte(`{"x":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}`), "no JSON Web Key Set", false},
		"bomb of empty keys":  {[]byte(`{"keys":[` + strings.Repeat("{},", 1<<20) + `{}]}`), "more than", false},
		"bomb of long number": {[]byte(`{"keys":[{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("z", 2<<20) + `"}]}`), "malformed", false},
	} {
		s, err := parseKeys(c.text, c.remote)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			if s != nil {
				t.Errorf("%s: %d keys", name, s.size)
			}
		}
		if err != nil && bytes.Contains([]byte(err.Error()), secret[:16]) {
			t.Errorf("%s: a secret in %v", name, err)
		}
	}
}

func slicesRepeat[T any](v T, n int) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// With ten thousand keys a token is compared with one: that which it names.
func TestTenThousandKeys(t *testing.T) {
	const n = 10_000
	all := make([]jose.JSONWebKey, n)
	public := ecKey().Public()
	for i := range all {
		all[i] = jwk(fmt.Sprint("key", i), "", public)
	}
	all[n/2].Key = &rsaKey().PublicKey
	v := open(t, Config{Keys: file(t, jwks(all...))})
	if v.Keys() != n {
		t.Fatalf("%d keys", v.Keys())
	}
	for kid, want := range map[string]string{"key0": "", "key9999": "", "key5000": "not for its alg", "": "there are many", "key10000": "not known"} {
		_, err := v.Verify(sign(t, jose.ES256, ecKey(), kid, good()), at)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", kid, err, want)
		}
	}
	if _, err := v.Verify(sign(t, jose.RS256, rsaKey(), "", good()), at); err != nil { // there is one for RS256
		t.Error(err)
	}
	same := slicesRepeat(jwk("same", "", public), mostTried+1)
	if s, err := parseKeys(jwks(same...), false); err != nil || s.size != mostTried || s.unusable == nil {
		t.Errorf("five keys of one name: %+v, %v", s, err)
	}
}

// FuzzParseKeys finds no text that is taken for a secret and is a public key, and none that
// breaks anything.
func FuzzParseKeys(f *testing.F) {
	for _, seed := range [][]byte{
		secret, pemOf(&rsaKey().PublicKey), jwks(jwk("a", "RS256", &rsaKey().PublicKey), jwk("", "", secret)),
		[]byte(base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(edKey().Public())))), must(x509.MarshalPKIXPublicKey(ecKey().Public())),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		local, _ := parseKeys(text, false)
		remote, _ := parseKeys(text, true)
		if remote != nil && (local == nil || len(remote.all[jose.HS256]) > 0) {
			t.Errorf("from a URL: %+v, from a file: %+v", remote, local)
		}
		if local != nil && len(local.all[jose.HS256]) > 0 {
			if _, public := parseDER(text); public || (json.Valid(text) && bytes.HasPrefix(bytes.TrimSpace(text), []byte("["))) {
				t.Errorf("%q is a secret", text)
			}
		}
	})
}
