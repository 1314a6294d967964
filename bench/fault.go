package bench

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// Errors of the TLS handshake.
var (
	// ErrTLSTimeout is returned when the TLS handshake is not complete in time.
	ErrTLSTimeout = errors.New("no end of the TLS handshake in time")
	// ErrTLSClosed is returned when the server closes the connection in the TLS handshake.
	ErrTLSClosed = errors.New("the server closed the connection in the TLS handshake")
	// ErrTLSFault is returned, with what it was, when the server breaks the protocol of TLS.
	ErrTLSFault = errors.New("fault of TLS")
	// ErrTLSAnswer is returned when the server answers with something else than TLS.
	ErrTLSAnswer = errors.New("the answer to the TLS handshake is not TLS")
)

// CertificateError is returned when the server's certificate is not trusted.
type CertificateError struct{ Cause error }

func (e *CertificateError) Error() string {
	return "the server's certificate is not trusted: " + e.Cause.Error()
}

func (e *CertificateError) Unwrap() error { return e.Cause }

// AlertError is returned when the server ends TLS with an alert, RFC 8446 section 6.2.
type AlertError struct{ Alert error }

func (e *AlertError) Error() string { return "the server ended TLS with an alert: " + e.Alert.Error() }

func (e *AlertError) Unwrap() error { return e.Alert }

// tlsFailure names what crypto/tls has met, in words that are the same each time.
func tlsFailure(err error) error {
	var certificate *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var header tls.RecordHeaderError
	var remote *net.OpError
	var errno unix.Errno
	switch {
	case errors.As(err, &certificate):
		err = certificate.Err
		switch {
		case errors.As(err, &unknown):
			err = errors.New("it is signed by an authority that is not known here")
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
			err = errors.New("it has expired or is not yet valid") // x509 adds the time of day
		}
		return &CertificateError{err}
	case errors.As(err, &header):
		return ErrTLSAnswer
	case errors.As(err, &remote) && remote.Op == "remote error":
		return &AlertError{remote.Err}
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTLSClosed
	}
	return fmt.Errorf("%w: %w", ErrTLSFault, err)
}
