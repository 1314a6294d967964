package bench

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS says how connections to wss URLs are made. The zero value verifies the
// server's certificate with the system's roots, shakes hands in full every time,
// and takes the newest version that the server has.
type TLS struct {
	Insecure bool   `json:",omitempty"` // accept any certificate
	CA       string `json:",omitempty"` // PEM file with the certificates that vouch for the server's, in place of the system's
	Resume   bool   `json:",omitempty"` // come back with the session of an earlier connection, as browsers do
	Max      string `json:",omitempty"` // newest version to agree to, 1.2 or 1.3; empty: 1.3
}

// sessionsKept bounds the sessions that a client remembers of each target. With
// TLS 1.3 the newest is used, by any number of connections.
const sessionsKept = 64

// Validate reports every fault at once, joined, or nil. It reads the file.
func (t TLS) Validate() error {
	_, err := t.config("")
	return err
}

// config is that of all connections to a server of this name.
func (t TLS) config(name string) (*tls.Config, error) {
	config := &tls.Config{
		ServerName: name, InsecureSkipVerify: t.Insecure, MinVersion: tls.VersionTLS12,
		NextProtos:                  []string{"http/1.1"},
		DynamicRecordSizingDisabled: true, // a frame in one record, up to 16 KiB
	}
	if t.Resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(sessionsKept)
	}
	var faults []error
	switch t.Max {
	case "", "1.3":
	case "1.2":
		config.MaxVersion = tls.VersionTLS12
	default:
		faults = append(faults, fmt.Errorf("newest TLS version: %q, want 1.2 or 1.3", t.Max))
	}
	switch {
	case t.Insecure && t.CA != "":
		faults = append(faults, errors.New("a CA and no verification of certificates: want one of them"))
	case t.CA != "":
		roots, err := readRoots(t.CA)
		if err != nil {
			faults = append(faults, err)
		}
		config.RootCAs = roots
	case !t.Insecure:
		// Read now, and not in the first handshake; an error is met again there.
		config.RootCAs, _ = x509.SystemCertPool()
	}
	return config, errors.Join(faults...)
}

func readRoots(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("CA: %s has no certificate in PEM", path)
	}
	return roots, nil
}
