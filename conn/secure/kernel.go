//go:build linux

package secure

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"

	"roost/poller/socket"
)

// Offloadable returns config for sessions that may be handed to the kernel, which knows
// suites; see [Session.Offload]. Others are as they would be with config.
func Offloadable(config *tls.Config, suites []uint16) *tls.Config {
	base := config.Clone()
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
			return nil, nil
		}
		// The secrets of a session come by its configuration only: it has one of its own.
		o := &offload{suites: suites}
		(*Session)(hello.Conn.(*transport)).offload = o
		own := base.Clone()
		own.KeyLogWriter = o
		own.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
			ticket, err := base.EncryptTicket(cs, ss)
			o.ticket(len(ticket))
			return ticket, err
		}
		return own, nil
	}
	return base
}

// offload is what has to be known of a session to hand it over: the secrets of both
// directions, and how many records they have protected.
type offload struct {
	suites []uint16 // static

	// Owned by the handshake, then by the reader.
	client, server []byte // application traffic secrets, RFC 8446 section 7.1
	received       uint64 // records since the handshake
	spoilt         string // why the kernel cannot have it, "" as long as it can
	more           bool   // the last record was not read to its end

	sent uint64 // records of application data and tickets; guarded by mu of the session
}

// Write is for crypto/tls, which logs secrets by the line (the NSS key log format): a
// label, the client's random number, and the secret.
func (o *offload) Write(line []byte) (int, error) {
	if f := bytes.Fields(line); len(f) == 3 {
		secret, err := hex.DecodeString(string(f[2]))
		switch {
		case err != nil:
			return 0, err
		case string(f[0]) == "CLIENT_TRAFFIC_SECRET_0":
			o.client = secret
		case string(f[0]) == "SERVER_TRAFFIC_SECRET_0":
			o.server = secret
		}
	}
	return len(line), nil
}

// longTicket is more than fits into one record, beside what else is in its message.
const longTicket = 16<<10 - 64

// ticket counts a session ticket, which is sent before the handshake is over.
func (o *offload) ticket(n int) {
	if n > longTicket {
		o.spoilt = "a session ticket of several records"
	}
	o.sent++
}

// read is told of each call of tls.Conn.Read: it took the records since before and
// returned n bytes, room being what it could. One that takes records and returns less than one
// of data has met something else, such as new keys.
func (o *offload) read(before uint64, n, room int) {
	if took := o.received - before; took > 1 || took == 1 && n == 0 {
		o.spoilt = "records other than data have come"
	}
	o.more = n == room
}

// wrote counts the records in b, all of them whole.
func (o *offload) wrote(b []byte) {
	for len(b) >= recordHeader {
		n := recordHeader + int(b[3])<<8 + int(b[4])
		b = b[min(n, len(b)):]
		o.sent++
	}
}

// ErrKept is returned by Offload when a session stays as it is.
var ErrKept = errors.New("TLS stays in user space")

// Offload hands the session to the kernel: from then on fd carries data, encrypted and
// decrypted there, and s is of no more use. Nobody else may read or write meanwhile. The
// error is ErrKept, with the reason, when nothing has changed; with any other the
// connection is of no more use. It may be called once.
func (s *Session) Offload(fd int) error {
	o := s.offload
	client, server := s.takeSecrets()
	state := s.tls.ConnectionState()
	switch {
	case state.Version != tls.VersionTLS13:
		return fmt.Errorf("%w: it is %s", ErrKept, tls.VersionName(state.Version))
	case o == nil:
		return fmt.Errorf("%w: net/http has had it", ErrKept)
	case !slices.Contains(o.suites, state.CipherSuite):
		return fmt.Errorf("%w: the kernel lacks %s", ErrKept, tls.CipherSuiteName(state.CipherSuite))
	case o.spoilt != "":
		return fmt.Errorf("%w: %s", ErrKept, o.spoilt)
	case o.more || s.record.begun() || s.Waiting() > 0:
		return fmt.Errorf("%w: bytes are on their way", ErrKept)
	}
	receive, err := key(state.CipherSuite, client, o.received)
	if err != nil {
		return err
	}
	send, err := key(state.CipherSuite, server, o.sent)
	if err != nil {
		return err
	}
	half, err := socket.StartTLS(fd, receive, send)
	if err != nil && !half {
		return fmt.Errorf("%w: %w", ErrKept, err)
	}
	return err
}

// takeSecrets ends the time in which the session may be handed over. What crypto/tls keeps of its
// configuration has no secrets any more.
func (s *Session) takeSecrets() (client, server []byte) {
	if o := s.offload; o != nil {
		s.offload = nil
		client, server, o.client, o.server = o.client, o.server, nil, nil
	}
	return client, server
}

// key is derived from a traffic secret (RFC 8446 section 7.3).
func key(suite uint16, secret []byte, seq uint64) (*socket.TLSKey, error) {
	k, size, sum := &socket.TLSKey{Suite: suite, Seq: seq}, 32, sha256.New
	switch suite {
	case tls.TLS_AES_128_GCM_SHA256:
		size = 16
	case tls.TLS_AES_256_GCM_SHA384:
		sum = sha512.New384
	}
	var err error
	if k.Key, err = expand(sum, secret, "key", size); err != nil {
		return nil, err
	}
	k.IV, err = expand(sum, secret, "iv", 12)
	return k, err
}

// expand is HKDF-Expand-Label without a context (RFC 8446 section 7.1).
func expand(sum func() hash.Hash, secret []byte, label string, n int) ([]byte, error) {
	const prefix = "tls13 "
	info := append([]byte{byte(n >> 8), byte(n), byte(len(prefix + label))}, prefix+label...)
	return hkdf.Expand(sum, secret, string(append(info, 0)), n)
}
