package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// algorithms are those of tokens that are taken; what each key is good for is fixed with
// the key, and never the token's to say.
var algorithms = []jose.SignatureAlgorithm{jose.HS256, jose.RS256, jose.ES256, jose.EdDSA}

const (
	mostKeys  = 16384
	mostTried = 4 // keys that a token is compared with
	// RFC 7518 sections 3.2 and 3.3. Larger RSA keys would keep a worker busy, and larger
	// secrets are files of something else.
	leastSecret, mostSecret = 32, 4 << 10
	leastRSA, mostRSA       = 2048, 8192 // bits
)

// key verifies the tokens of one algorithm.
type key struct {
	alg      jose.SignatureAlgorithm
	verifies any // as jose.JSONWebSignature.Verify takes it
}

// keySet is all keys. It is read-only.
type keySet struct {
	named map[string][]key // by kid; "" has those without
	all   map[jose.SignatureAlgorithm][]key
	size  int
	// unusable is why keys were left out, if any were.
	unusable error
}

// errNoKey is wrapped with ErrInvalid when a token names a key that is not known.
var errNoKey = errors.New("the key that it names is not known")

// choose returns the keys that may have signed a token with that header.
func (s *keySet) choose(kid string, alg jose.SignatureAlgorithm) ([]key, error) {
	if kid == "" {
		found := s.all[alg]
		if len(found) > mostTried {
			return nil, invalid("it does not name its key (kid), and there are many")
		}
		return orElse(found, invalid("no key is for its alg"))
	}
	found, ok := s.named[kid]
	if !ok {
		if found = s.named[""]; len(found) == 0 {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, errNoKey)
		}
	}
	return orElse(slices.DeleteFunc(slices.Clone(found), func(k key) bool { return k.alg != alg }),
		invalid("its key is not for its alg"))
}

func orElse(found []key, err error) ([]key, error) {
	if len(found) == 0 {
		return nil, err
	}
	return found, nil
}

func (s *keySet) add(kid, alg string, verifies any) error {
	is, err := algorithmOf(verifies)
	switch {
	case err != nil:
		return err
	case alg != "" && alg != string(is):
		return fmt.Errorf("its alg is not %s", is)
	case s.size == mostKeys:
		return fmt.Errorf("there are more than %d keys", mostKeys)
	}
	same := 0
	for _, k := range s.named[kid] {
		if k.alg == is {
			same++
		}
	}
	if same == mostTried {
		return fmt.Errorf("there are more than %d keys for %s with the same kid, or without one", mostTried, is)
	}
	k := key{is, verifies}
	s.named[kid] = append(s.named[kid], k)
	s.all[is] = append(s.all[is], k)
	s.size++
	return nil
}

// algorithmOf is the one algorithm of a key.
func algorithmOf(verifies any) (jose.SignatureAlgorithm, error) {
	switch k := verifies.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < leastRSA || n > mostRSA {
			return "", fmt.Errorf("an RSA key of %d bits; want %d to %d", n, leastRSA, mostRSA)
		}
		return jose.RS256, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return "", fmt.Errorf("an EC key on %s; want P-256", k.Curve.Params().Name)
		}
		return jose.ES256, nil
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	case []byte:
		if n := len(k); n < leastSecret || n > mostSecret {
			return "", fmt.Errorf("a secret of %d bytes; want %d to %d, as from 'openssl rand -hex 32'", n, leastSecret, mostSecret)
		}
		return jose.HS256, nil
	}
	return "", errors.New("a key of another kind; want RSA, EC on P-256, Ed25519, or a secret")
}

