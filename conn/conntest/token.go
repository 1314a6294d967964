package conntest

import (
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Token is a JWT of the claims, signed with HS256 and the secret, which has 32 bytes or more.
func Token(t testing.TB, secret string, claims map[string]any) string {
	t.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
