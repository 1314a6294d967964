package auth

import (
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func BenchmarkVerify(b *testing.B) {
	for _, k := range []struct {
		alg          jose.SignatureAlgorithm
		key          any
		verification []byte
	}{
		{jose.HS256, secret, secret},
		{jose.RS256, rsaKey(), pemOf(&rsaKey().PublicKey)},
		{jose.ES256, ecKey(), pemOf(&ecKey().PublicKey)},
		{jose.EdDSA, edKey(), pemOf(edKey().Public())},
	} {
		b.Run(string(k.alg), func(b *testing.B) {
			v := open(b, Config{Keys: file(b, k.verification)})
			token := sign(b, k.alg, k.key, "", good())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(token, at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