// parseKeys finds out by its content what text is. What comes from a URL is no secret:
// anybody may be able to read it.
func parseKeys(text []byte, remote bool) (*keySet, error) {
	s := &keySet{named: map[string][]key{}, all: map[jose.SignatureAlgorithm][]key{}}
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\uFEFF")))
	var err error
	switch {
	case len(trimmed) == 0:
		err = errors.New("it is empty")
	case trimmed[0] == '{':
		err = s.addJSON(trimmed, remote)
	case bytes.Contains(trimmed, []byte("-----BEGIN ")):
		err = s.addPEM(trimmed)
	default:
		err = s.addPlain(text, trimmed, remote)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// addJSON takes a JSON Web Key Set, or a single key. Keys that are of no use here are left
// out, as RFC 7517 section 5 asks, unless there are no others.
func (s *keySet) addJSON(text []byte, remote bool) error {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return errors.New("it is no JSON Web Key Set") // what is wrong might quote a secret
	}
	if set.Keys == nil {
		set.Keys = []json.RawMessage{text}
	}
	if len(set.Keys) > mostKeys {
		return fmt.Errorf("there are more than %d keys", mostKeys)
	}
	for i, raw := range set.Keys {
		if err := s.addJWK(raw, remote); err != nil && s.unusable == nil {
			s.unusable = fmt.Errorf("key %d: %w", i+1, err)
		}
	}
	if s.size == 0 {
		return errors.Join(errors.New("it has no key that can be used"), s.unusable)
	}
	return nil
}

func (s *keySet) addJWK(raw []byte, remote bool) error {
	var k jose.JSONWebKey
	if err := json.Unmarshal(raw, &k); err != nil {
		return errors.New("it is malformed, or of an unknown kind")
	}
	if k.Use != "" && k.Use != "sig" {
		return errors.New("its use is not sig")
	}
	if secret, ok := k.Key.([]byte); ok {
		if remote {
			return errors.New("a secret from a URL is none: put it into a file")
		}
		return s.add(k.KeyID, k.Algorithm, secret)
	}
	if public := k.Public(); public.Key != nil {
		return s.add(k.KeyID, k.Algorithm, public.Key)
	}
	return errors.New("it has no public part")
}

func (s *keySet) addPEM(text []byte) error {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		key, ok := parseDER(block.Bytes)
		if !ok {
			return fmt.Errorf("it holds a PEM block '%s'; want PUBLIC KEY or CERTIFICATE", block.Type)
		}
		if err := s.add("", "", key); err != nil {
			return err
		}
	}
	if s.size == 0 {
		return errors.New("it is no PEM")
	}
	return nil
}

// parseDER takes a public key as it is in PEM.
func parseDER(der []byte) (key any, ok bool) {
	if key, err := x509.ParsePKIXPublicKey(der); err == nil {
		return key, true
	}
	if key, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return key, true
	}
	if cert, err := x509.ParseCertificate(der); err == nil {
		return cert.PublicKey, true
	}
	return nil, false
}

// addPlain takes a secret for HS256, after making sure that it is none of the forms in which
// public keys are handed about: a secret that everybody knows would let everybody in.
func (s *keySet) addPlain(text, trimmed []byte, remote bool) error {
	der := make([]byte, base64.StdEncoding.DecodedLen(len(trimmed)))
	n, _ := base64.StdEncoding.Decode(der, trimmed)
	for _, der := range [][]byte{text, der[:n]} {
		if key, ok := parseDER(der); ok {
			return s.add("", "", key)
		}
	}
	for _, prefix := range []string{"<", "[", "ssh-", "ecdsa-", "sk-", "---- BEGIN", "MII"} {
		if bytes.HasPrefix(trimmed, []byte(prefix)) {
			return errors.New("it is neither a JSON Web Key Set nor PEM, and looks like no secret")
		}
	}
	if remote {
		return errors.New("it is neither a JSON Web Key Set nor PEM")
	}
	return s.add("", "", bytes.Clone(bytes.TrimRight(text, "\r\n")))
}

// kinds are the algorithms that there are keys for, for the log.
func (s *keySet) kinds() []jose.SignatureAlgorithm { return slices.Sorted(maps.Keys(s.all)) }
