package auth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Each kind of key takes its own algorithm, however it is given.
func TestKindsOfKeys(t *testing.T) {
	rsaPublic, ecPublic, edPublic := &rsaKey().PublicKey, &ecKey().PublicKey, edKey().Public()
	for name, c := range map[string]struct {
		keys []byte
		alg  jose.SignatureAlgorithm
		key  any
		kid  string
	}{
		"secret":              {secret, jose.HS256, secret, ""},
		"secret and newline":  {append(bytes.Clone(secret), '\n'), jose.HS256, secret, ""},
		"RSA in PEM":          {pemOf(rsaPublic), jose.RS256, rsaKey(), ""},
		"EC in PEM":           {pemOf(ecPublic), jose.ES256, ecKey(), "whatever"},
		"Ed25519 in PEM":      {append([]byte("a comment\n"), pemOf(edPublic)...), jose.EdDSA, edKey(), ""},
		"PEM without lines":   {[]byte(strings.Join(strings.Split(string(pemOf(rsaPublic)), "\n")[1:8], "")), jose.RS256, rsaKey(), ""},
		"two in PEM":          {append(pemOf(rsaPublic), pemOf(ecPublic)...), jose.ES256, ecKey(), ""},
		"JWK":                 {must(jwk("a", "", rsaPublic).MarshalJSON()), jose.RS256, rsaKey(), "a"},
		"JWK without kid":     {must(jwk("", "", rsaPublic).MarshalJSON()), jose.RS256, rsaKey(), "a"},
		"JWK, private":        {must(jwk("a", "", ecKey()).MarshalJSON()), jose.ES256, ecKey(), "a"},
		"JWKS":                {jwks(jwk("r", "RS256", rsaPublic), jwk("e", "", ecPublic), jwk("d", "EdDSA", edPublic), jwk("s", "", secret)), jose.EdDSA, edKey(), "d"},
		"JWKS, secret":        {jwks(jwk("r", "RS256", rsaPublic), jwk("s", "HS256", secret)), jose.HS256, secret, "s"},
		"JWKS, no kid":        {jwks(jwk("r", "RS256", rsaPublic), jwk("e", "", ecPublic)), jose.ES256, ecKey(), ""},
		"JWKS, others beside": {[]byte(`{"keys": [{"kty":"OKP","crv":"X448","x":"AA"}, {"kty":"?"}, 7, ` + string(must(jwk("e", "", ecPublic).MarshalJSON())) + `]}`), jose.ES256, ecKey(), "e"},
		"JWKS, turning over":  {jwks(jwk("a", "", &otherRSA().PublicKey), jwk("a", "", rsaPublic)), jose.RS256, rsaKey(), "a"},
	} {
		v := open(t, Config{Keys: file(t, c.keys)})
		g, err := v.Verify(sign(t, c.alg, c.key, c.kid, good()), at)
		if err != nil || g.Subject != "alice" || g.Expires != at.Unix()+60 {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}
}

// A token decides neither on its algorithm nor on its key.
func TestForgedTokens(t *testing.T) {
	rsaPublic := &rsaKey().PublicKey
	text := pemOf(rsaPublic)
	pemFile := open(t, Config{Keys: file(t, text)})
	set := open(t, Config{Keys: file(t, jwks(jwk("r", "", rsaPublic), jwk("e", "", &ecKey().PublicKey), jwk("s", "", secret)))})
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	claims := part(`{"sub":"mallory","exp":9999999999}`)
	right := sign(t, jose.RS256, rsaKey(), "r", good())
	cut := strings.Split(right, ".")
	embedded := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: otherRSA()}, &jose.SignerOptions{EmbedJWK: true}))
	for name, token := range map[string]string{
		"public key as secret, PEM": sign(t, jose.HS256, text, "", good()),
		"public key as secret, DER": sign(t, jose.HS256, must(base64.StdEncoding.DecodeString(strings.Join(strings.Split(string(text), "\n")[1:8], ""))), "", good()),
		"public key as secret, kid": sign(t, jose.HS256, text, "r", good()),
		"another's key":             sign(t, jose.RS256, otherRSA(), "r", good()),
		"another's key, no kid":     sign(t, jose.RS256, otherRSA(), "", good()),
		"key in the token":          must(must(embedded.Sign([]byte(`{"sub":"mallory","exp":9999999999}`))).CompactSerialize()),
		"another alg of the key":    sign(t, jose.PS256, rsaKey(), "r", good()),
		"another hash of the key":   sign(t, jose.RS512, rsaKey(), "r", good()),
		"alg of another key":        sign(t, jose.HS256, secret, "r", good()),
		"empty secret":              part(`{"alg":"HS256"}`) + "." + claims + ".",
		"none":                      part(`{"alg":"none"}`) + "." + claims + ".",
		"None":                      part(`{"alg":"None"}`) + "." + claims + ".",
		"none with a kid":           part(`{"alg":"none","kid":"r"}`) + "." + claims + "." + cut[2],
		"no alg":                    part(`{}`) + "." + claims + "." + cut[2],
		"two algs":                  part(`{"alg":"none","alg":"RS256"}`) + "." + claims + "." + cut[2],
		"claims exchanged":          cut[0] + "." + claims + "." + cut[2],
		"header exchanged":          part(`{"alg":"ES256","kid":"e"}`) + "." + cut[1] + "." + cut[2],
		"no signature":              cut[0] + "." + cut[1] + ".",
		"two parts":                 cut[0] + "." + cut[1],
		"four parts":                right + ".",
		"five parts":                right + "." + cut[1] + "." + cut[2],
		"a space":                   right + " ",
		"JSON serialization":        `{"payload":"` + cut[1] + `","protected":"` + cut[0] + `","signature":"` + cut[2] + `"}`,
		"critical header":           part(`{"alg":"RS256","crit":["x"],"x":1}`) + "." + claims + "." + cut[2],
		"nothing":                   "",
		"dots":                      "..",
		"NUL":                       "\x00",
		"huge":                      strings.Repeat("a", 1<<20),
		"too long":                  sign(t, jose.RS256, rsaKey(), "r", good().with("x", strings.Repeat("a", mostToken))),
		"deep":                      part(strings.Repeat("[", 4<<10)) + "." + claims + ".",
	} {
		for _, v := range []*Verifier{pemFile, set} {
			if g, err := v.Verify(token, at); g != nil || !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %+v, %v", name, g, err)
			}
		}
	}
	for i := range right { // each byte counts
		for _, b := range []byte{'A', '.', right[i] ^ 1} {
			changed := right[:i] + string(rune(b)) + right[i+1:]
			if changed == right || i+1 == len(right) || right[i+1] == '.' { // the last digit of a part has unused bits
				continue
			}
			if _, err := set.Verify(changed, at); err == nil {
				t.Fatalf("taken with another byte at %d", i)
			}
		}
	}
}

