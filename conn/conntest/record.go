//go:build linux

package conntest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// Types of records and of a message in them (RFC 8446 sections 4 and 5.1).
const (
	RecordAlert     = 21
	RecordHandshake = 22
	RecordData      = 23
	KeyUpdate       = 24
)

// Records makes the records of a client by hand, so that a test can send what no library
// does. It is for TLS 1.3 with AES-128-GCM (RFC 8446 sections 5.2, 5.3, 7.2 and 7.3).
type Records struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// SecureByHand is Secure for a client that goes on to send Records, and nothing else.
func (c *Client) SecureByHand(config *tls.Config) *Records {
	c.t.Helper()
	var log keyLog
	config = config.Clone()
	config.KeyLogWriter = &log
	config.MinVersion = tls.VersionTLS13
	tc, err := c.Secure(config)
	if err != nil {
		c.t.Fatal(err)
	}
	if suite := tc.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		c.t.Skip("another cipher was chosen: " + tls.CipherSuiteName(suite))
	}
	r := &Records{secret: log.secret(c)}
	r.turn()
	return r
}

// keyLog has the lines of tls.Config.KeyLogWriter.
type keyLog struct{ Log }

func (l *keyLog) secret(c *Client) []byte {
	for line := range strings.Lines(l.String()) {
		if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				c.t.Fatal(err)
			}
			return secret
		}
	}
	c.t.Fatal("no secret was logged")
	return nil
}

func expand(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(append(info, byte(len(label))), label...), 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return out
}

// turn derives key and IV from the secret.
func (r *Records) turn() {
	block, err := aes.NewCipher(expand(r.secret, "key", 16))
	if err != nil {
		panic(err)
	}
	if r.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	r.iv, r.seq = expand(r.secret, "iv", 12), 0
}

// Seal makes a record.
func (r *Records) Seal(kind byte, payload []byte) []byte {
	nonce := bytes.Clone(r.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, r.seq) {
		nonce[4+i] ^= b
	}
	r.seq++
	head := []byte{RecordData, 3, 3}
	head = binary.BigEndian.AppendUint16(head, uint16(len(payload)+1+r.aead.Overhead()))
	return r.aead.Seal(head, nonce, append(bytes.Clone(payload), kind), head)
}

// Update makes a KeyUpdate, and uses the new keys from then on.
func (r *Records) Update(requested bool) []byte {
	message := []byte{KeyUpdate, 0, 0, 1, 0}
	if requested {
		message[4] = 1
	}
	b := r.Seal(RecordHandshake, message)
	r.secret = expand(r.secret, "traffic upd", 32)
	r.turn()
	return b
}
