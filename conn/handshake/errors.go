package handshake

import "errors"

// Faults of a Policy, wrapped with the offending value by [Policy.Validate].
var (
	// ErrPath is returned when Policy.Path is not the path of a request target.
	ErrPath = errors.New("path must start with a slash and be written as on the wire, without query, fragment or spaces")

	// ErrOrigin is returned when an entry of Policy.Origins is not a host
	// pattern with an optional scheme and port.
	ErrOrigin = errors.New("origin must be [scheme://]host[:port], with nothing after it")

	// ErrSubprotocol is returned when an entry of Policy.Subprotocols is not a
	// token of RFC 9110 section 5.6.2, or appears twice.
	ErrSubprotocol = errors.New("subprotocol must be a token and be listed once")

	// ErrLimit is returned when Policy.MaxHead or Policy.MaxHeaders is too
	// small for any handshake to fit.
	ErrLimit = errors.New("limit is too small for any handshake")
)
