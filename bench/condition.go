package bench

import (
	"cmp"
	"crypto/tls"
	"slices"
)

// TLSUse is what was agreed on in TLS handshakes, and how often.
type TLSUse struct {
	Version     string `json:"version"`
	Cipher      string `json:"cipher"`
	KeyExchange string `json:"key_exchange,omitempty"`
	Handshakes  int64  `json:"handshakes"`
	Resumed     int64  `json:"resumed"` // of Handshakes, with the session of an earlier one
}

// String is such as "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519".
func (u TLSUse) String() string {
	text := u.Version + ", " + u.Cipher
	if u.KeyExchange != "" {
		text += ", " + u.KeyExchange
	}
	return text
}

// tlsKind tells apart what a TLSUse names.
type tlsKind struct {
	version, cipher uint16
	exchange        tls.CurveID
}

// secured counts a complete TLS handshake.
func (t *tally) secured(state tls.ConnectionState) {
	kind := tlsKind{state.Version, state.CipherSuite, state.CurveID}
	use := t.tls[kind]
	if use == nil {
		use = &TLSUse{Version: tls.VersionName(kind.version), Cipher: tls.CipherSuiteName(kind.cipher)}
		if kind.exchange != 0 {
			use.KeyExchange = kind.exchange.String()
		}
		t.tls[kind] = use
	}
	use.Handshakes++
	if state.DidResume {
		use.Resumed++
	}
}

// tlsUses lists what was agreed on.
func (t *tally) tlsUses() (list []TLSUse) {
	for _, use := range t.tls {
		list = append(list, *use)
	}
	return MergeTLS(list)
}

// MergeTLS adds up lists by what was agreed on, most frequent first.
func MergeTLS(lists ...[]TLSUse) (merged []TLSUse) {
	for _, u := range slices.Concat(lists...) {
		i := slices.IndexFunc(merged, func(m TLSUse) bool { return m.String() == u.String() })
		if i < 0 {
			merged = append(merged, u)
			continue
		}
		merged[i].Handshakes += u.Handshakes
		merged[i].Resumed += u.Resumed
	}
	slices.SortFunc(merged, func(a, b TLSUse) int {
		return cmp.Or(cmp.Compare(b.Handshakes, a.Handshakes), cmp.Compare(a.String(), b.String()))
	})
	return merged
}

// Compression is what became of the offer of permessage-deflate.
type Compression struct {
	Agreed  int64       `json:"handshakes_agreed"`
	Refused int64       `json:"handshakes_refused"` // by leaving it out of the answer
	In      DeflatedUse `json:"received"`
	Out     DeflatedUse `json:"sent"`
}

// DeflatedUse counts messages on connections that have agreed.
type DeflatedUse struct {
	Messages   int64 `json:"messages"`
	Compressed int64 `json:"messages_compressed"` // of Messages; the others were no shorter, or too short
	Payload    int64 `json:"payload_bytes"`       // of all of them
	Wire       int64 `json:"wire_bytes"`          // the same as it came, without headers and TLS
}

// count counts one message. wire is what payload was, or became.
func (u *DeflatedUse) count(compressed bool, payload, wire int) {
	u.Messages++
	if compressed {
		u.Compressed++
	}
	u.Payload += int64(payload)
	u.Wire += int64(wire)
}

func (u *DeflatedUse) add(o DeflatedUse) {
	u.Messages += o.Messages
	u.Compressed += o.Compressed
	u.Payload += o.Payload
	u.Wire += o.Wire
}

// offered counts the answer to an offer.
func (t *tally) offered(compress, agreed bool) {
	switch {
	case agreed:
		t.deflate.Agreed++
	case compress:
		t.deflate.Refused++
	}
}

// Add adds what another client counted.
func (c *Compression) Add(o Compression) {
	c.Agreed += o.Agreed
	c.Refused += o.Refused
	c.In.add(o.In)
	c.Out.add(o.Out)
}

// Offered tells whether there was any complete handshake with the offer.
func (c *Compression) Offered() bool { return c.Agreed+c.Refused > 0 }
