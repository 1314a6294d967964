//go:build linux

package main

import (
	"crypto/tls"
	"fmt"

	"roost/conn"
	"roost/conn/server"
)

// tlsFlags are those of listeners with TLS.
type tlsFlags struct {
	TLSCert       []string `group:"TLS" name:"tls-cert" placeholder:"FILE" help:"Certificate of the server in PEM, with the chain behind it, for listeners with tls: in front of their address, as in --listen tls::8443. A client gets the first that fits the name it asks for, else the first of all. Read again when a file changes, and on SIGHUP; certificates that cannot be used leave the old ones in force. Repeat or separate with commas."`
	TLSKey        []string `group:"TLS" name:"tls-key" placeholder:"FILE" help:"Private keys of --tls-cert in PEM, in the same order."`
	TLSMin        choice   `group:"TLS" name:"tls-min" default:"1.2" placeholder:"1.2|1.3" help:"Least version of TLS."`
	TLSClientCA   string   `group:"TLS" name:"tls-client-ca" placeholder:"FILE" help:"Certificates in PEM. Clients must have a certificate that one of these vouches for. Read again like --tls-cert."`
	KTLS          choice   `group:"TLS" name:"ktls" default:"auto" placeholder:"auto|off|require" help:"Whether the kernel does the TLS of open connections, which are as small as plain ones then. It takes Linux with the module tls (modprobe tls, before roost starts), and clients with TLS 1.3. 'auto' does it where it can be, and /debug/density tells where not; 'require' does not start without the module and its three ciphers, and refuses clients with TLS 1.2."`
	TLSHandshakes count    `group:"TLS" name:"tls-handshakes" default:"1024" placeholder:"N" help:"TLS handshakes in progress at once; more clients wait for their turn, and those that keep them waiting by saying nothing for a second are dropped. They take half of the processors at the most. 0 means 1024."`
}

// ktlsChoices are the values of --ktls.
var ktlsChoices = []string{"auto", "off", "require"}

func (f *tlsFlags) faults() (errs []error) {
	if n, m := len(f.TLSCert), len(f.TLSKey); n != m {
		errs = append(errs, fmt.Errorf("--tls-cert names %d files and --tls-key %d; want one key for each certificate", n, m))
	}
	return errs
}

func (f *tlsFlags) config() server.TLS {
	t := server.TLS{ClientCA: f.TLSClientCA, Handshakes: f.TLSHandshakes.n}
	for i := range min(len(f.TLSCert), len(f.TLSKey)) {
		t.Certs = append(t.Certs, server.KeyPair{Cert: f.TLSCert[i], Key: f.TLSKey[i]})
	}
	switch f.KTLS {
	case "off":
		t.Kernel = conn.KernelTLSOff
	case "require":
		t.Kernel = conn.KernelTLSRequire
	}
	if f.TLSMin == "1.3" {
		t.MinVersion = tls.VersionTLS13
	}
	return t
}