func TestClaims(t *testing.T) {
	config := Config{Keys: file(t, secret), Issuer: "https://id", Audience: "roost"}
	v := open(t, config)
	config.Leeway = 10 * 1e9
	lenient := open(t, config)
	full := func() fields { return good().with("iss", "https://id").with("aud", "roost") }
	now := at.Unix()
	for _, c := range []struct {
		claims any
		want   string // of the error; "" is none
		later  string // with 10 s of leeway
	}{
		{full(), "", ""},
		{full().with("aud", []string{"x", "roost"}), "", ""},
		{full().with("nbf", now), "", ""},
		{full().with("nbf", now+1), "nbf", ""},
		{full().with("nbf", float64(now)+0.5), "nbf", ""},
		{full().with("nbf", now+10), "nbf", ""},
		{full().with("nbf", now+11), "nbf", "nbf"},
		{full().with("exp", now+1), "", ""},
		{full().with("exp", float64(now)+0.5), "expired", ""},
		{full().with("exp", now), "expired", ""},
		{full().with("exp", now-9), "expired", ""},
		{full().with("exp", now-10), "expired", "expired"},
		{full().with("exp", 0), "expired", "expired"},
		{full().with("exp", nil), "no exp", "no exp"},
		{full().with("exp", fmt.Sprint(now+60)), "malformed", "malformed"},
		{full().with("exp", 1e300), "malformed", "malformed"},
		{full().with("exp", -1), "malformed", "malformed"},
		{full().with("nbf", "soon"), "malformed", "malformed"},
		{full().with("aud", "Roost"), "aud", "aud"},
		{full().with("aud", []string{"x"}), "aud", "aud"},
		{full().with("aud", nil), "aud", "aud"},
		{full().with("aud", 7), "malformed", "malformed"},
		{full().with("iss", "https://id/"), "iss", "iss"},
		{full().with("iss", nil), "iss", "iss"},
		{full().with("sub", nil), "", ""},
		{full().with("sub", strings.Repeat("a", 256)), "", ""},
		{full().with("sub", strings.Repeat("a", 257)), "sub", "sub"},
		{full().with("sub", 7), "malformed", "malformed"},
		{full().with("topics", "news"), "malformed", "malformed"},
		{full().with("topics", []string{"a b"}), "topics", "topics"},
		{full().with("topics", []string{""}), "topics", "topics"},
		{full().with("topics", []any{nil}), "topics", "topics"},
		{full().with("topics", []string{strings.Repeat("a", 129)}), "topics", "topics"},
		{full().with("topics", make([]string, 65)), "topics", "topics"},
		{full().with("pub", "news"), "malformed", "malformed"},
		{full().with("pub", []string{"ü"}), "pub", "pub"},
		{full().with("pub", 1), "malformed", "malformed"},
		{"", "malformed", "malformed"},
		{"null", "no exp", "no exp"},
		{"[]", "malformed", "malformed"},
		{`{"exp":1,"exp":9999999999}`, "malformed", "malformed"},
		{`{"Exp":9999999999}`, "no exp", "no exp"},
		{strings.Repeat("[", 5000), "malformed", "malformed"},
	} {
		token := sign(t, jose.HS256, secret, "", c.claims)
		for v, want := range map[*Verifier]string{v: c.want, lenient: c.later} {
			g, err := v.Verify(token, at)
			if (err == nil) != (want == "") || (err == nil) != (g != nil) || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v, want %q", c.claims, err, want)
			}
			if errors.Is(err, ErrExpired) != (want == "expired") || err != nil && strings.Contains(err.Error(), token) {
				t.Errorf("%v: %v", c.claims, err)
			}
		}
	}
	g, err := lenient.Verify(sign(t, jose.HS256, secret, "", full()), at)
	if err != nil || g.Expires != now+70 {
		t.Errorf("leeway counts at the end, too: %+v, %v", g, err)
	}
}
