//go:build linux

package conntest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
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
// does. It is for AES-128-GCM with TLS 1.3 (RFC 8446 sections 5.2, 5.3, 7.2 and 7.3), and
// with TLS 1.2 (RFC 5246 sections 5, 6.2.3.3 and 6.3, RFC 5288 section 3), which has no Update.
type Records struct {
	secret []byte // of TLS 1.3
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// SecureByHand is Secure for a client that goes on to send Records, and nothing else. It is
// TLS 1.3 unless config has a lower MaxVersion.
func (c *Client) SecureByHand(config *tls.Config) *Records {
	c.t.Helper()
	var log keyLog
	config = config.Clone()
	config.KeyLogWriter = &log
	config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	tap := &tap{Conn: c.Conn}
	c.Conn = tap
	tc, err := c.Secure(config)
	if err != nil {
		c.t.Fatal(err)
	}
	r := new(Records)
	switch suite := tc.ConnectionState().CipherSuite; suite {
	case tls.TLS_AES_128_GCM_SHA256:
		r.secret = log.secret(c, "CLIENT_TRAFFIC_SECRET_0")
		r.turn()
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
		// The random numbers are where each hello has them (RFC 5246 section 7.4.1).
		keys := prf(log.secret(c, "CLIENT_RANDOM"), "key expansion", append(tap.in[11:43:43], tap.out[11:43]...), 40)
		r.keys(keys[:16], keys[32:36])
		r.seq = 1 // behind Finished
	default:
		c.t.Skip("another cipher was chosen: " + tls.CipherSuiteName(suite))
	}
	return r
}

// tap keeps the first bytes that go through.
type tap struct {
	net.Conn
	in, out []byte
}

// tapMost is as much of a first record as has the random number in it.
const tapMost = 64

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.in = append(t.in, p[:min(n, tapMost-len(t.in))]...)
	return n, err
}

func (t *tap) Write(p []byte) (int, error) {
	t.out = append(t.out, p[:min(len(p), tapMost-len(t.out))]...)
	return t.Conn.Write(p)
}

// prf is that of TLS 1.2 (RFC 5246 section 5).
func prf(secret []byte, label string, seed []byte, n int) (out []byte) {
	seed = append([]byte(label), seed...)
	sum := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	for a := sum(seed); len(out) < n; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}

// keyLog has the lines of tls.Config.KeyLogWriter.
type keyLog struct{ Log }

func (l *keyLog) secret(c *Client, name string) []byte {
	for line := range strings.Lines(l.String()) {
		if f := strings.Fields(line); f[0] == name {
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
func (r *Records) turn() { r.keys(expand(r.secret, "key", 16), expand(r.secret, "iv", 12)) }

func (r *Records) keys(key, iv []byte) {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	if r.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	r.iv, r.seq = iv, 0
}

// Seal makes a record.
func (r *Records) Seal(kind byte, payload []byte) []byte {
	if r.secret == nil {
		return r.seal12(kind, payload)
	}
	nonce := bytes.Clone(r.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, r.seq) {
		nonce[4+i] ^= b
	}
	r.seq++
	head := []byte{RecordData, 3, 3}
	head = binary.BigEndian.AppendUint16(head, uint16(len(payload)+1+r.aead.Overhead()))
	return r.aead.Seal(head, nonce, append(bytes.Clone(payload), kind), head)
}

func (r *Records) seal12(kind byte, payload []byte) []byte {
	seq := binary.BigEndian.AppendUint64(nil, r.seq)
	r.seq++
	bound := append(bytes.Clone(seq), kind, 3, 3)
	bound = binary.BigEndian.AppendUint16(bound, uint16(len(payload)))
	sealed := r.aead.Seal(bytes.Clone(seq), append(bytes.Clone(r.iv), seq...), payload, bound)
	return append(binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(sealed))), sealed...)
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
