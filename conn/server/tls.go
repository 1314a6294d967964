//go:build linux

package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"roost/conn"
	"roost/conn/keyfile"
	"roost/conn/secure"
)

// TLS says how listeners speak TLS that have tls: in front of their address.
type TLS struct {
	// Certs are the certificates of the server, at least one. A client gets the first
	// that fits the name it asks for and what it understands, else the first of all.
	Certs []KeyPair
	// MinVersion is tls.VersionTLS12 or tls.VersionTLS13. 0 means 1.2.
	MinVersion uint16
	// ClientCA is a file of certificates in PEM. Clients must have a certificate that
	// one of them vouches for. "" means that clients need none.
	ClientCA string
	// Handshakes is how many may be in progress at once; more clients wait for their
	// turn, and those that keep them waiting by saying nothing for a second are dropped. 0 means 1,024.
	Handshakes int
	// Kernel says whether the kernel does the TLS of open connections, which takes Linux with the
	// module tls, and clients with TLS 1.3. With KernelTLSRequire Start fails
	// without the module or one of its three ciphers, MinVersion is 1.3, and a connection that the kernel does not take is closed.
	Kernel conn.KernelTLS

	watchEvery time.Duration // for tests; 0 means 2 s
}

// KeyPair names two files in PEM: a certificate with its chain, and its private key.
type KeyPair struct{ Cert, Key string }

const (
	tlsPrefix = "tls:"
	// mostPEM is the longest file of certificates or keys, in bytes.
	mostPEM = 4 << 20
)

// tlsAddress takes the prefix of an address of Config.Listen off.
func tlsAddress(addr string) (string, bool) { return strings.CutPrefix(addr, tlsPrefix) }

// tlsOn reports whether any listener speaks TLS.
func (c *Config) tlsOn() bool { return SpeaksTLS(c.Listen) }

// SpeaksTLS reports whether one of these addresses, as in Config.Listen, is one with TLS.
func SpeaksTLS(listen []string) bool {
	return slices.ContainsFunc(listen, func(addr string) bool {
		_, secure := tlsAddress(addr)
		return secure
	})
}

func (c *Config) validateTLS() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	t := c.TLS
	switch given := len(t.Certs) > 0; {
	case c.tlsOn() && !given:
		bad("a listener speaks TLS, but there is no certificate; give one with its key")
	case !c.tlsOn() && (given || t.ClientCA != ""):
		bad("there are certificates, but no listener speaks TLS; listen on tls:HOST:PORT, as in tls::8443")
	case !c.tlsOn() && t.Kernel == conn.KernelTLSRequire:
		bad("the kernel has to do TLS, but no listener speaks it; listen on tls:HOST:PORT, as in tls::8443")
	}
	for i, p := range t.Certs {
		if p.Cert == "" || p.Key == "" {
			bad("TLS certificate %d: want a file with the certificate and one with its key", i+1)
		}
	}
	if v := t.MinVersion; v != 0 && v != tls.VersionTLS12 && v != tls.VersionTLS13 {
		bad("least TLS version: %s is not taken; want 1.2 or 1.3", tls.VersionName(v))
	}
	if t.Handshakes < 0 || t.Handshakes > 1<<20 {
		bad("TLS handshakes: %d is out of range; want 1 to %d, or 0 for 1024", t.Handshakes, 1<<20)
	}
	return errors.Join(errs...)
}

// keyring has the keys of the server, and keeps them up to date.
type keyring struct {
	server *Server
	inUse  atomic.Pointer[tls.Config]

	// Owned by load.
	files   []*keyfile.File
	failing bool // the log knows that the files cannot be read

	asked secure.Bell   // reload was called
	stop  chan struct{} // closed by close
	once  sync.Once
	done  sync.WaitGroup
}

// openTLS reads the keys and watches their files from now on.
func (s *Server) openTLS() error {
	k := &s.keyring
	if err := s.kernelTLS.open(&s.config); err != nil {
		return err
	}
	if !s.config.tlsOn() {
		return nil
	}
	k.server = s
	if len(s.kernelTLS.suites) == 0 {
		s.group.KernelTLS = conn.KernelTLSOff
	}
	if err := k.load(); err != nil {
		return &TLSError{err}
	}
	k.asked, k.stop = secure.NewBell(), make(chan struct{})
	k.done.Go(k.keep)
	return nil
}

// TLSError is returned by Start when the certificates cannot be used.
type TLSError struct{ err error }

func (e *TLSError) Error() string { return "TLS: " + e.err.Error() }

// Unwrap is the cause.
func (e *TLSError) Unwrap() error { return e.err }

// session is conn.Config.Secure.
func (k *keyring) session(first []byte) *secure.Session { return secure.New(k.inUse.Load(), first) }

// CertificateExpiry is when the certificate in force that expires soonest does so, the zero time
// without TLS or before Start. It may be called from any goroutine.
func (s *Server) CertificateExpiry() (soonest time.Time) {
	inUse := s.keyring.inUse.Load()
	if inUse == nil {
		return soonest
	}
	for _, pair := range inUse.Certificates {
		if soonest.IsZero() || pair.Leaf.NotAfter.Before(soonest) {
			soonest = pair.Leaf.NotAfter
		}
	}
	return soonest
}

// keep reads the files again when they have changed, and when it is asked to.
func (k *keyring) keep() {
	every := k.server.config.TLS.watchEvery
	def(&every, 2*time.Second)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		asked := false
		select {
		case <-k.stop:
			return
		case <-k.asked:
			asked = true
		case <-ticker.C:
			changed := false
			for _, f := range k.files {
				changed = f.Changed() || changed
			}
			if !changed {
				continue
			}
		}
		k.tell(asked, k.load())
	}
}

// tell logs what came of reading again: a fault once, unless somebody asks.
func (k *keyring) tell(asked bool, err error) {
	log := k.server.config.Log
	switch {
	case err == nil:
		log.Info("the certificates were read again", "certificates", len(k.server.config.TLS.Certs))
	case asked || !k.failing:
		log.Error("the certificates cannot be read again: those there are stay", "err", err)
	}
	k.failing = err != nil
}

func (k *keyring) close() {
	if k.stop != nil {
		k.once.Do(func() { close(k.stop) })
		k.done.Wait()
	}
}

// load puts the files into force, all or none.
func (k *keyring) load() error {
	t := &k.server.config.TLS
	var errs []error
	k.files = nil
	read := func(path string) []byte {
		f := &keyfile.File{Path: path}
		k.files = append(k.files, f)
		text, err := f.Read(mostPEM)
		if err != nil {
			errs = append(errs, err)
		}
		return text
	}
	c := &tls.Config{
		MinVersion:                  t.MinVersion,
		NextProtos:                  []string{"http/1.1"},
		DynamicRecordSizingDisabled: true, // messages are small, and their frames leave together
	}
	def(&c.MinVersion, tls.VersionTLS12)
	if t.Kernel == conn.KernelTLSRequire {
		c.MinVersion = tls.VersionTLS13
	}
	for _, p := range t.Certs {
		chain, key := read(p.Cert), read(p.Key)
		if chain == nil || key == nil {
			continue
		}
		pair, err := tls.X509KeyPair(chain, key)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s and %s: %w", p.Cert, p.Key, err))
			continue
		}
		if left := time.Until(pair.Leaf.NotAfter); left < 0 {
			k.server.config.Log.Warn("a certificate has expired: clients will refuse it", "file", p.Cert, "since", pair.Leaf.NotAfter)
		}
		c.Certificates = append(c.Certificates, pair)
	}
	if t.ClientCA != "" {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		if text := read(t.ClientCA); text != nil && !c.ClientCAs.AppendCertsFromPEM(text) {
			errs = append(errs, fmt.Errorf("%s: has no certificate in PEM", t.ClientCA))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if suites := k.server.kernelTLS.suites; len(suites) > 0 {
		c = secure.Offloadable(c, suites)
	}
	k.inUse.Store(c)
	return nil
}
